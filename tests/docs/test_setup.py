"""The two set-up paths of the Makefile, on a clean copy of the project."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_project import ROOT, tracked


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tracked files, as a fresh clone has them."""
    for path in tracked():
        goal = tmp_path / path.relative_to(ROOT)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, goal)
    return tmp_path


def make(checkout: Path, *words: str, **environment: str) -> str:
    done = subprocess.run(
        ["make", *words],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_setup_falls_back_to_pip_where_uv_cannot_reach_the_index(checkout: Path) -> None:
    """The same locked, hashed set; and a second call has nothing left to do."""
    told = make(checkout, "setup", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_NO_CACHE="1")
    assert "using pip" in told
    shown = subprocess.run(
        [checkout / ".venv" / "bin" / "recfactory", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "recfactory" in shown.stdout
    ready = checkout / ".venv" / ".ready"
    before = ready.stat().st_mtime_ns
    make(checkout, "setup")
    assert ready.stat().st_mtime_ns == before


def test_help_lists_the_commands() -> None:
    told = make(ROOT, "help")
    targets = ("setup", "run", "test", "check", "format", "bench", "bench-night", "lock", "clean")
    for target in targets:
        assert f"make {target}" in told
