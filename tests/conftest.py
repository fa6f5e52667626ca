"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.objects import _s3 as _s3
from tests.objects import bucket as bucket
from tests.objects import mortal_bucket as mortal_bucket
from tests.postgres import cluster as cluster
from tests.postgres import mortal_cluster as mortal_cluster
from tests.world import World, open_world, two_tenants

settings.register_profile(
    "all", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("all")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it, and BLAS has one thread as in the product."""
    for name in list(os.environ):
        if name.startswith("RECFACTORY_"):
            monkeypatch.delenv(name)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def empty_world(tmp_path: Path) -> Iterator[World]:
    """An installation without tenants."""
    world = open_world(tmp_path)
    yield world
    world.stores.engine.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """acme and beta, same customer ids, data imported, no night yet."""
    world = two_tenants(tmp_path)
    yield world
    world.stores.engine.dispose()
