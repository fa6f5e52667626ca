"""A served world for every test; the night itself is run once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.morning import Night, Served, one_night, serving
from tests.serving.sign_in import SignIn
from tests.world import World


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def morning(night: Night, tmp_path: Path) -> Iterator[World]:
    """acme and beta after a night of each."""
    world = night.world(tmp_path)
    yield world
    world.stores.engine.dispose()


@pytest.fixture
def own(morning: World, night: Night) -> Iterator[Served]:
    """The same, with an application that serves it."""
    with serving(morning, night.keys) as made:
        yield made


@pytest.fixture(scope="session")
def house(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One application for all tests that leave no trace."""
    world = night.world(tmp_path_factory.mktemp("house"))
    with serving(world, night.keys) as made:
        yield made
    world.stores.engine.dispose()


@pytest.fixture
def served(own: Served) -> Served:
    """A test's own, unless its file says that it leaves no trace."""
    return own


@pytest.fixture
def sign_in() -> Iterator[SignIn]:
    made = SignIn()
    yield made
    made.close()
