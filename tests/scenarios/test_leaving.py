"""A tenant leaves: named, exported, disabled at once, deleted after its grace; nobody else's."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.leaving import finish, leave
from schema.config import Leaving
from schema.errors import NotThere, Refused
from schema.names import Role, TenantId
from storage.erase import erase
from tests.scenarios.planted import hits, rows_of
from tests.scenarios.test_rules import cli, recs
from tests.scenarios.tree import contents, folder_of
from tests.serving.morning import SOON, problem, serving, until
from tests.world import ACME, BETA, NOW, World, open_world, tables

LATER = datetime.now(UTC) + timedelta(days=31)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """acme and beta after a night of each, somebody of acme's erased."""
    made = open_world(tmp_path, serving=SOON)
    for name in (ACME, BETA):
        made.add(name)
        made.import_(name, tables(name))
        assert made.night(name).published
        made.key(name, Role.SELLER)
    erase(made.stores, made.tenant(ACME), "C-0009", by="test", why="request 17", now=NOW)
    yield made
    made.stores.engine.dispose()


def remove(world: World, name: TenantId = ACME) -> Any:
    out = world.folder / "out"
    done = cli(
        world, "tenant", "remove", name, "--confirm", name, "--why", "contract ended",
        "--export-to", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done


class TestWithoutAConfirmation:
    def test_everything_there_is_is_named_and_nothing_changes(self, world: World) -> None:
        before = contents(world.config.home)

        done = cli(world, "tenant", "remove", ACME, "--json")

        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        places = {Path(place["place"]).name: place for place in told["files"]}
        assert {"data", "models", "editions", "CURRENT", world.tenant(ACME).uid} <= set(places)
        assert places["editions"]["files"] > 2
        assert places["data"]["bytes"] > 1000
        assert told["rows"]["keys"] == len(told["keys"]) == 1
        assert {"nights", "editions", "models", "batches", "erasures"} <= set(told["rows"])
        assert "Nothing was changed" in done.stderr
        assert contents(world.config.home) == before

    @pytest.mark.parametrize("words", [("--confirm", "beta"), ("--confirm", "acme")])
    def test_nor_with_another_name_or_half_a_one(
        self, words: tuple[str, ...], world: World
    ) -> None:
        assert cli(world, "tenant", "remove", ACME, *words).exit_code == 2
        assert recs(world, "C-0001", ACME)["source"] == "personal"


class TestAWrongKindOfId:
    def test_is_refused_with_a_sentence(self, world: World) -> None:
        [key] = world.stores.ledger.keys(ACME)
        for name, what in (
            (world.tenant(ACME).uid, "not its name"),
            (key.key_id, "a key's id"),
            ("C-0001", "there is no tenant"),
        ):
            done = cli(world, "tenant", "remove", name)
            assert done.exit_code == 1 or isinstance(done.exception, Refused)
            assert what in str(done.exception), done.output


class TestARemovedTenant:
    def test_takes_its_data_along(self, world: World) -> None:
        remove(world)

        out = world.folder / "out" / ACME
        assert {path.name for path in out.iterdir()} == {
            "customers.parquet", "products.parquet", "interactions.parquet", "lists.parquet",
        }  # fmt: skip
        told = pq.read_table(out / "interactions.parquet")
        assert len(told) == len(tables(ACME)["interactions"])
        listed = set(pq.read_table(out / "lists.parquet")["customer_id"].to_pylist())
        assert "C-0001" in listed
        assert "C-0009" not in listed

    def test_is_unknown_to_everybody_at_once(self, world: World) -> None:
        keys: dict[tuple[TenantId | None, Role], str] = {
            (name, role): world.key(name, role)
            for name in (ACME, BETA)
            for role in (Role.SELLER, Role.ADMIN)
        }
        keys[None, Role.OPERATOR] = world.key(None, Role.OPERATOR)
        with serving(world, keys) as served:
            assert served.recs()["source"] == "personal"
            remove(world)

            def gone() -> bool:
                return served.ask("GET", "/customers/C-0001/recs").status_code == 401

            until(gone)
            found = served.ask("GET", "/mode", role=Role.OPERATOR)
            problem(found, 404, "NO_TENANT")
            assert served.recs(tenant=BETA)["source"] == "personal"
        assert cli(world, "night", ACME).exit_code == 1
        assert [tenant.tenant for tenant in world.stores.ledger.tenants()] == [BETA]

    def test_comes_back_within_its_grace_off_and_without_keys(self, world: World) -> None:
        before = contents(folder_of(world, ACME))
        remove(world)
        finish(world.stores, Leaving(), LATER - timedelta(days=2))

        done = cli(world, "tenant", "restore", ACME, "--why", "removed in error")

        assert done.exit_code == 0, done.output
        assert contents(folder_of(world, ACME)) == before
        assert world.tenant(ACME).mode == "off"
        assert all(key.revoked_at for key in world.stores.ledger.keys(ACME))
        assert cli(world, "tenant", "mode", ACME, "on", "--why", "back").exit_code == 0
        assert recs(world, "C-0001", ACME)["source"] == "personal"

    def test_is_gone_with_every_byte_and_row_when_its_grace_is_over(self, world: World) -> None:
        uid = world.tenant(ACME).uid
        events = world.stores.feedback.spool
        events.append(ACME, [{"customer_id": "C-1", "occurred_at": NOW.isoformat()}])
        events.close()
        [waiting] = (world.config.home / "spool").iterdir()
        waiting.rename(waiting.with_name("old.stuck"))
        remove(world)
        others = contents(folder_of(world, BETA)), rows_of(world, BETA)

        [left] = finish(world.stores, Leaving(), LATER)

        assert hits(world.config.home, ["acme-P-", "acme customer"]) == []
        assert not list(world.config.home.rglob(f"*{uid}*"))
        assert world.stores.leaving.rows(ACME) == {}
        assert {name for name, rows in rows_of(world, ACME).items() if rows} == {"tenants", "audit"}
        assert (contents(folder_of(world, BETA)), rows_of(world, BETA)) == others
        assert left.told["rows_of_others"]["before"] == left.told["rows_of_others"]["after"]
        assert left.told["files_left"] == 0
        assert left.told["rows"]["editions"] == 1
        assert list(events.events()) == []
        assert finish(world.stores, Leaving(), LATER) == []
        assert cli(world, "doctor").exit_code == 0

    def test_has_a_certificate_that_the_trail_vouches_for(self, world: World) -> None:
        remove(world)
        [left] = finish(world.stores, Leaving(), LATER)

        [told] = json.loads(cli(world, "tenant", "left", "--json").stdout)

        assert told["certificate"] == left.told
        line = world.stores.audit.of(ACME)[0]
        assert (line.act, line.detail) == ("deleted", {"certificate": left.told["sha256"]})
        assert [chain.faults for chain in world.stores.audit.verify()] == [()] * 3

    def test_leaves_its_name_to_nobody(self, world: World) -> None:
        remove(world)
        finish(world.stores, Leaving(), LATER)

        with pytest.raises(Refused, match="exists already"):
            world.add(ACME)
        with pytest.raises(NotThere):
            world.stores.leaving.restore(ACME, by="test", why="too late", at=LATER)


class TestManyAtOnce:
    def test_are_refused_unless_it_is_meant(self, world: World) -> None:
        rule = Leaving(most_a_day=1)
        out = world.folder / "out"
        told: dict[str, Any] = {"by": "test", "why": "over", "now": NOW}
        leave(world.stores, rule, world.tenant(ACME), out, more=False, **told)

        with pytest.raises(Refused) as refused:
            leave(world.stores, rule, world.tenant(BETA), out, more=False, **told)

        assert refused.value.code == "TENANTS_MANY"
        assert world.tenant(BETA)
        leave(world.stores, rule, world.tenant(BETA), out, more=True, **told)
        assert world.stores.ledger.tenants() == []


def test_an_empty_uid_never_names_the_folder_of_all_tenants(world: World) -> None:
    from jobs.leaving import _places

    for uid in ("", ".", "..", "a/b"):
        with pytest.raises(Exception, match="names no folder"):
            _places(world.stores, ACME, uid)
