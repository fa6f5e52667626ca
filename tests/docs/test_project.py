"""Rules about the project's own files."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\n") if name]


def test_locks_hold_no_address() -> None:
    for lock in ROOT.glob("requirements*"):
        assert not re.search(r"://|--(?!hash=)", lock.read_text()), lock.name


def test_every_locked_package_is_hashed() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        lines = lock.read_text().splitlines()
        pins = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
        assert pins
        for number in pins:
            assert lines[number].rstrip().endswith("\\"), f"{lock.name}: {lines[number]}"
            assert "--hash=sha256:" in lines[number + 1]


def test_the_product_lock_is_part_of_the_development_lock() -> None:
    pins = {
        name: set(re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    }
    assert pins["requirements.lock"] < pins["requirements-dev.lock"]


def test_no_file_of_another_projects_data_is_kept() -> None:
    assert not [path for path in tracked() if path.suffix in {".parquet", ".csv", ".npz", ".lmdb"}]


def test_every_decision_has_its_check() -> None:
    text = (ROOT / "DECISIONS.md").read_text()
    decisions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    for decision in decisions:
        assert "*Held by*" in decision, decision.splitlines()[0]
        for path in re.findall(r"tests/[a-z_/]+(?:\.py)?", decision):
            assert (ROOT / path).exists(), path
