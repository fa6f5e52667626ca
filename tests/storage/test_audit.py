"""The audit trail: every act, in order, and nothing can be taken back unseen."""

from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from schema.names import Mode, TenantId
from schema.records import Chain
from storage.audit import Audit, note, root
from storage.database import connect, migrate
from storage.stores import open_stores, sqlite_url
from tests.storage.test_database import at_version
from tests.world import ACME, BETA, NOW, World

PEPPER = b"a pepper of thirty-two bytes ..."


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = connect(sqlite_url(tmp_path)).execution_options(pepper=PEPPER)
    migrate(engine)
    return engine


@pytest.fixture
def trail(engine: Engine) -> Audit:
    """Five acts each in acme and beta, in turns, and two of the installation's own."""
    for n in range(5):
        add(engine, ACME, n)
        add(engine, BETA, n)
    for n in range(2):
        add(engine, None, n)
    return Audit(engine, PEPPER)


def add(engine: Engine, tenant: TenantId | None, n: int) -> None:
    with engine.begin() as connection:
        detail = {"why": f"{tenant} – act {n}", "value": 0.1 * n, "was": None, "list": [1, {}]}
        note(connection, tenant, "ann", "act", detail, NOW + timedelta(microseconds=n))


def tampered(engine: Engine, statement: str) -> None:
    """What somebody does who has the whole database in their hands: the triggers go first."""
    with engine.begin() as connection:
        for act in ("update", "delete"):
            connection.execute(text(f"drop trigger if exists audit_{act}"))
        assert connection.execute(text(statement)).rowcount


def faults(chains: list[Chain]) -> dict[str | None, tuple[str, ...]]:
    return {chain.tenant: chain.faults for chain in chains if chain.faults}


class TestALine:
    def test_follows_the_one_before_it_in_its_own_tenants_chain(self, trail: Audit) -> None:
        for owner, lines in ((ACME, trail.of(ACME)), (BETA, trail.of(BETA))):
            assert [line.number for line in lines] == [5, 4, 3, 2, 1]
            assert [line.prev for line in lines] == [
                *(line.hash for line in lines[1:]),
                root(PEPPER, owner),
            ]

    def test_of_no_tenant_is_in_the_installations_chain(self, trail: Audit) -> None:
        newest, first, *_ = trail.all()
        assert (newest.tenant, newest.number, newest.prev) == (None, 2, first.hash)
        assert first.prev == root(PEPPER, None)

    def test_tells_a_tenant_nothing_of_how_much_others_do(self, engine: Engine) -> None:
        def two_acts(others: int) -> list[dict[str, Any]]:
            add(engine, ACME, 1)
            for n in range(others):
                add(engine, BETA, n)
            add(engine, ACME, 2)
            return [line.as_json() for line in Audit(engine, PEPPER).of(ACME, 2)]

        alone, among = two_acts(0), two_acts(7)
        assert [line["number"] for line in alone + among] == [2, 1, 4, 3]
        assert "id" not in alone[0]

    def test_is_not_kept_where_the_act_was_undone(self, engine: Engine) -> None:
        def fails() -> None:
            with engine.begin() as connection:
                note(connection, ACME, "ann", "act", {}, NOW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fails()
        assert Audit(engine, PEPPER).all() == []

    def test_is_never_lost_or_forked_when_many_act_at_once(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        start, rounds = Barrier(3), 10

        def act(tenant: TenantId) -> None:
            own = connect(sqlite_url(tmp_path)).execution_options(pepper=PEPPER)
            start.wait()
            for n in range(rounds):
                add(own, tenant, n)
            own.dispose()

        threads = [Thread(target=act, args=(name,)) for name in (ACME, ACME, BETA)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        trail = Audit(engine, PEPPER)
        assert [line.number for line in reversed(trail.of(ACME))] == [*range(1, 2 * rounds + 1)]
        assert faults(trail.verify()) == {}


class TestReading:
    def test_pages_newest_first_without_a_gap(self, trail: Audit) -> None:
        newest = trail.of(ACME, 2)
        rest = trail.of(ACME, before=newest[-1].number)
        assert newest + rest == trail.of(ACME)
        everything = trail.all(5)
        while page := trail.all(5, before=everything[-1].id):
            everything += page
        assert everything == trail.all()
        assert len(everything) == 12

    def test_is_of_one_tenant_only(self, trail: Audit) -> None:
        assert BETA not in repr(trail.of(ACME))


class TestTheDatabase:
    @pytest.mark.parametrize(
        "statement", ["update audit set actor = 'bob' where id = 1", "delete from audit"]
    )
    def test_refuses_to_change_or_delete_a_line(
        self, statement: str, trail: Audit, engine: Engine
    ) -> None:
        before = trail.all()
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
        assert trail.all() == before

    def test_refuses_a_second_line_after_the_same_one(self, trail: Audit, engine: Engine) -> None:
        with pytest.raises(DatabaseError, match=r"audit\.prev"), engine.begin() as connection:
            connection.execute(
                text(
                    "insert into audit (at, tenant, actor, act, detail, number, prev, hash)"
                    " select at, tenant, actor, act, detail, 9, prev, hash from audit where id = 3"
                )
            )


class TestVerify:
    def test_finds_nothing_where_nothing_was_done(self, trail: Audit) -> None:
        chains = trail.verify()
        assert [(chain.tenant, chain.number) for chain in chains] == [
            (None, 2),
            (ACME, 5),
            (BETA, 5),
        ]
        assert faults(chains) == {}

    @pytest.mark.parametrize(
        "change",
        [
            "actor = 'bob'",
            "act = 'other'",
            "at = '2026-04-01 00:05:00.000009'",
            'detail = \'{"why": "something else"}\'',
            "tenant = 'acme', number = 6",
            "hash = prev",
        ],
    )
    def test_names_the_one_line_that_was_changed(
        self, change: str, trail: Audit, engine: Engine
    ) -> None:
        tampered(engine, f"update audit set {change} where tenant = 'beta' and number = 5")
        [(_, [fault])] = faults(trail.verify()).items()
        assert "was changed" in fault

    def test_goes_on_behind_a_changed_line(self, trail: Audit, engine: Engine) -> None:
        tampered(
            engine, "update audit set actor = 'bob' where tenant = 'acme' and number in (2, 4)"
        )
        assert faults(trail.verify()) == {ACME: ("line 2 was changed", "line 4 was changed")}

    @pytest.mark.parametrize(
        ("gone", "said"),
        [("number = 3", "line 3 is gone"), ("number < 3", "lines 1 to 2 are gone")],
    )
    def test_names_lines_that_are_gone(
        self, gone: str, said: str, trail: Audit, engine: Engine
    ) -> None:
        tampered(engine, f"delete from audit where tenant = 'acme' and {gone}")
        assert faults(trail.verify()) == {ACME: (said,)}

    def test_sees_through_a_history_that_was_written_anew_without_the_pepper(
        self, trail: Audit, engine: Engine
    ) -> None:
        tampered(engine, "delete from audit where tenant = 'acme'")
        forger = engine.execution_options(pepper=b"a guess")
        for n in range(5):
            add(forger, ACME, n)
        assert len(faults(trail.verify())[ACME]) == 5

    @pytest.mark.parametrize("nonsense", ["at = 'yesterday'", "detail = '{'"])
    def test_survives_a_line_that_cannot_be_read(
        self, nonsense: str, trail: Audit, engine: Engine
    ) -> None:
        tampered(engine, f"update audit set {nonsense} where tenant = 'acme' and number = 3")
        found = faults(trail.verify())
        assert set(found) == {ACME}
        assert "cannot be read" in found[ACME][0]

    def test_cannot_tell_alone_that_the_newest_lines_were_cut_off(
        self, trail: Audit, engine: Engine
    ) -> None:
        tampered(engine, "delete from audit where tenant = 'acme' and number > 3")
        assert faults(trail.verify()) == {}

    def test_tells_it_by_heads_that_were_kept_elsewhere(self, trail: Audit, engine: Engine) -> None:
        kept = trail.verify()
        add(engine, ACME, 6)
        assert faults(trail.verify(kept)) == {}
        tampered(engine, "delete from audit where tenant = 'acme' and number > 3")
        [said] = faults(trail.verify(kept))[ACME]
        assert "line 5" in said
        add(engine, ACME, 7)
        add(engine, ACME, 8)  # grown to the old length again, by other lines
        assert faults(trail.verify(kept)) == {ACME: (said,)}

    def test_tells_that_a_tenants_whole_chain_is_gone(self, empty_world: World) -> None:
        empty_world.add(ACME)
        empty_world.add(BETA)
        tampered(empty_world.stores.engine, "delete from audit where tenant = 'acme'")
        assert faults(empty_world.stores.audit.verify()) == {ACME: ("every line is gone",)}


class TestAnOlderTrail:
    def test_is_sealed_in_its_order_and_reads_as_before(self, tmp_path: Path) -> None:
        engine = connect(sqlite_url(tmp_path)).execution_options(pepper=PEPPER)
        at_version(engine, "0004")
        with engine.begin() as connection:
            for n, name in enumerate((ACME, BETA, ACME, None)):
                connection.execute(
                    text(
                        "insert into audit (at, tenant, actor, act, detail) values"
                        " ('2026-04-01 00:05:00.000000', :tenant, :actor, 'mode', '{\"n\": 1.5}')"
                    ),
                    {"tenant": name, "actor": f"ann {n}"},
                )

        migrate(engine)

        trail = Audit(engine, PEPPER)
        assert faults(trail.verify()) == {}
        assert [(line.number, line.actor) for line in trail.of(ACME)] == [
            (2, "ann 2"),
            (1, "ann 0"),
        ]
        assert trail.of(BETA)[0].detail == {"n": 1.5}
        add(engine, ACME, 3)
        assert faults(trail.verify()) == {}
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text("delete from audit"))
        engine.dispose()


class TestTheInstallation:
    def test_seals_under_its_own_pepper_and_knows_its_trail_after_a_restart(
        self, empty_world: World
    ) -> None:
        empty_world.add(ACME)
        empty_world.switch(ACME, Mode.OFF)
        again = open_stores(empty_world.config)
        assert faults(again.audit.verify()) == {}
        assert len(again.audit.of(ACME)) == 2
        assert faults(Audit(again.engine, b"another pepper").verify())
        again.engine.dispose()
