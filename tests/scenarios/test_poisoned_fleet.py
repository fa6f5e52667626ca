"""B01: a fleet some of whose tenants are poisoned, in real workers; nobody else notices."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs import executors
from jobs.fleet import run_fleet
from jobs.results import Task, exit_status
from schema.config import Brake, Nightly
from schema.names import Again, Outcome, TenantId
from schema.records import NightReport
from storage.stores import open_stores
from tests.jobs import poisons
from tests.scenarios.tree import contents, folder_of
from tests.world import NEXT_NIGHT, NIGHT, World, open_world, tables

HEALTHY = [TenantId(f"healthy-{number}") for number in range(6)]
DAMAGED = [TenantId(name) for name in ("torn-data", "no-dataset", "torn-model")]
POISONED = [*DAMAGED, *map(TenantId, poisons.WAYS)]

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet after its poisoned night, and the healthy tenants of its twin after a clean one."""

    world: World
    twin: World
    results: Mapping[TenantId, Any]


def _configured(world: World, **nightly: Any) -> World:
    # Most of this fleet goes wrong on purpose: its brake would rightly stop it.
    rule = Nightly(**nightly, brake=Brake(alike=1, own=1))
    config = world.config.model_copy(update={"nightly": rule})
    return World(config, world.stores, world.folder)


def _twin_of(world: World, folder: Path) -> World:
    shutil.copytree(world.config.home, folder / "home")
    config = world.config.model_copy(
        update={"home": folder / "home", "nightly": Nightly(executor="in-process")}
    )
    return World(config, open_stores(config), folder)


def _damage(world: World) -> None:
    [rows] = (folder_of(world, "torn-data") / "data/interactions").glob("*.parquet")
    rows.write_bytes(rows.read_bytes()[:-40] + bytes(40))
    (folder_of(world, "no-dataset") / "data/DATASET.json").write_bytes(b'{"custom')
    for factors in folder_of(world, "torn-model").glob("models/*/factors.npy"):
        factors.chmod(0o644)
        body = bytearray(factors.read_bytes())
        body[-3] ^= 1
        factors.write_bytes(body)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Every tenant has a first night; in the second the poisoned ones go wrong."""
    folder = tmp_path_factory.mktemp("fleet")
    world = open_world(folder)
    for tenant in [*HEALTHY, *POISONED]:
        world.add(tenant)
        world.import_(tenant, tables(tenant, customers=30, products=12))
        assert world.night(tenant, NIGHT).published
    twin = _twin_of(world, tmp_path_factory.mktemp("twin"))
    _damage(world)
    world = _configured(world, processes=3, attempts=2, tenant_minutes=0.25, tenant_bytes=2 * 2**30)
    with pytest.MonkeyPatch.context() as patching:
        for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            patching.setenv(threads, "1")
        patching.setattr(executors, "_work", poisons.work)
        patching.setattr(executors, "_PAUSE", 0.05)
        mixed = [name for pair in zip(POISONED, HEALTHY, strict=False) for name in pair]
        mixed += POISONED[len(HEALTHY) :]
        results = run_fleet(
            world.stores, world.config, [Task(name, NEXT_NIGHT) for name in mixed], lambda _: None
        )
        clean = [Task(name, NEXT_NIGHT) for name in HEALTHY]
        run_fleet(twin.stores, twin.config, clean, lambda _: None)
    yield Fleet(world, twin, {_name(result): result for result in results})
    for each in (world, twin):
        each.stores.engine.dispose()


def _name(result: Any) -> TenantId:
    return result.tenant if isinstance(result, NightReport) else result.task.tenant


class TestAHealthyTenant:
    def test_has_byte_for_byte_what_it_has_after_a_clean_night(self, fleet: Fleet) -> None:
        for name in HEALTHY:
            assert fleet.results[name].published, name
            for made in ("editions", "models"):
                ours, theirs = (
                    contents(folder_of(world, name) / made) for world in (fleet.world, fleet.twin)
                )
                assert ours == theirs, name


class TestAPoisonedTenant:
    def test_has_a_report_by_name_whatever_happened(self, fleet: Fleet) -> None:
        assert {n for n, r in fleet.results.items() if isinstance(r, NightReport)} == {
            *HEALTHY,
            *POISONED,
        }
        assert exit_status([*fleet.results.values()]) == 1
        for name in POISONED:
            if name != "nonsense":
                assert fleet.results[name].outcome is Outcome.FAILED, name
                assert fleet.results[name].because.startswith(f"{name}"), name

    def test_serves_its_last_edition_on(self, fleet: Fleet) -> None:
        for name in POISONED:
            current = fleet.world.stores.editions.current(fleet.world.tenant(name).uid)
            assert current is not None
            if name != "nonsense":
                assert current.edition == 1, name

    @pytest.mark.parametrize(
        ("name", "code", "attempts"),
        [
            ("crashes", "WORKER_LOST", 2),
            ("loops-in-c", "NIGHT_TIME", 2),
            ("deaf", "NIGHT_TIME", 2),
            ("hungry", "NIGHT_MEMORY", 1),
            ("leaves", "DEFECT", 1),
            ("stumbles", "DEFECT", 1),
        ],
    )
    def test_is_told_what_it_failed_of(
        self, name: str, code: str, attempts: int, fleet: Fleet
    ) -> None:
        report = fleet.results[TenantId(name)]
        assert (report.figures["code"], report.attempts) == (code, attempts)

    def test_is_given_up_where_it_was_tried_enough_or_would_fail_again(self, fleet: Fleet) -> None:
        given_up = {
            name for name in POISONED if fleet.results[name].figures.get("again") == Again.BY_HAND
        }
        assert given_up == {"crashes", "loops-in-c", "deaf", "hungry"}

    def test_that_learnt_nonsense_is_not_promoted(self, fleet: Fleet) -> None:
        assert fleet.results[TenantId("nonsense")].outcome in (Outcome.REJECTED, Outcome.FAILED)


class TestAWorkerThatRanOutOfMemory:
    def test_takes_no_other_night_and_costs_the_next_one_nothing(
        self, empty_world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hungry, next_one = TenantId("hungry"), TenantId("next")
        for name in (hungry, next_one):
            empty_world.add(name)
            empty_world.import_(name, tables(name, customers=30, products=12))
        world = _configured(empty_world, processes=1, attempts=1, tenant_bytes=2 * 2**30)
        monkeypatch.setattr(executors, "_work", poisons.work)
        tasks = [Task(hungry, NIGHT), Task(next_one, NIGHT)]
        bad, good = run_fleet(world.stores, world.config, tasks, lambda _: None)
        assert isinstance(bad, NightReport)
        assert isinstance(good, NightReport)
        assert bad.figures["code"] == "NIGHT_MEMORY"
        assert good.published
        assert good.attempts == 0
        assert good.figures["worker"] != bad.figures["worker"]
