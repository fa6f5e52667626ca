"""No text or file of a tenant ever becomes code, a pattern, a query or a template."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.floors.test_purity import ROOT, files

PRODUCT = files("schema", "factory", "tenants", "storage", "jobs", "serving", "recfactory")
OURS = [*PRODUCT, *files("benchmarks")]

CODE_IN_DATA = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch",
}  # fmt: skip
"""Modules that run what a file says."""
RUN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.eval", "pd.read_pickle",
    "yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "subprocess.getoutput",
}  # fmt: skip
"""Calls that do, by the name they are known under."""
SWITCHES = {"allow_pickle", "shell"}
"""Arguments that let a call do so, unless they are a plain False."""
PATTERNS = {
    "match",
    "search",
    "fullmatch",
    "sub",
    "subn",
    "split",
    "findall",
    "finditer",
    "compile",
}
COLUMN_PATTERNS = {"match_substring_regex", "replace_substring_regex", "split_pattern_regex"}


HARMLESS = {"yaml.load(text, _Words)"}
"""_Words makes text, lists and mappings only (schema/mapping.py)."""
BUILT = {"form", "parts", "digits"}
"""Patterns built of literals only: of the separators that a mapping may name, a few of each
(factory/mapped.py), and of units of time (factory/columns.py)."""


def found(text: str) -> Iterator[str]:
    """What a file has of all this, with its line."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.partition(".")[0] in CODE_IN_DATA:
                yield f"{line}: imports {name}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in RUN and ast.unparse(node) not in HARMLESS:
                yield f"{line}: calls {called}"
            for keyword in node.keywords:
                if keyword.arg in SWITCHES and ast.unparse(keyword.value) != "False":
                    yield f"{line}: {called} with {keyword.arg}"
            if called == "np.load" and not {"allow_pickle"} & {k.arg for k in node.keywords}:
                yield f"{line}: np.load without allow_pickle=False"


def made_of_text(text: str) -> Iterator[str]:
    """Patterns and templates that are not written down in our own source."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name, line = ast.unparse(node.func.value), node.func.attr, node.lineno
        if owner == "re" and name in PATTERNS and not ours(node.args[0]):
            yield f"{line}: re.{name}({ast.unparse(node.args[0])})"
        if name in COLUMN_PATTERNS and len(node.args) > 1 and not ours(node.args[1]):
            yield f"{line}: {name}(…, {ast.unparse(node.args[1])})"
        if name in ("format", "format_map") and not ours(node.func.value) and node.keywords:
            yield f"{line}: {ast.unparse(node.func.value)}.{name}"
        if name == "query" and isinstance(node.args[0] if node.args else None, ast.JoinedStr):
            yield f"{line}: {owner}.query"
        if owner in ("", "sqlalchemy", "sa") and name == "text" and not ours(node.args[0]):
            yield f"{line}: text({ast.unparse(node.args[0])})"


def ours(expression: ast.expr) -> bool:
    """Made of literals, constants of the module, and what re.escape has made a plain text."""
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "re.escape":
        return True
    if isinstance(expression, ast.BinOp):
        return ours(expression.left) and ours(expression.right)
    if isinstance(expression, ast.Name):
        return expression.id.lstrip("_").isupper() or expression.id in BUILT
    if isinstance(expression, ast.JoinedStr):
        values = [v.value for v in expression.values if isinstance(v, ast.FormattedValue)]
        return all(map(ours, values))
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute):
        return expression.func.attr == "join" and all(map(ours, expression.args))
    return isinstance(expression, ast.Constant)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_a_file_or_a_tenant_says(path: Path) -> None:
    assert list(found(path.read_text())) == []


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pattern_template_or_query_is_made_of_a_tenants_text(path: Path) -> None:
    assert list(made_of_text(path.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "eval(name)",
        "exec(text)",
        "os.system(command)",
        "yaml.load(file)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "subprocess.run(command, shell=True)",
        "pd.read_pickle(path)",
    ],
)
def test_what_would_run_a_tenants_text_is_found(line: str) -> None:
    assert len(list(found(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "re.search(tenant, text)",
        "re.sub(f'{prefix}.*', '', text)",
        "re.sub('|'.join(words), '', text)",
        "pc.match_substring_regex(column, wanted)",
        "template.format(name=name)",
        "frame.query(f'id == {name}')",
        "sa.text(f'select {name}')",
    ],
)
def test_a_pattern_template_or_query_of_a_tenants_text_is_found(line: str) -> None:
    assert len(list(made_of_text(line))) == 1
