"""One tenant's night, and a fleet of them, from imported data to the served list."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from factory.history import from_tables
from factory.judge import judge
from factory.train import ALS, train
from factory.windows import choose
from jobs.data import read_data
from jobs.fleet import run_fleet
from jobs.results import Failure, Result, Task, exit_status
from schema.config import Nightly
from schema.dates import day_number
from schema.errors import FactoryError
from schema.names import Outcome, Reason, TenantId
from schema.records import Blend, Entry, History, Model, NightReport, Windows, entries
from storage.editions import Edition
from tenants.order import zone
from tests.scenarios.tree import contents, folder_of, untouched
from tests.weeks import WEEK, between, deliver, first_night
from tests.world import (
    ACME,
    BETA,
    NEXT_NIGHT,
    NIGHT,
    NOW,
    TEMPLATE,
    THIRD_NIGHT,
    World,
    tables,
    two_tenants,
)


def opened(world: World, name: TenantId = ACME) -> Edition:
    uid = world.tenant(name).uid
    current = world.stores.editions.current(uid)
    assert current is not None
    return world.stores.editions.open(uid, current.edition, current.manifest_sha256)


def listed(world: World, name: TenantId = ACME) -> dict[str, list[tuple[str, Entry]]]:
    """Every customer's list, the popular one under "": product ids and entries."""
    edition = opened(world, name)
    names, _ = edition.lists.everyone()
    lists = {
        name: entries((edition.lists.of(name) or b"") if name else edition.popular)
        for name in names
    }
    edition.lists.close()
    return {
        name: [(edition.products[entry.product].product_id, entry) for entry in ranked]
        for name, ranked in lists.items()
    }


def without(table: pa.Table, product: str) -> pa.Table:
    keep = [name != product for name in table["product_id"].to_pylist()]
    return table.filter(pa.array(keep))


class TestRepeatedNight:
    def test_gives_the_same_report_and_writes_nothing(self, world: World) -> None:
        first = world.night(ACME)
        before = untouched(world.config.home)
        assert world.night(ACME) == first
        assert untouched(world.config.home) == before

    def test_after_an_import_of_the_same_day_is_still_the_night_that_was(
        self, world: World
    ) -> None:
        first = world.night(ACME)
        world.import_(ACME, {"products": without(tables(ACME)["products"], "acme-P-00")})
        assert world.night(ACME) == first


class TestFirstNight:
    def test_the_first_incumbent_is_the_baseline(self, world: World) -> None:
        world.night(ACME)
        challenger, incumbent = world.stores.nights.models(ACME)
        assert (incumbent["model"], incumbent["kind"]) == (1, "baseline")
        assert (challenger["model"], challenger["kind"]) == (2, "als")
        assert world.stores.models.load(world.tenant(ACME).uid, 1).factors.shape[1] == 0

    def test_every_customer_with_a_history_gets_a_list_of_the_tenants_own_products(
        self, world: World
    ) -> None:
        world.night(ACME)
        lists = listed(world)
        assert set(lists) == {"", *(f"C-{n:04}" for n in range(60))}
        assert {p.partition("-")[0] for entries in lists.values() for p, _ in entries} == {"acme"}

    def test_uses_nothing_that_occurs_from_that_date_on(self, world: World, tmp_path: Path) -> None:
        late = tables(ACME)["interactions"].slice(0, 1)
        column = late.schema.get_field_index("occurred_at")
        at = pa.array([datetime(2026, 4, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
        twin = two_tenants(tmp_path / "twin")
        twin.import_(ACME, {"interactions": late.set_column(column, late.schema.field(column), at)})
        ours, theirs = world.night(ACME), twin.night(ACME)
        assert theirs.figures["interactions"] == ours.figures["interactions"] + 1
        assert listed(twin) == listed(world)
        twin.stores.engine.dispose()


class TestNightWithoutPromotion:
    def test_publishes_with_the_incumbent_and_drops_a_discontinued_product(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = world.night(ACME)
        gone = listed(world)["C-0000"][0][0]
        world.import_(ACME, {"products": without(tables(ACME)["products"], gone)})
        monkeypatch.setattr("jobs.night.train", worse)
        report = world.night(ACME, NEXT_NIGHT)
        assert (report.outcome, report.published) == (Outcome.REJECTED, True)
        assert report.model == first.model == opened(world).model
        assert report.edition == 2
        shown = {product for entries in listed(world).values() for product, _ in entries}
        assert gone not in shown
        assert len(shown) == 23


def worse(history: History, windows: Windows, settings: Any, **how: Any) -> Model:
    """The real thing for the baseline; a challenger that says the opposite of what it learned."""
    model = train(history, windows, settings, **how)
    if how["kind"] != ALS:
        return model
    turned = {name: -weight for name, weight in model.blend.repeat.items()}
    return replace(model, blend=Blend(repeat=turned, fresh=model.blend.fresh))


def broken(history: History, windows: Windows, settings: Any, **how: Any) -> Model:
    """A challenger whose coefficients are not numbers."""
    model = train(history, windows, settings, **how)
    if how["kind"] != ALS:
        return model
    nan = dict.fromkeys(model.blend.repeat, float("nan"))
    return replace(model, blend=Blend(repeat=nan, fresh=model.blend.fresh))


class TestGate:
    def test_a_worse_challenger_is_rejected_and_the_sentence_says_by_how_much(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.night.train", worse)
        report = world.night(ACME)
        challenger, incumbent = (report.figures[k]["rmse"] for k in ("challenger", "incumbent"))
        assert (report.outcome, report.model) == (Outcome.REJECTED, 1)
        assert challenger > incumbent
        assert f"RMSE {challenger:.6f} against the incumbent's {incumbent:.6f}" in report.because
        assert f"({100 * (challenger - incumbent) / incumbent:+.2f} %" in report.because

    def test_a_challenger_that_is_not_a_number_keeps_the_incumbent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.night.train", broken)
        report = world.night(ACME)
        assert (report.outcome, report.model, report.published) == (Outcome.REJECTED, 1, True)
        assert opened(world).model == 1

    def test_a_rejected_challenger_leaves_its_verdict_and_not_its_files(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.night.train", worse)
        world.night(ACME)
        rejected, _ = world.stores.nights.models(ACME)
        assert (rejected["model"], rejected["outcome"]) == (2, "rejected")
        assert world.stores.models.numbers(world.tenant(ACME).uid) == [1]

    def test_the_stored_model_is_the_judged_one(self, world: World) -> None:
        report = world.night(ACME)
        assert report.outcome is Outcome.PROMOTED
        tenant = world.tenant(ACME)
        data = read_data(world.stores, tenant, NIGHT)
        history = from_tables(
            data.customers,
            data.products,
            data.interactions,
            TEMPLATE,
            zone(tenant.timezone),
            NIGHT,
        )
        windows = choose(history, day_number(NIGHT), TEMPLATE.windows, TEMPLATE.blend)
        assert windows is not None
        for number, name in ((2, "challenger"), (1, "incumbent")):
            stored = world.stores.models.load(tenant.uid, number)
            [judgement] = judge([stored], history, windows)
            assert judgement.rmse == report.figures[name]["rmse"]


class TestTheWindows:
    def test_stay_as_long_as_the_incumbents_so_that_nights_speak_of_the_same_days(
        self, world: World
    ) -> None:
        world.night(ACME)
        changes = {"windows.days": [7, 14]}
        for name in (ACME, BETA):
            world.stores.ledger.change_settings(name, changes, by="test", at=NOW)

        assert world.night(ACME, NEXT_NIGHT).figures["windows"]["days"] == 7
        assert world.night(BETA).figures["windows"]["days"] == 14  # a first night chooses freely

    def test_give_way_where_they_hold_too_little_and_the_models_are_compared_all_the_same(
        self, tmp_path: Path
    ) -> None:
        """One speaks of a week, one of a fortnight: both are asked about the fortnight."""
        world, later = first_night(tmp_path), NIGHT + WEEK
        deliver(world, ACME, between(ACME, NIGHT, later))
        changes = {"windows.days": [7, 14], "windows.min_pairs": 150}
        world.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)

        report = world.night(ACME, later)

        assert report.figures["windows"]["days"] == 14
        challenger, incumbent = (report.figures[k] for k in ("challenger", "incumbent"))
        assert challenger["bought"] == incumbent["bought"] >= 150
        foretold = sum(n * p for n, p, _ in incumbent["reliability"])
        assert foretold == pytest.approx(incumbent["bought"], rel=0.3)  # a week's would be half
        world.stores.engine.dispose()


class TestSmallTenant:
    def test_gets_the_baselines_list_and_no_verdict(self, empty_world: World) -> None:
        empty_world.add(ACME)
        empty_world.import_(ACME, tables(ACME, customers=5, products=6))
        report = empty_world.night(ACME)
        assert (report.outcome, report.published) == (Outcome.TOO_SMALL, True)
        assert opened(empty_world).model == report.model == 1
        assert empty_world.stores.nights.models(ACME)[0]["kind"] == "baseline"
        assert set(listed(empty_world)) == {"", *(f"C-{n:04}" for n in range(5))}

    def test_without_any_purchase_still_shows_the_catalogue_to_strangers(
        self, empty_world: World
    ) -> None:
        empty_world.add(ACME)
        made = tables(ACME, customers=5, products=6)
        view = made["interactions"].slice(0, 1)
        event = view.schema.get_field_index("event")
        empty_world.import_(
            ACME, {**made, "interactions": view.set_column(event, "event", pa.array(["view"]))}
        )
        report = empty_world.night(ACME)
        assert (report.outcome, report.published) == (Outcome.TOO_SMALL, True)
        assert len(listed(empty_world)[""]) == 6


class TestDeterminism:
    def test_the_same_data_gives_the_same_bytes_in_two_homes(self, tmp_path: Path) -> None:
        found = []
        for home in ("one", "two"):
            world = two_tenants(tmp_path / home)
            for night in (NIGHT, NEXT_NIGHT):
                for name in (ACME, BETA):
                    assert world.night(name, night).published
            kept = contents(world.config.home / "tenants")
            hashes = [
                row["manifest_sha256"]
                for name in (ACME, BETA)
                for row in world.stores.nights.editions(name)
            ]
            found.append((kept, hashes))
            world.stores.engine.dispose()
        assert found[0] == found[1]
        assert len(set(found[0][1])) == 4


def damage(world: World, name: TenantId) -> None:
    (path,) = (folder_of(world, name) / "data" / "interactions").iterdir()
    path.write_bytes(path.read_bytes()[:100])


class TestOneBadTenant:
    @pytest.mark.parametrize("executor", ["in-process", "processes"])
    def test_fails_alone_and_is_named_with_its_stage(self, world: World, executor: str) -> None:
        damage(world, ACME)
        nightly = Nightly.model_validate({"executor": executor, "processes": 2})
        config = world.config.model_copy(update={"nightly": nightly})
        tasks = [Task(ACME, NIGHT), Task(BETA, NIGHT)]
        told: list[Result] = []
        bad, good = run_fleet(world.stores, config, tasks, told.append)
        assert isinstance(bad, NightReport)
        assert isinstance(good, NightReport)
        assert (bad.outcome, good.outcome) == (Outcome.FAILED, Outcome.PROMOTED)
        assert good.published
        assert sorted(result.tenant for result in told if isinstance(result, NightReport)) == [
            ACME,
            BETA,
        ]
        assert exit_status([bad, good]) == 1
        assert bad.because.startswith("acme, validate: ")

    def test_keeps_serving_what_it_served(self, world: World) -> None:
        world.night(ACME)
        before = listed(world)
        damage(world, ACME)
        assert world.night(ACME, NEXT_NIGHT).outcome is Outcome.FAILED
        assert listed(world) == before

    def test_heals_with_its_data(self, world: World) -> None:
        copy = shutil.copytree(folder_of(world, ACME) / "data", world.folder / "copy")
        damage(world, ACME)
        assert world.night(ACME).outcome is Outcome.FAILED
        shutil.copytree(copy, folder_of(world, ACME) / "data", dirs_exist_ok=True)
        assert world.night(ACME).outcome is Outcome.PROMOTED

    def test_without_data_says_how_to_import_some(self, empty_world: World) -> None:
        empty_world.add(ACME)
        report = empty_world.night(ACME)
        assert report.outcome is Outcome.FAILED
        assert report.because.startswith("acme, validate: no interactions were ever accepted")
        assert "recfactory data import" in report.because

    def test_whose_settings_cannot_be_read_fails_alone_too(self, world: World) -> None:
        changes = {"a.setting.of.an.older.version": 1}
        world.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)
        results = _both(world)
        assert [_outcome(result) for result in results] == [Outcome.FAILED, Outcome.PROMOTED]

    def test_that_somebody_else_is_at_is_refused_alone(self, world: World) -> None:
        ours = NOW.replace(year=9999)
        lease = world.stores.nights.begin(
            ACME,
            NIGHT,
            owner="another-host:1:1",
            alive=lambda _: True,
            now=NOW,
            lease=ours - NOW,
        )
        assert not isinstance(lease, NightReport)
        refused, good = _both(world)
        assert isinstance(refused, Failure)
        assert "another-host:1:1" in refused.because
        assert _outcome(good) is Outcome.PROMOTED


def _both(world: World) -> Sequence[Result]:
    nightly = Nightly(executor="in-process")
    config = world.config.model_copy(update={"nightly": nightly})
    tasks = [Task(ACME, NIGHT), Task(BETA, NIGHT)]
    return run_fleet(world.stores, config, tasks, lambda _: None)


def _outcome(result: Result) -> Outcome | None:
    return result.outcome if isinstance(result, NightReport) else Outcome.FAILED


def bought(customer: str, product: str, event_id: str, at: datetime) -> dict[str, Any]:
    """A row of feedback."""
    return {
        "event_id": event_id,
        "digest": event_id,
        "kind": "purchased",
        "customer_id": customer,
        "product_id": product,
        "edition": 1,
        "rank": 1,
        "quantity": 1.0,
        "value": None,
        "occurred_at": at,
    }


def burning(*_: object) -> None:
    raise OSError("the machine is on fire")


class TestFeedback:
    def told(self, world: World, customer: str, product: str, event_id: str, at: datetime) -> None:
        event = bought(customer, product, event_id, at)
        assert world.stores.feedback.record(ACME, [event], lambda: at) == ["stored"]

    def test_a_purchase_joins_the_next_nights_history(self, world: World) -> None:
        world.night(ACME)
        fresh = next(product for product, e in listed(world)["C-0000"] if e.times == 0)
        self.told(world, "C-0000", fresh, "e-1", datetime(2026, 4, 1, 15, tzinfo=UTC))
        world.night(ACME, NEXT_NIGHT)
        found = dict(listed(world)["C-0000"])[fresh]
        assert (found.times, found.days_ago) == (1, 1)
        assert tuple(Reason)[found.reason] is Reason.REORDER

    def test_one_of_the_night_itself_waits_for_the_next(self, world: World) -> None:
        world.night(ACME)
        fresh = next(product for product, e in listed(world)["C-0000"] if e.times == 0)
        self.told(world, "C-0000", fresh, "e-1", datetime(2026, 4, 2, tzinfo=UTC))
        world.night(ACME, NEXT_NIGHT)
        assert dict(listed(world)["C-0000"])[fresh].times == 0
        world.night(ACME, THIRD_NIGHT)
        assert dict(listed(world)["C-0000"])[fresh].times == 1

    def test_a_purchase_that_the_tenant_delivers_too_counts_once(
        self, world: World, tmp_path: Path
    ) -> None:
        order = tables(ACME)["interactions"].slice(0, 1).to_pylist()[0]
        later = order["occurred_at"].replace(hour=20)
        self.told(world, order["customer_id"], order["product_id"], "e-1", later)
        twin = two_tenants(tmp_path / "twin")
        world.night(ACME)
        twin.night(ACME)
        assert listed(world) == listed(twin)
        twin.stores.engine.dispose()

    def test_counts_up_to_a_hundred_lines_of_a_customer_a_day(self, world: World) -> None:
        at = datetime(2026, 3, 31, 12, tzinfo=UTC)
        for customer, day in (("C-0000", at), ("C-0000", at - WEEK), ("C-0001", at)):
            rows = [
                bought(customer, "acme-P-01", f"{customer} {day} {n}", day + timedelta(seconds=n))
                for n in range(130)
            ]
            world.stores.feedback.record(ACME, rows, lambda: at)
        plain = len(world.stores.datasets.read(
            world.tenant(ACME).uid, "interactions",
            world.stores.datasets.required(world.tenant(ACME).uid),
        ))  # fmt: skip

        data = read_data(world.stores, world.tenant(ACME), NIGHT)

        assert len(data.interactions) - plain == 3 * 100

    def test_that_arrives_after_a_night_began_is_not_seen_by_its_repeat_but_by_the_next(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        early, late = datetime(2026, 3, 31, 12, tzinfo=UTC), datetime(2026, 4, 1, 9, tzinfo=UTC)
        self.told(world, "C-0000", "acme-P-03", "on time", early)
        with monkeypatch.context() as patch:
            patch.setattr("jobs.night.rank", burning)
            failed = world.night(ACME)
        row = bought("C-0000", "acme-P-05", "was spooled", early)
        assert world.stores.feedback.record(ACME, [row], lambda: late) == ["stored"]

        repeated = world.night(ACME, clock=lambda: late + timedelta(hours=1))

        assert (failed.outcome, repeated.outcome) == (Outcome.FAILED, Outcome.PROMOTED)
        assert repeated.figures["feedback_until"] == failed.figures["feedback_until"]
        before, after = (
            read_data(world.stores, world.tenant(ACME), NIGHT, until) for until in (NOW, late)
        )
        assert repeated.figures["data_fingerprint"] == before.fingerprint != after.fingerprint
        assert (
            len(after.interactions)
            == len(before.interactions) + 1
            == world.night(ACME, NEXT_NIGHT).figures["interactions"]
        )

    def test_of_another_tenant_is_not_ours(self, world: World, tmp_path: Path) -> None:
        at = datetime(2026, 3, 31, tzinfo=UTC)
        row = bought("C-0000", "beta-P-01", "e-1", at)
        world.stores.feedback.record(BETA, [row], lambda: at)
        twin = two_tenants(tmp_path / "twin")
        world.night(ACME)
        twin.night(ACME)
        assert listed(world) == listed(twin)
        twin.stores.engine.dispose()


def test_a_night_that_has_not_begun_is_refused(world: World) -> None:
    """Or nothing would be due for this tenant until that date."""
    today = datetime(2026, 4, 1, 0, 5, tzinfo=UTC)
    with pytest.raises(FactoryError) as told:
        world.night(ACME, NEXT_NIGHT, lambda: today)
    assert told.value.problem.code == "NIGHT_FUTURE"
    assert world.stores.nights.nights(ACME) == []
