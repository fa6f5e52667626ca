"""Data from SalesCore's own database: every row once, every tenant apart, whatever dies."""

import shutil
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.pull import Came, Pull, exit_status, pull_all
from jobs.release import release
from schema.names import TenantId
from schema.settings import with_changes
from storage.durable import Disk
from storage.imports import Imports
from storage.marks import Marks
from storage.source import Snapshot, Source
from storage.stores import open_stores
from storage.waiting import discard
from tests.faults.disk import FaultyDisk, Killed
from tests.salescore import ORDERED, QUERIES, SalesCore, postgresql, sqlite
from tests.world import ACME, BETA, NOW, World, open_world

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
CLIENTS = {ACME: 42, BETA: 43}


class Shop:
    """acme is client 42 of a SalesCore, beta 43; both have the customers C-1 and C-2."""

    def __init__(self, world: World, database: SalesCore, **settings: Any) -> None:
        config = world.config.model_copy(update={"source": database.settings(**settings)})
        self.world, self.database, self.config = world, database, config

    def is_client(self, name: TenantId, client: str) -> None:
        changes = {"source.client": client} if client else {}
        self.world.stores.ledger.change_settings(name, changes, by="test", at=NOW)

    def pull(self, *names: TenantId, dry_run: bool = False) -> list[Pull]:
        known = [self.world.tenant(name) for name in names or (ACME, BETA)]
        with closing(Source(self.config.source)) as source:
            return list(
                pull_all(
                    self.world.stores, self.config, known, source,
                    by="test", now=NOW, dry_run=dry_run,
                )
            )  # fmt: skip

    def has(self, name: TenantId = ACME) -> Counter[tuple[str, str]]:
        """(customer, product) of every interaction taken in, with how often."""
        uid = self.world.tenant(name).uid
        if self.world.stores.datasets.of(uid) is None:
            return Counter()
        rows = self.world.stores.datasets.read(uid, "interactions")
        pairs = zip(rows["customer_id"].to_pylist(), rows["product_id"].to_pylist(), strict=True)
        return Counter(pairs)

    def marks(self, name: TenantId = ACME) -> dict[str, Any]:
        return {t: mark.until for t, mark in self.world.stores.marks.of(name).items()}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SalesCore:
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return postgresql(request.getfixturevalue("cluster"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The source's own clock, in hand."""
    shows = [FIRST]
    monkeypatch.setattr(Snapshot, "clock", lambda _: shows[0])
    return shows


@pytest.fixture
def shop(empty_world: World, database: SalesCore, clock: list[datetime]) -> Shop:
    return stocked(empty_world, database)


@pytest.fixture
def light(empty_world: World, tmp_path: Path, clock: list[datetime]) -> Shop:
    """On SQLite only: for what does not depend on the database."""
    return stocked(empty_world, sqlite(tmp_path))


def stocked(world: World, database: SalesCore) -> Shop:
    shop = Shop(world, database)
    for name, client in CLIENTS.items():
        world.add(name)
        shop.is_client(name, str(client))
        products = [f"{name}-P-{n}" for n in (1, 2, 3)]
        database.stocked(client, customers=["C-1", "C-2"], products=products)
        database.sold(client, FIRST - DAY, f"C-1 {name}-P-1", f"C-2 {name}-P-2")
    return shop


class TestAPull:
    def test_takes_each_tenants_own_rows_in(self, shop: Shop) -> None:
        pulls = shop.pull()

        assert [pull.came for pull in pulls] == [Came.ACCEPTED, Came.ACCEPTED]
        assert shop.has(ACME) == {("C-1", "acme-P-1"): 1, ("C-2", "acme-P-2"): 1}
        assert shop.has(BETA) == {("C-1", "beta-P-1"): 1, ("C-2", "beta-P-2"): 1}

    def test_gives_every_column_the_value_it_has_there(self, shop: Shop) -> None:
        shop.pull()

        uid = shop.world.tenant(ACME).uid
        [first, _] = shop.world.stores.datasets.read(uid, "interactions").to_pylist()
        [product, *_] = shop.world.stores.datasets.read(uid, "products").to_pylist()
        assert first["occurred_at"] == datetime(2026, 3, 1, 10, tzinfo=UTC)
        assert (first["quantity"], first["value"], first["event"]) == (1, 2.5, "purchase")
        assert (product["product_id"], product["price"]) == ("acme-P-1", 2.5)

    def test_reads_only_what_is_new_since_the_last_one(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        shop.pull()
        shop.database.sold(42, FIRST + DAY, "C-2 acme-P-3")
        clock[0] += 2 * DAY

        [pull] = shop.pull(ACME)

        read = {found.table: found.read for found in pull.reports[0].tables}
        assert read == {"customers": 2, "products": 3, "interactions": 1}
        assert sum(shop.has().values()) == 3

    def test_takes_a_row_once_however_often_it_is_repeated(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        for _ in range(3):
            shop.pull()
            clock[0] += DAY

        assert sum(shop.has().values()) == 2

    def test_takes_the_row_of_the_very_moment_of_the_mark_once(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        shop.database.sold(42, FIRST, "C-1 acme-P-3")
        shop.pull()
        clock[0] += DAY
        shop.pull()

        assert shop.has()["C-1", "acme-P-3"] == 1

    def test_replaces_the_catalogue_so_that_what_is_gone_there_is_gone_here(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        shop.pull()
        shop.database.do("delete from product where sku = 'acme-P-3'")
        clock[0] += DAY

        shop.pull()

        uid = shop.world.tenant(ACME).uid
        assert len(shop.world.stores.datasets.read(uid, "products")) == 2

    def test_comes_to_the_same_clock_as_the_database_itself(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        before = datetime.now(UTC) - timedelta(seconds=2)

        shop.pull(ACME)

        assert before < shop.marks()["interactions"] < datetime.now(UTC) + timedelta(seconds=2)

    def test_of_a_client_with_nothing_new_says_so(self, light: Shop, clock: list[datetime]) -> None:
        queries = {"interactions": QUERIES["interactions"]}
        light.pull()
        clock[0] += DAY
        only = Shop(light.world, light.database, queries=queries)

        [pull] = only.pull(ACME)

        assert (pull.came, pull.reports) == (Came.NOTHING, ())
        assert only.marks()["interactions"] == clock[0]


class TestAQuery:
    def test_with_a_window_changes_only_what_it_gives(
        self, light: Shop, clock: list[datetime]
    ) -> None:
        light.pull(ACME)
        light.database.do("alter table product add column changed_at text")
        light.database.do(
            f"update product set changed_at = '{FIRST + DAY:%Y-%m-%d %H:%M:%S}' where sku = 'acme-P-3'"
        )
        new = f"{QUERIES['products']} and changed_at > :since and changed_at <= :until"
        clock[0] += 2 * DAY

        [acme] = Shop(light.world, light.database, queries={**QUERIES, "products": new}).pull(ACME)

        assert [found.read for found in acme.reports[0].tables] == [2, 1]
        uid = light.world.tenant(ACME).uid
        assert len(light.world.stores.datasets.read(uid, "products")) == 3

    def test_without_one_replaces_the_table(self, light: Shop, clock: list[datetime]) -> None:
        whole = QUERIES["interactions"].split(" and ")[0]
        asked = Shop(light.world, light.database, queries={**QUERIES, "interactions": whole})
        for _ in range(3):
            asked.pull(ACME)
            clock[0] += DAY
            light.database.sold(
                42, clock[0], "C-1 acme-P-3", at=ORDERED + timedelta(days=clock[0].day)
            )

        assert sum(asked.has().values()) == 4

    def test_names_columns_itself_whatever_the_tenants_files_look_like(self, light: Shop) -> None:
        mapping = {"customers": {"columns": {"customer_id": "Kundennummer"}}}
        light.world.stores.ledger.change_mapping(ACME, mapping, by="test", why="a test", at=NOW)

        assert light.pull(ACME)[0].came is Came.ACCEPTED


class TestARowThatIsWrittenLate:
    def test_is_not_missed_because_young_rows_wait(
        self, empty_world: World, database: SalesCore, clock: list[datetime]
    ) -> None:
        """Its transaction began first and was committed last."""
        stocked(empty_world, database)
        shop = Shop(empty_world, database, settle_seconds=3600)
        minute = timedelta(minutes=1)
        database.sold(42, FIRST - 10 * minute, "C-1 acme-P-3")
        shop.pull()
        database.sold(42, FIRST - 20 * minute, "C-2 acme-P-3")
        clock[0] += DAY

        shop.pull()

        assert shop.has()["C-1", "acme-P-3"] == shop.has()["C-2", "acme-P-3"] == 1

    def test_from_the_future_waits_and_holds_nothing_up(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        shop.database.sold(42, FIRST + 1000 * DAY, "C-1 acme-P-3")
        shop.pull()
        shop.database.sold(42, FIRST + DAY, "C-2 acme-P-3")
        clock[0] += 2 * DAY

        shop.pull()

        assert shop.has()["C-2", "acme-P-3"] == 1
        assert ("C-1", "acme-P-3") not in shop.has()

    def test_is_not_asked_for_by_a_clock_that_went_back(
        self, shop: Shop, clock: list[datetime]
    ) -> None:
        shop.pull()
        clock[0] -= DAY

        shop.pull()

        assert shop.marks()["interactions"] == FIRST
        assert sum(shop.has().values()) == 2


class TestADryRun:
    def test_tells_what_would_come_and_keeps_nothing(self, light: Shop) -> None:
        [pull] = light.pull(ACME, dry_run=True)

        assert [found.accepted for found in pull.reports[0].tables] == [2, 3, 2]
        assert light.has() == {}
        assert light.marks() == {}
        folder = light.world.config.home / "tenants" / light.world.tenant(ACME).uid / "source"
        assert list(folder.iterdir()) == []


class TestOneTenant:
    def test_that_nobody_named_a_client_for_is_skipped_with_a_sentence(self, light: Shop) -> None:
        light.is_client(ACME, "")

        acme, beta = light.pull()

        assert (acme.came, beta.came) == (Came.SKIPPED, Came.ACCEPTED)
        assert "tenant set acme source.client=" in acme.because
        assert exit_status([acme, beta]) == 0

    def test_whose_rows_are_refused_stops_no_other_and_keeps_its_mark(self, light: Shop) -> None:
        light.database.do("update order_line set customer = 'nobody' where client_id = 42")

        acme, beta = light.pull()

        assert (acme.came, acme.code) == (Came.FAILED, "REF_UNKNOWN")
        assert beta.came is Came.ACCEPTED
        assert light.marks(ACME) == {}
        assert exit_status([acme, beta]) == 1

    def test_is_taken_in_whole_once_its_refused_rows_were_mended(
        self, light: Shop, clock: list[datetime]
    ) -> None:
        light.database.do("update order_line set customer = 'nobody' where client_id = 42")
        light.pull()
        light.database.do("update order_line set customer = 'C-1' where client_id = 42")
        clock[0] += DAY

        light.pull()

        assert sum(light.has().values()) == 2

    def test_that_breaks_something_stops_no_other(
        self, light: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = Imports.record

        def breaks(self: Imports, tenant: TenantId, *args: Any, **more: Any) -> None:
            if tenant == ACME:
                raise ZeroDivisionError
            record(self, tenant, *args, **more)

        monkeypatch.setattr(Imports, "record", breaks)

        acme, beta = light.pull()

        assert (acme.came, acme.because.split(";")[0]) == (Came.FAILED, "ZeroDivisionError")
        assert beta.came is Came.ACCEPTED

    def test_of_a_client_that_is_not_there_loses_nothing(
        self, light: Shop, clock: list[datetime]
    ) -> None:
        light.pull()
        light.database.do("delete from customer where client_id = 42")
        clock[0] += DAY

        [acme] = light.pull(ACME)

        assert (acme.came, acme.code) == (Came.FAILED, "SOURCE_EMPTY")
        uid = light.world.tenant(ACME).uid
        assert len(light.world.stores.datasets.read(uid, "customers")) == 2

    def test_cannot_be_the_client_that_another_one_is(self, light: Shop) -> None:
        light.is_client(BETA, "42")

        pulls = light.pull()

        assert [pull.code for pull in pulls] == ["SOURCE_CLIENT", "SOURCE_CLIENT"]
        assert light.has(ACME) == light.has(BETA) == {}

    def test_cannot_become_another_client_for_their_rows_would_mix(self, light: Shop) -> None:
        light.pull()
        light.is_client(BETA, "")
        light.is_client(ACME, "43")

        [acme] = light.pull(ACME)

        assert acme.code == "SOURCE_CLIENT"
        assert ("C-1", "beta-P-1") not in light.has(ACME)

    @pytest.mark.parametrize(
        "client", ["42 or 1=1", "42' or '1'='1", "42); drop table customer; --", ":until", "%s"]
    )
    def test_is_a_value_and_never_text_of_a_query(self, shop: Shop, client: str) -> None:
        shop.is_client(ACME, client)

        [acme] = shop.pull(ACME)

        assert acme.code in ("SOURCE_EMPTY", "SOURCE_QUERY")
        assert shop.has() == {}
        assert shop.pull(BETA)[0].came is Came.ACCEPTED


class TestADatabaseThatIsAway:
    def test_is_tried_once_and_not_for_every_tenant(
        self, light: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = []
        with closing(Source(light.config.source)) as source:
            (light.world.folder / "salescore.db").unlink()
            snapshot = source.snapshot

            def counted() -> Any:
                tried.append(1)
                return snapshot()

            monkeypatch.setattr(source, "snapshot", counted)
            known = [light.world.tenant(name) for name in (ACME, BETA)]
            pulls = list(
                pull_all(light.world.stores, light.config, known, source, by="test", now=NOW)
            )

        assert [pull.code for pull in pulls] == ["SOURCE_AWAY", "SOURCE_AWAY"]
        assert len(tried) == 1


class TestAPullThatDies:
    """At any step: the next one leaves every row in exactly once."""

    @pytest.mark.slow
    def test_at_any_step_of_the_disk(self, tmp_path: Path, clock: list[datetime]) -> None:
        prepared = stocked(open_world(tmp_path / "before"), sqlite(tmp_path / "before"))
        prepared.world.stores.engine.dispose()
        steps = self.dying(prepared, tmp_path / "whole", -1)
        assert any("waiting" in step for step in steps)
        assert any("DATASET.json" in step for step in steps)
        for number, step in enumerate(steps):
            folder = tmp_path / f"{number}"
            assert self.dying(prepared, folder, number)[-1] == step
            self.assert_whole(self.opened(prepared, folder, Disk()), clock, step)
            clock[0] = FIRST

    def dying(self, prepared: Shop, folder: Path, number: int) -> list[str]:
        """Pull in a copy of a home; the process dies at that step of the disk."""
        shutil.copytree(prepared.world.folder, folder)
        disk = FaultyDisk(number)
        shop = self.opened(prepared, folder, disk)
        with suppress(Killed):
            shop.pull(ACME)
        shop.world.stores.engine.dispose()
        return disk.steps

    def opened(self, prepared: Shop, folder: Path, disk: Disk) -> Shop:
        config = prepared.world.config.model_copy(update={"home": folder / "home"})
        world = World(config, open_stores(config, disk), folder)
        return Shop(world, SalesCore("sqlite", f"sqlite:///{folder / 'salescore.db'}"))

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize(("store", "verb"), [(Imports, "record"), (Marks, "advance")])
    def test_around_what_it_writes_into_the_ledger(
        self,
        store: type[Any],
        verb: str,
        after: bool,
        light: Shop,
        clock: list[datetime],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        does = getattr(store, verb)

        def dies(*args: Any, **more: Any) -> None:
            if after:
                does(*args, **more)
            raise Killed

        with monkeypatch.context() as dying:
            dying.setattr(store, verb, dies)
            with pytest.raises(Killed):
                light.pull(ACME)

        self.assert_whole(light, clock, verb)

    def assert_whole(self, shop: Shop, clock: list[datetime], where: str) -> None:
        """A later pull, of a source that went on meanwhile, has everything once."""
        later = ORDERED + timedelta(hours=1)  # equal lines of one pull count once
        shop.database.sold(42, FIRST + DAY, "C-1 acme-P-1", "C-2 acme-P-3", at=later)
        clock[0] = FIRST + 2 * DAY

        [pull] = shop.pull(ACME)

        assert pull.came is Came.ACCEPTED, where
        expected = {("C-1", "acme-P-1"): 2, ("C-2", "acme-P-2"): 1, ("C-2", "acme-P-3"): 1}
        assert shop.has() == expected, where
        assert shop.marks() == {"interactions": clock[0]}, where
        home = shop.world.config.home / "tenants" / shop.world.tenant(ACME).uid / "source"
        assert list(home.iterdir()) == [], where
        shop.world.stores.engine.dispose()


class TestADeliveryThatIsHeld:
    """A catalogue of which most is gone waits for a person, and the mark with it."""

    @pytest.fixture
    def held(self, light: Shop, clock: list[datetime]) -> Shop:
        many = [f"C-{number}" for number in range(1000, 1400)]
        light.database.stocked(42, customers=many, products=["more"])
        strict = with_changes(light.config.template, {"intake.holds.least_ids": 10})
        light.config = light.config.model_copy(update={"template": strict})
        light.pull(ACME)
        light.database.do("delete from customer where number like 'C-1___'")
        light.database.sold(42, FIRST + DAY, "C-2 acme-P-3")
        clock[0] += 2 * DAY
        [pull] = light.pull(ACME)
        assert (pull.came, exit_status([pull])) == (Came.HELD, 3)
        return light

    def batch(self, shop: Shop) -> str:
        return shop.world.stores.imports.deliveries(ACME)[0].batch

    def test_moves_no_mark_and_is_not_read_again(self, held: Shop, clock: list[datetime]) -> None:
        before = len(held.world.stores.imports.deliveries(ACME))
        clock[0] += DAY

        [pull] = held.pull(ACME)

        assert pull.came is Came.HELD
        assert f"release acme {self.batch(held)}" in pull.because
        assert held.marks()["interactions"] == FIRST
        assert len(held.world.stores.imports.deliveries(ACME)) == before

    def test_that_is_released_counts_once_and_what_came_later_too(
        self, held: Shop, clock: list[datetime]
    ) -> None:
        release(
            held.world.stores, held.world.tenant(ACME), self.batch(held),
            held.config.template.intake, by="test", why="a test", now=NOW,
        )  # fmt: skip
        held.database.sold(42, clock[0] + DAY, "C-2 acme-P-2")
        clock[0] += 2 * DAY

        held.pull(ACME)

        assert held.has()["C-2", "acme-P-3"] == 1
        assert held.has()["C-2", "acme-P-2"] == 2
        assert held.marks()["interactions"] == clock[0]

    def test_that_is_discarded_is_read_again(self, held: Shop, clock: list[datetime]) -> None:
        many = [f"C-{number}" for number in range(1000, 1400)]
        discard(
            held.world.stores, held.world.tenant(ACME), self.batch(held),
            by="test", why="a test", now=NOW,
        )  # fmt: skip
        held.database.stocked(42, customers=many, products=["other"])
        clock[0] += DAY

        [pull] = held.pull(ACME)

        assert pull.came is Came.ACCEPTED
        assert held.has()["C-2", "acme-P-3"] == 1
