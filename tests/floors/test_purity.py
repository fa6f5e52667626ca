"""What import-linter cannot see: nothing in factory opens a file, asks the clock or rolls dice."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN_IN_FACTORY = {
    "open", "print", "input", "now", "today", "utcnow", "time", "perf_counter", "monotonic",
    "sleep", "getenv", "read_text", "read_bytes", "write_text", "write_bytes", "urandom",
    "token_hex", "read_table", "write_table", "read_parquet", "to_parquet", "savez", "load",
}  # fmt: skip
UNSEEDED = {"rand", "randn", "randint", "random_sample", "shuffle", "permutation", "seed"}

WRITING = {
    "write_text", "write_bytes", "rename", "unlink", "rmtree", "mkdir", "makedirs", "rmdir",
    "replace", "remove", "touch", "to_parquet", "to_csv", "write_table", "savez", "copyfile", "move",
}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, owner, name) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                yield node.lineno, ast.unparse(function.value), function.attr
            elif isinstance(function, ast.Name):
                yield node.lineno, "", function.id


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", files("factory"), ids=lambda path: path.stem)
def test_the_factory_is_pure(path: Path) -> None:
    for line, owner, name in calls(path):
        assert name not in FORBIDDEN_IN_FACTORY, f"{path.name}:{line} calls {name}"
        dice = owner in ("np.random", "random") and name in UNSEEDED
        assert not dice, f"{path.name}:{line} rolls unseeded dice"
        unseeded = name == "default_rng" and "default_rng()" in path.read_text()
        assert not unseeded, f"{path.name}:{line} has no seed"


@pytest.mark.parametrize(
    "path",
    files("schema", "tenants", "factory", "storage", "jobs", "serving", "recfactory"),
    ids=lambda path: f"{path.parent.name}.{path.stem}",
)
def test_only_one_module_writes_files(path: Path) -> None:
    """So that stopping at each of its steps is stopping at each step there is."""
    if path == ROOT / "storage" / "durable.py":
        return
    for line, owner, name in calls(path):
        if name == "open" and not owner:
            pytest.fail(f"{path.name}:{line} opens a file")
        on_disk = name in WRITING and owner not in ("durable", "self._disk", "disk", "dataclasses")
        memory = name == "write_table" and "sink" in path.read_text()
        text = name in ("replace", "remove") and owner != "os" and owner != "path"
        assert not on_disk or memory or text, f"{path.name}:{line} calls {owner}.{name}"


@pytest.mark.parametrize(
    "path",
    files("schema", "factory", "tenants", "storage", "jobs", "serving", "recfactory"),
    ids=lambda path: f"{path.parent.name}.{path.stem}",
)
def test_nobody_uses_pickle(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {"pickle", "joblib", "cloudpickle", "shelve"} & set(names), path


@pytest.mark.parametrize(
    "path", files("schema", "factory", "tenants", "storage", "jobs", "serving", "recfactory")
)
def test_imports_stand_at_the_head(path: Path) -> None:
    """One exception: the migration's import, paid only after an upgrade."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    excused = path.name == "database.py" and function.name == "migrate"
                    assert excused, f"{path}:{node.lineno}"
