"""What Prometheus is told: true, whole, bounded, and nothing about anybody's customers."""

import math
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schema.config import Serving
from schema.names import Mode, Role, TenantId
from serving.metrics import BOUNDS, OTHER, Metrics
from serving.scrape import is_open
from tests.serving.morning import Night, Served, problem, serving, until
from tests.world import ACME, BETA, World, open_world

Series = dict[tuple[str, tuple[str, ...]], float]


def read(text: str) -> Series:
    """Value by name and label values, the tenant first; what the library adds is left out."""
    return {
        (sample.name, tuple(sorted_values(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def sorted_values(labels: dict[str, str]) -> list[str]:
    return [labels[name] for name in sorted(labels, key=lambda name: (name != "tenant", name))]


def told(metrics: Metrics) -> Series:
    return read(generate_latest(metrics).decode())


def scraped(served: Served) -> Series:
    found = served.client.get("/metrics")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/plain; version=")
    return read(found.text)


def among(*names: str, most: int = 10) -> Metrics:
    return Metrics(lambda: names, most)


class TestLookups:
    def test_are_counted_by_tenant_outcome_and_source(self) -> None:
        metrics = among(ACME, BETA)
        for _ in range(3):
            metrics.lookup(ACME, "served", "personal", 0.001)
        metrics.lookup(ACME, "off", "", 0.001)
        metrics.lookup(BETA, "served", "popular", 0.001)

        series = told(metrics)

        assert series["recfactory_lookups_total", (ACME, "served", "personal")] == 3
        assert series["recfactory_lookups_total", (ACME, "off", "")] == 1
        assert series["recfactory_lookups_total", (BETA, "served", "popular")] == 1

    def test_are_counted_once_however_often_they_are_asked_for(self) -> None:
        metrics = among(ACME)
        metrics.lookup(ACME, "served", "personal", 0.001)
        assert told(metrics) == told(metrics)
        metrics.lookup(ACME, "served", "personal", 0.001)
        assert told(metrics)["recfactory_lookups_total", (ACME, "served", "personal")] == 2

    def test_fall_into_every_bucket_whose_end_they_do_not_exceed(self) -> None:
        metrics = among(ACME)
        times = (0.0, BOUNDS[0], 0.0003, 0.0301, 99.0)
        for seconds in times:
            metrics.lookup(ACME, "served", "personal", seconds)

        series = told(metrics)

        for bound in (*BOUNDS, math.inf):
            end = "+Inf" if bound == math.inf else str(bound)
            expected = sum(seconds <= bound for seconds in times)
            assert series["recfactory_lookup_seconds_bucket", (end,)] == expected
        assert series["recfactory_lookup_seconds_count", ()] == len(times)
        assert series["recfactory_lookup_seconds_sum", ()] == pytest.approx(sum(times))


class TestTenantsNames:
    def test_are_no_more_than_was_asked_for_whoever_calls(self) -> None:
        names = [f"t{n:03}" for n in range(100)]
        metrics = among(*names, most=7)
        for name in [*names, "nobody", "x" * 10_000]:
            metrics.lookup(name, "served", "personal", 0.001)
            metrics.feedback(name, "stored", 2)

        series = told(metrics)

        lookups = {labels[0]: n for (name, labels), n in series.items() if "lookups" in name}
        assert lookups == {**dict.fromkeys(names[:7], 1.0), OTHER: 95.0}
        feedback = {labels[0]: n for (name, labels), n in series.items() if "feedback" in name}
        assert feedback == {**dict.fromkeys(names[:7], 2.0), OTHER: 190.0}

    def test_that_are_hostile_come_back_as_they_went_in(self) -> None:
        hostile = 'a"b\\c\nrecfactory_lookups_total{tenant="beta"} 7'
        metrics = among(hostile)
        metrics.lookup(hostile, "served", "personal", 0.001)

        series = told(metrics)

        assert series["recfactory_lookups_total", (hostile, "served", "personal")] == 1
        assert not [labels for _, labels in series if BETA in labels]

    def test_of_a_new_tenant_are_noticed(self) -> None:
        names = [ACME]
        metrics = Metrics(lambda: names, 10)
        names.append(BETA)
        metrics.flush()
        metrics.lookup(BETA, "served", "personal", 0.001)
        assert told(metrics)["recfactory_lookups_total", (BETA, "served", "personal")] == 1


class TestAScrape:
    def test_tells_what_was_asked_of_this_server(self, served: Served) -> None:
        served.recs("C-0001")
        served.recs("a stranger", BETA)
        event = {
            "event_id": "e1",
            "customer_id": "C-0001",
            "product_id": "acme-P-01",
            "kind": "shown",
        }
        served.tell(event, event, {})
        served.client.get("/tenants/acme/mode")
        served.ask("GET", "/mode", BETA, key=ACME)

        series = scraped(served)

        assert series["recfactory_lookups_total", (ACME, "served", "personal")] == 1
        assert series["recfactory_lookups_total", (BETA, "served", "popular")] == 1
        assert series["recfactory_lookup_seconds_count", ()] == 2
        for result in ("stored", "repeated", "refused"):
            assert series["recfactory_feedback_events_total", (ACME, result)] == 1
        assert series["recfactory_refusals_total", ("NO_KEY",)] == 1
        assert series["recfactory_refusals_total", ("NO_TENANT",)] == 1

    def test_tells_the_age_of_every_tenants_lists(self, served: Served) -> None:
        ages = {
            labels[0]: age
            for (name, labels), age in scraped(served).items()
            if name == "recfactory_edition_age_seconds"
        }
        assert set(ages) == {ACME, BETA}
        assert all(0 <= age < 3600 for age in ages.values())

    def test_tells_of_all_others_the_oldest(self, morning: World, night: Night) -> None:
        [pointer] = (morning.config.home / "tenants" / "t-uid-of-acme").glob("CURRENT")
        os.utime(pointer, (time.time() - 90_000,) * 2)
        few = morning.config.serving.model_copy(update={"metrics_tenants": 0})
        world = replace(morning, config=morning.config.model_copy(update={"serving": few}))
        with serving(world, night.keys) as served:
            series = scraped(served)
        assert series["recfactory_edition_age_seconds", (OTHER,)] == pytest.approx(90_000, abs=60)
        assert ("recfactory_edition_age_seconds", (ACME,)) not in series

    def test_tells_how_tenants_stand(self, served: Served) -> None:
        served.world.add(TenantId("gamma"))
        served.world.switch(BETA, Mode.OFF)
        until(lambda: scraped(served)["recfactory_tenants", ("off",)] == 1)

        series = scraped(served)

        assert series["recfactory_tenants", ("on",)] == 2
        assert series["recfactory_tenants_without_edition", ()] == 1
        assert series["recfactory_last_nights", ("promoted",)] == 2
        assert ("recfactory_edition_age_seconds", (BETA,)) not in series

    def test_tells_whether_the_brake_is_on_now(self, served: Served) -> None:
        brakes = served.world.stores.brakes
        assert scraped(served)["recfactory_fleet_braked", ()] == 0
        brakes.pull(1, "DEFECT", "their nights failed alike", at=datetime.now(UTC))
        assert scraped(served)["recfactory_fleet_braked", ()] == 1
        brakes.release(by="test", why="mended", at=datetime.now(UTC))
        assert scraped(served)["recfactory_fleet_braked", ()] == 0

    def test_tells_that_the_database_is_away_and_what_it_can_without(self, served: Served) -> None:
        assert scraped(served)["recfactory_ledger_reachable", ()] == 1
        home = served.world.config.home
        (home / "ledger.db").rename(home / "elsewhere.db")
        served.client.app.api.state.stores.engine.dispose()  # type: ignore[attr-defined]

        until(lambda: scraped(served)["recfactory_ledger_reachable", ()] == 0)

        assert ("recfactory_fleet_braked", ()) not in scraped(served)
        assert ("recfactory_edition_age_seconds", (ACME,)) in scraped(served)

    def test_names_no_customer_product_or_key(self, served: Served) -> None:
        served.recs("C-0001")
        text = served.client.get("/metrics").text
        assert not [word for word in ("C-0001", "acme-P", "rf_") if word in text]

    def test_costs_a_number_of_series_that_does_not_grow_with_customers_or_tenants(
        self, served: Served
    ) -> None:
        def ask(customers: range) -> int:
            for customer in customers:
                served.recs(f"C-{customer:04}")
            served.client.get(f"/tenants/nobody-{customers.start}/mode")
            return len(scraped(served))

        assert ask(range(5, 60)) == ask(range(5))


class TestTheDoor:
    @pytest.mark.parametrize(
        ("host", "opened", "free"),
        [
            ("127.0.0.1", False, True),
            ("::1", False, True),
            ("localhost", False, True),
            ("0.0.0.0", False, False),
            ("::", False, False),
            ("10.0.0.7", False, False),
            ("recs.example", False, False),
            ("0.0.0.0", True, True),
        ],
    )
    def test_is_open_on_loopback_or_where_the_operator_opened_it(
        self, host: str, opened: bool, free: bool
    ) -> None:
        assert is_open(Serving(host=host, metrics_open=opened)) is free

    def test_wants_the_operators_key_elsewhere(self, night: Night, tmp_path: Path) -> None:
        night.world(tmp_path).stores.engine.dispose()
        world = open_world(tmp_path, serving=Serving(host="0.0.0.0"))
        with serving(world, night.keys) as served:

            def ask(owner: TenantId | None, role: Role) -> Any:
                key = {"Authorization": f"Bearer {night.keys[owner, role]}"}
                return served.client.get("/metrics", headers=key)

            problem(served.client.get("/metrics"), 401, "NO_KEY")
            for role in (Role.SELLER, Role.ADMIN):
                problem(ask(ACME, role), 403, "ROLE")
            assert ask(None, Role.OPERATOR).status_code == 200
        world.stores.engine.dispose()
