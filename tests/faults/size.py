"""How large the fault suite is: a few minutes in CI, all of it by `make faults`."""

import os

FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED", "1"))


def size(ci: int, full: int) -> int:
    """How many of something there are in this run."""
    return full if FULL else ci
