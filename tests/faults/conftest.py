"""What every check of the fault suite tells."""

import sys
from collections.abc import Callable

import pytest

from tests.faults.homes import homes as homes

Tell = Callable[..., None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Writes one line of figures beside pytest's own: the promise, then name=value."""

    def line(promise: str, **figures: object) -> None:
        words = " ".join(f"{name}={value}" for name, value in figures.items())
        with capsys.disabled():
            sys.stdout.write(f"\n{promise} {words}\n")

    return line
