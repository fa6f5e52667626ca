"""The ledger on a real PostgreSQL: what it promises on SQLite, it does there."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from schema.config import Ledger
from schema.names import FeedbackKind, Mode, Outcome
from storage.feedback import REPEATED, STORED
from storage.marks import Mark
from storage.rows import METADATA
from storage.runs import Earlier
from tests.postgres import Cluster
from tests.storage.test_feedback import event
from tests.storage.test_runs import conclude, ran
from tests.world import ACME, BETA, NEXT_NIGHT, NOW, World, open_world, tables


@pytest.fixture
def world(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    """acme and beta with their data; the ledger is a PostgreSQL."""
    url = cluster.url(cluster.make())
    world = open_world(tmp_path, ledger=Ledger.model_validate({"url": url}))
    for name in (ACME, BETA):
        world.add(name)
        world.import_(name, tables(name))
    yield world
    world.stores.engine.dispose()


def test_is_migrated_to_what_the_code_speaks_of(world: World) -> None:
    with world.stores.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_keeps_tenants_and_deliveries_apart(world: World) -> None:
    world.switch(ACME, Mode.FREEZE)

    assert [tenant.mode for tenant in world.stores.ledger.tenants()] == [Mode.FREEZE, Mode.ON]
    for name in (ACME, BETA):
        [report] = world.stores.imports.reports(name)
        assert (report["imported_at"], report["report"]["tenant"]) == (NOW, name)


def test_counts_feedback_once_for_each_tenant(world: World) -> None:
    for name in (ACME, BETA):
        later = NOW + timedelta(days=1)
        results = [world.stores.feedback.keep(name, [event()]) for _ in range(2)]
        assert results == [[STORED], [REPEATED]]
        found = world.stores.feedback.events(name, later, list(FeedbackKind))
        assert [line["event_id"] for line in found] == ["e-1"]


def test_moves_marks_of_one_tenant_only(world: World) -> None:
    world.stores.marks.advance(ACME, {"interactions": Mark("42", NOW)})
    world.stores.marks.advance(ACME, {"interactions": Mark("42", NOW + timedelta(days=1))})

    assert world.stores.marks.of(ACME) == {"interactions": Mark("42", NOW + timedelta(days=1))}
    assert world.stores.marks.of(BETA) == {}


@pytest.mark.parametrize("statement", ["update audit set actor = 'x'", "delete from audit"])
def test_lets_nobody_change_its_audit_trail(world: World, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), world.stores.engine.begin() as connection:
        connection.execute(text(statement))
    assert not any(chain.faults for chain in world.stores.audit.verify())


def test_keeps_runs_and_finds_the_nights_before(world: World) -> None:
    conclude(world, ACME, 1, Outcome.PROMOTED, seconds={"train": 2.0, "rank": 1.0})
    for number in (1, 2):
        world.stores.runs.record(ran(number))

    assert world.stores.runs.last() == ran(2)
    assert world.stores.runs.nights_before(NEXT_NIGHT) == {ACME: Earlier("promoted", 3.0)}
    assert world.stores.imports.held() == {}


@pytest.mark.slow
def test_carries_a_night_of_each_tenant(world: World) -> None:
    for name in (ACME, BETA):
        assert world.night(name).outcome is Outcome.PROMOTED
        assert world.stores.nights.nights(name, 7)[0].tenant == name
