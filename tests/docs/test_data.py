"""docs/data.md is what the definitions say, and its commands read exactly what counts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.example import write_example
from jobs.intake import import_files
from schema.codes import CODES
from schema.names import TenantId
from tests.docs.make import PAGE, made
from tests.floors.test_purity import ROOT, files
from tests.world import NOW, World

COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
FAMILIES = "ARCHIVE|CSV|DATA|DRIFT|FORMAT|ID|JSON|KEY|PARQUET|REF|ROW|SCHEMA|TEXT|TIME|VALUE"
OTHERS = {"DATA_BROKEN", "DATA_NOT_HELD", "DATA_OVERTAKEN", "KEY_ROLE", "KEY_ENDED"}
"""Told of something else than a delivery: accepted data, a release, an API key."""


def told() -> set[str]:
    """Every code of these families that the product may tell of a delivery."""
    found: set[str] = set()
    for path in files("factory", "storage", "jobs"):
        found |= set(re.findall(rf'"((?:{FAMILIES})_[A-Z_]+)[": ]', path.read_text()))
    return found - OTHERS


def test_the_page_is_what_the_definitions_say() -> None:
    assert PAGE.read_text() == made(PAGE.read_text()), "run `python -m tests.docs.make`"


def test_every_code_that_is_told_is_on_the_page() -> None:
    assert told() - {code.name for code in CODES} == set()


def test_every_code_on_the_page_is_told() -> None:
    listed = {code.name for code in CODES if re.match(FAMILIES, code.name)}
    assert listed - told() == set()


def test_no_code_stands_there_twice() -> None:
    assert len({code.name for code in CODES}) == len(CODES)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=["duckdb", "pandas"])
def test_other_tools_read_just_the_rows_that_count(
    command: str, empty_world: World, tmp_path: Path
) -> None:
    brewery = empty_world.add(TenantId("brewery"))
    example = {path.stem: path for path in write_example(tmp_path / "files")}
    import_files(
        empty_world.stores,
        brewery,
        example,
        empty_world.config.template.intake,
        by="test",
        now=NOW.replace(month=11),
    )
    folder = empty_world.config.home / "tenants" / brewery.uid / "data"
    kept = next((folder / "interactions").glob("*.parquet"))
    shutil.copy(kept, kept.with_name("from-before.parquet"))  # lies there, and does not count
    rows = len(example["interactions"].read_text().splitlines()) - 1

    done = subprocess.run(
        ["bash", "-euc", f"{FUNCTIONS}\n{command}"],
        env={**os.environ, "RECFACTORY_HOME": str(empty_world.config.home), "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(rf"purchase\W+{rows}\W", done.stdout), done.stdout


FUNCTIONS = f"""
python() {{ '{sys.executable}' "$@"; }}
recfactory() {{ '{sys.executable}' -c 'from jobs.cli import main; main()' "$@"; }}
"""
PATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
