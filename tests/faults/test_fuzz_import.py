"""Whatever bytes are delivered: a clean answer, in bounded time and memory.

RECFACTORY_FUZZ_SECONDS=60 (or `make fuzz`) makes it a longer trial; RECFACTORY_FUZZ_SEED another one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.fuzz import MOST_MEMORY
from tests.floors.test_purity import ROOT

SECONDS = float(os.environ.get("RECFACTORY_FUZZ_SECONDS", "12"))
SEED = int(os.environ.get("RECFACTORY_FUZZ_SEED", "1"))
STUCK = "Timeout ("
"""What Python's watchdog writes when one delivery takes too long."""


def fuzz(folder: Path, seconds: float, *planted: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", folder, str(seconds), str(SEED), *planted],
        cwd=ROOT,
        # The system's allocator, so that what is asked for is what is counted.
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        timeout=seconds + 120,
    )


def found(done: "subprocess.CompletedProcess[str]") -> dict[str, int]:
    """What was found, by its kind; nothing where the trial came to its end."""
    return {
        "crashes": int(done.returncode < 0),
        "hangs": int(STUCK in done.stderr),
        "over_memory": int("MemoryError" in done.stderr),
        "unexpected": int(done.returncode > 0 and STUCK not in done.stderr),
    }


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 200)
def test_any_bytes_at_all_get_a_clean_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = fuzz(tmp_path, SECONDS)

    assert not any(found(done).values()), f"seed {SEED}: {done.stderr[-4000:]}"
    figures = json.loads(done.stdout) | found(done)
    with capsys.disabled():
        sys.stdout.write(f"\nfuzz: {json.dumps(figures)}\n")
    assert figures["cases"] > 20
    assert figures["accepted"] > 0
    assert figures["peak_mib"] < MOST_MEMORY >> 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        ("crash", "crashes"),
        ("hang", "hangs"),
        ("memory", "over_memory"),
        ("error", "unexpected"),
    ],
)
def test_a_planted_defect_is_found(planted: str, kind: str, tmp_path: Path) -> None:
    assert found(fuzz(tmp_path, 5, planted))[kind] == 1
