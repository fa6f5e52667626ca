"""What waits in inboxes and uploads is taken in once, whoever dies at which step."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.collect import Collected, collect, collect_fleet, exit_status, waiting
from jobs.schedule import wave
from schema.config import Deliveries, Nightly
from schema.errors import Problem
from schema.names import TenantId
from schema.records import Tenant
from storage.uploads import Ticket, Uploads
from tests.faults.disk import FaultyDisk, Killed
from tests.jobs.test_intake import bought, customers, products
from tests.world import ACME, BETA, World, open_world

NOW = datetime.now(UTC)  # the disk's own clock stamps what is dropped

FILES = {
    "customers-1.csv": customers("C-1", "C-2"),
    "products-1.csv": products("P-1", "P-2"),
    "interactions-1.csv": bought("C-1 P-1", "C-2 P-2"),
}


class Shop:
    """One tenant's side of its inbox."""

    def __init__(self, world: World, name: TenantId = ACME) -> None:
        self.world, self.name = world, name
        self.inbox = world.stores.inboxes.folder(self.tenant)

    @property
    def tenant(self) -> Tenant:
        return self.world.tenant(self.name)

    def drop(self, **more: str) -> None:
        """Write files and then their markers; ``a_csv`` stands for ``a.csv``."""
        for name, text in {n.replace("_csv", ".csv"): t for n, t in more.items()}.items():
            (self.inbox / name).write_text(text)
            (self.inbox / f"{name}.done").touch()

    def drop_all(self) -> None:
        for name, text in FILES.items():
            (self.inbox / name).write_text(text)
        for name in FILES:
            (self.inbox / f"{name}.done").touch()

    def upload(self, table: str, text: str, at: datetime = NOW, **more: Any) -> Ticket:
        """As the server keeps what came over HTTP."""
        uploads = self.world.stores.uploads
        incoming = uploads.begin(self.tenant.uid, f"{table}.csv")
        incoming.write(text.encode())
        ticket = Ticket(table, f"{table}.csv", incoming.sha256, "key abc", None, False, at)
        ticket = replace(ticket, **more)
        incoming.keep(ticket)
        incoming.drop()
        return ticket

    def collect(self, now: datetime = NOW, **more: Any) -> list[Collected]:
        return collect(self.world.stores, self.world.config, self.name, now=now, **more)

    def bought(self) -> list[tuple[str, str]]:
        stores, uid = self.world.stores, self.tenant.uid
        if stores.datasets.of(uid) is None:
            return []
        rows = stores.datasets.read(uid, "interactions")
        pairs = zip(rows["customer_id"].to_pylist(), rows["product_id"].to_pylist(), strict=True)
        return sorted(pairs)

    def left(self, folder: str = ".") -> list[str]:
        """Names in the inbox, or in a folder of it, without their times."""
        place = self.inbox / folder
        names = (
            [path.name for path in place.iterdir() if not path.is_dir()] if place.is_dir() else []
        )
        return sorted(name.partition("Z-")[2] or name for name in names)

    @property
    def arrived(self) -> Path:
        return self.world.config.home / "tenants" / self.tenant.uid / "arrived"


@pytest.fixture
def shop(empty_world: World) -> Shop:
    """acme, with an empty inbox; beta has one too."""
    for name in (BETA, ACME):
        empty_world.add(name)
    return Shop(empty_world)


def outcomes(found: list[Collected]) -> list[str]:
    return [line.outcome for line in found]


def code(found: Collected) -> str:
    assert found.problem is not None
    said: str = found.problem["code"]
    return said


class TestAnInbox:
    def test_is_named_as_the_tenant_is(self, shop: Shop) -> None:
        assert shop.inbox == shop.world.config.home / "inbox" / "acme"
        assert shop.inbox.is_dir()

    def test_with_marked_files_of_several_tables_holds_one_delivery(self, shop: Shop) -> None:
        shop.drop_all()

        [found] = shop.collect()

        assert found.outcome == "accepted"
        assert set(found.files) == set(FILES)
        assert shop.bought() == [("C-1", "P-1"), ("C-2", "P-2")]
        assert len(shop.world.stores.imports.reports(ACME)) == 1

    def test_is_empty_after_that_and_taken_holds_the_files(self, shop: Shop) -> None:
        shop.drop_all()

        shop.collect()

        assert shop.left() == []
        assert shop.left("taken") == sorted(FILES)
        assert shop.collect() == []

    def test_says_who_delivered_to_the_audit_trail(self, shop: Shop) -> None:
        shop.drop_all()
        shop.collect()

        assert {
            line.actor for line in shop.world.stores.audit.of(ACME) if line.act == "import"
        } == {"inbox"}

    def test_with_two_files_of_a_table_holds_two_deliveries_in_the_order_of_their_names(
        self, shop: Shop
    ) -> None:
        shop.drop_all()
        shop.drop(interactions_csv=bought("C-1 P-2"), customers_csv=customers("C-1"))

        found = shop.collect()

        assert [set(line.files) for line in found] == [
            {"customers-1.csv", "products-1.csv", "interactions-1.csv"},
            {"customers.csv", "interactions.csv"},
        ]
        assert shop.bought() == [("C-1", "P-1"), ("C-1", "P-2"), ("C-2", "P-2")]

    def test_of_one_tenant_is_nothing_to_another(self, shop: Shop) -> None:
        other = Shop(shop.world, BETA)
        shop.drop_all()

        assert other.collect() == []
        assert not waiting(shop.world.stores, other.tenant)
        assert waiting(shop.world.stores, shop.tenant)


class TestAFile:
    def test_without_a_marker_does_not_count(self, shop: Shop) -> None:
        (shop.inbox / "customers.csv").write_text(customers("C-1"))

        assert not waiting(shop.world.stores, shop.tenant)
        assert shop.collect() == []
        assert shop.left() == ["customers.csv"]

    def test_that_is_written_again_under_an_old_marker_does_not_count(self, shop: Shop) -> None:
        shop.drop(customers_csv=customers("C-1"))
        later = (shop.inbox / "customers.csv.done").lstat().st_ctime_ns
        while (shop.inbox / "customers.csv").lstat().st_ctime_ns <= later:
            (shop.inbox / "customers.csv").write_text(customers("C-1", "C-2"))

        assert shop.collect() == []
        (shop.inbox / "customers.csv.done").touch()
        assert outcomes(shop.collect()) == ["accepted"]

    def test_whose_rights_were_mended_after_the_marker_counts(self, shop: Shop) -> None:
        shop.drop(customers_csv=customers("C-1"))
        os.utime(shop.inbox / "customers.csv", (1, 1))
        os.chmod(shop.inbox / "customers.csv", 0o640)

        assert outcomes(shop.collect()) == ["accepted"]

    def test_whose_marker_does_not_come_is_told_of_once_and_stays(self, shop: Shop) -> None:
        (shop.inbox / "customers.csv").write_text(customers("C-1"))
        later = NOW + timedelta(hours=7)

        [found] = shop.collect(later)

        assert (found.outcome, code(found)) == ("late", "DATA_NOT_SETTLED")
        assert shop.left() == ["customers.csv"]
        assert shop.left("refused") == ["customers.csv.json"]
        assert shop.collect(later) == []
        assert exit_status([found]) == 3

    def test_that_cannot_be_used_is_refused_with_the_report_beside_it(self, shop: Shop) -> None:
        shop.drop(customers_csv="name\nAda\n")

        [found] = shop.collect()

        assert (found.outcome, code(found)) == ("refused", "SCHEMA_MISSING")
        assert shop.left("refused") == ["customers.csv", "customers.csv.json"]
        [report] = (shop.inbox / "refused").glob("*.json")
        assert '"SCHEMA_MISSING"' in report.read_text()
        assert shop.bought() == []
        assert exit_status([found]) == 2

    def test_whose_name_begins_with_no_table_is_refused(self, shop: Shop) -> None:
        shop.drop(kunden_csv=customers("C-1"), customersx_csv=customers("C-2"))

        assert [code(line) for line in shop.collect()] == ["DATA_WRONG_NAME"] * 2

    @pytest.mark.parametrize("kind", ["link", "link to a folder", "dangling", "pipe"])
    def test_that_is_none_is_refused_and_not_followed(self, kind: str, shop: Shop) -> None:
        secret = shop.world.folder / "customers-of-beta.csv"
        secret.write_text(customers("secret"))
        path = shop.inbox / "customers.csv"
        if kind == "pipe":
            os.mkfifo(path)
        else:
            goals = {"link": secret, "dangling": Path("/nowhere")}
            path.symlink_to(goals.get(kind, shop.world.folder))
        (shop.inbox / "customers.csv.done").touch()

        [found] = shop.collect()

        assert code(found) == "DATA_WRONG_NAME"
        assert "secret" not in str(found)
        assert shop.world.stores.datasets.of(shop.tenant.uid) is None

    def test_that_may_not_be_read_is_refused(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(*_: object, **__: object) -> None:
            raise PermissionError

        monkeypatch.setattr("jobs.collect.import_files", forbidden)
        shop.drop(customers_csv=customers("C-1"))

        assert [code(line) for line in shop.collect()] == ["DATA_UNREADABLE"]

    def test_is_kept_as_long_as_the_operator_says(self, shop: Shop) -> None:
        shop.drop_all()
        shop.upload("customers", customers("C-1"))
        shop.collect()
        keeps = shop.world.config.deliveries.keep_days

        shop.collect(NOW + timedelta(days=keeps - 1))
        assert shop.left("taken")
        shop.collect(NOW + timedelta(days=keeps + 1))
        assert shop.left("taken") == []
        assert list((shop.arrived.parent / "uploads").iterdir()) == []


class TestAHostileInbox:
    @pytest.mark.parametrize("folder", ["taken", "refused"])
    def test_cannot_lead_files_to_another_tenants(self, folder: str, shop: Shop) -> None:
        other = Shop(shop.world, BETA)
        (shop.inbox / folder).symlink_to(other.inbox)
        text = customers("C-1") if folder == "taken" else "x\n"
        shop.drop(customers_csv=text)

        with pytest.raises(Problem, match="not a folder"):
            shop.collect()

        assert other.left() == []
        assert "customers.csv" in shop.left()  # nothing is lost either

    def test_does_not_stop_the_others(self, shop: Shop) -> None:
        other = Shop(shop.world, BETA)
        (shop.inbox / "taken").write_text("not a folder")
        shop.drop_all()
        other.drop_all()
        config = shop.world.config.model_copy(update={"nightly": Nightly(executor="in-process")})
        found: list[Collected] = []

        collect_fleet(shop.world.stores, config, [ACME, BETA], found.append)

        assert [(line.tenant, line.outcome) for line in found] == [
            (ACME, "failed"),
            (BETA, "accepted"),
        ]
        assert exit_status(found) == 1


class TestAnUpload:
    def test_that_waits_is_imported_in_the_name_of_who_sent_it(self, shop: Shop) -> None:
        ticket = shop.upload("customers", customers("C-1"))

        [found] = shop.collect(inbox=False)

        kept = shop.world.stores.uploads.outcome(shop.tenant.uid, ticket.upload)
        assert kept is not None
        assert (found.outcome, kept["outcome"]) == ("accepted", "accepted")
        assert found.report == kept["report"]
        assert shop.world.stores.audit.of(ACME)[0].actor == "key abc"
        assert shop.collect() == []

    def test_comes_in_the_order_it_was_sent(self, shop: Shop) -> None:
        shop.upload("customers", customers("late"), NOW)
        shop.upload("customers", customers("early"), NOW - timedelta(minutes=1))

        shop.collect()

        rows = shop.world.stores.datasets.read(shop.tenant.uid, "customers")
        assert rows["customer_id"].to_pylist() == ["late"]

    def test_that_only_asks_keeps_nothing(self, shop: Shop) -> None:
        ticket = shop.upload("customers", customers("C-1"), dry_run=True)

        [found] = shop.collect()

        assert found.report is not None
        assert found.report["dry_run"]
        assert shop.world.stores.uploads.outcome(shop.tenant.uid, ticket.upload)
        assert shop.world.stores.datasets.of(shop.tenant.uid) is None

    def test_that_cannot_be_imported_now_waits_for_another_time(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.upload("customers", customers("C-1"))
        with monkeypatch.context() as patch:
            patch.setattr("jobs.collect.import_files", _full_disk)
            assert [outcomes(shop.collect()) for _ in range(9)] == [["failed"]] * 9

        assert outcomes(shop.collect()) == ["accepted"]

    def test_that_was_cut_off_with_its_server_is_swept_and_one_on_its_way_is_not(
        self, shop: Shop
    ) -> None:
        uploads = shop.world.stores.uploads
        coming = uploads.begin(shop.tenant.uid, "customers.csv")
        dead = uploads.begin(shop.tenant.uid, "products.csv")
        os.close(dead._claim or 0)  # as the kernel does when a process dies
        dead._claim = None

        shop.collect()

        assert uploads.room(shop.tenant.uid)[0] == 1
        coming.write(b"x")
        coming.drop()
        assert uploads.room(shop.tenant.uid) == (0, 0)


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


class TestADeliveryThatKillsWhoeverTries:
    @pytest.mark.parametrize("door", ["upload", "inbox"])
    def test_is_refused_in_the_end(
        self, door: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def deadly(*_: object, **__: object) -> None:
            raise Killed

        if door == "upload":
            shop.upload("customers", customers("C-1"))
        else:
            shop.drop(customers_csv=customers("C-1"))
        monkeypatch.setattr("jobs.collect.import_files", deadly)
        for _ in range(5):
            with pytest.raises(Killed):
                shop.collect()

        assert [code(line) for line in shop.collect()] == ["DATA_IMPORT_DIED"]


class TestADeliveryThatIsWaitedFor:
    def expecting(self, shop: Shop) -> None:
        changes = {"intake.expected_hours": 24}
        shop.world.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)

    def test_is_told_of_when_it_does_not_come(self, shop: Shop) -> None:
        self.expecting(shop)
        [never] = shop.collect()
        shop.drop_all()
        assert outcomes(shop.collect()) == ["accepted"]

        [found] = shop.collect(NOW + timedelta(days=2))

        assert (found.outcome, code(found)) == ("missing", "DATA_MISSING")
        assert found.problem is not None
        assert "2.0 days old" in found.problem["message"]
        assert code(never) == "DATA_MISSING"
        assert exit_status([found]) == 3

    def test_is_none_unless_the_tenant_says_so(self, shop: Shop) -> None:
        assert shop.collect(NOW + timedelta(days=99)) == []


def _dropped(shop: Shop) -> None:
    shop.drop_all()


def _sent(shop: Shop) -> None:
    shop.drop(customers_csv=FILES["customers-1.csv"], products_csv=FILES["products-1.csv"])
    shop.collect()
    shop.upload("interactions", FILES["interactions-1.csv"])


@pytest.mark.slow
class TestKilledAtEveryStep:
    """A process dies at any step of the disk; the next one finishes: every row once, no file lost."""

    @pytest.mark.parametrize("deliver", [_dropped, _sent])
    def test_every_row_counts_once(self, deliver: Callable[[Shop], None], tmp_path: Path) -> None:
        whole = self.shop(tmp_path / "whole", FaultyDisk())
        deliver(whole)
        disk = FaultyDisk()
        steps = self.collected(whole, disk)
        assert len(steps) > 20
        expected = whole.bought()
        for place in range(len(steps)):
            shop = self.shop(tmp_path / f"{place}", FaultyDisk())
            deliver(shop)
            with pytest.raises(Killed):
                self.collected(shop, FaultyDisk(place))
            self.collected(shop, FaultyDisk())
            assert shop.bought() == expected, steps[place]
            assert waiting(shop.world.stores, shop.tenant) is False, steps[place]
            taken = [name for name in shop.left("taken") if not name.endswith(".json")]
            assert taken == whole.left("taken"), steps[place]
            shop.world.stores.engine.dispose()
        whole.world.stores.engine.dispose()

    def test_a_refused_file_is_refused_once(self, tmp_path: Path) -> None:
        whole = self.shop(tmp_path / "whole", FaultyDisk())
        whole.drop(customers_csv="x\n")
        steps = self.collected(whole, FaultyDisk())
        for place in range(len(steps)):
            shop = self.shop(tmp_path / f"{place}", FaultyDisk())
            shop.drop(customers_csv="x\n")
            with pytest.raises(Killed):
                self.collected(shop, FaultyDisk(place))
            self.collected(shop, FaultyDisk())
            assert shop.left("refused").count("customers.csv") == 1, steps[place]
            assert "customers.csv.json" in shop.left("refused")
            shop.world.stores.engine.dispose()
        whole.world.stores.engine.dispose()

    def shop(self, folder: Path, disk: FaultyDisk) -> Shop:
        folder.mkdir()
        world = open_world(folder, disk)
        world.add(ACME)
        return Shop(world)

    def collected(self, shop: Shop, disk: FaultyDisk) -> list[str]:
        """Collect on a disk of one's own; the steps it took."""
        world = open_world(shop.world.folder, disk)
        begun = len(disk.steps)
        try:
            collect(world.stores, world.config, ACME, now=NOW)
        finally:
            world.stores.engine.dispose()
        return disk.steps[begun:]


class TestAnUploadKilledAtEveryStep:
    def test_is_whole_or_leaves_nothing(self, shop: Shop) -> None:
        uid, root = shop.tenant.uid, shop.arrived.parent.parent
        disk = FaultyDisk()
        for place in range(100):
            disk = FaultyDisk(place)
            uploads = Uploads(root, disk)
            text = customers(f"C-{place}").encode()
            try:
                incoming = uploads.begin(uid, "customers.csv")
                incoming.write(text)
                ticket = Ticket(
                    "customers", "customers.csv", incoming.sha256, "key", None, False, NOW
                )
                incoming.keep(ticket)
                incoming.drop()
            except Killed:
                os.sync()
            waits = shop.world.stores.uploads.waiting(uid)
            assert [path.read_bytes() for _, path in waits] in ([], [text])
            _forget(shop)
            if not disk.failed:
                break
        assert not disk.failed
        assert place > 8


def _forget(shop: Shop) -> None:
    for ticket, _ in shop.world.stores.uploads.waiting(shop.tenant.uid):
        shop.world.stores.uploads.settle(shop.tenant.uid, ticket, {})


class TestTheSchedule:
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        made = open_world(
            tmp_path,
            nightly=Nightly(executor="in-process"),
            deliveries=Deliveries(imports=1),
        )
        for name in (ACME, BETA):
            made.add(name)
        yield made
        made.stores.engine.dispose()

    def test_collects_before_its_nights_and_again_whenever_something_lies_there(
        self, world: World
    ) -> None:
        shop, other = Shop(world), Shop(world, BETA)
        shop.drop_all()
        wave(world.stores, world.config, datetime.now(UTC))
        assert shop.bought()
        other.drop_all()

        assert wave(world.stores, world.config, datetime.now(UTC)) == 0

        assert other.bought()
