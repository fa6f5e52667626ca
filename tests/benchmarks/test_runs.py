"""Every benchmark still runs, on tenants so small that it takes no time; and says what it means."""

import json
import math
import os
import shutil
import sys
import time
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import (
    cases,
    fleet,
    intake,
    large,
    live,
    middle,
    night,
    peers,
    readme,
    replay,
    second,
    template,
    warm,
)
from benchmarks.day import __main__ as day
from benchmarks.day import openloop
from factory.blend import FRESH, REPEAT
from jobs.demo import LAST_DAY, DemoTenant, Part
from jobs.evaluate import read_folder
from schema.config import read_config
from schema.dates import midnight
from schema.names import TenantId
from schema.records import ENTRY, Lists, Product
from tenants.order import zone
from tests.world import ACME, BETA, NIGHT, NOW, tables, two_tenants, write_files

CUT = date(2026, 3, 18)
ENOUGH = 150
"""Customers that buy the 200 pairs a week which the shipped template asks for."""

SMALL = middle.Size(customers=300, products=60, rows=9_000)

MOST_FLOORS = 150
"""Bare fits that a tiny tenant's stages may cost: 11 in a long run, 29 measured in one of twenty
tenants, whose workers do everything for the first time.
"""


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    """Two tenants with the same customer ids, in the universal form."""
    for name in ("acme", "beta"):
        write_files(tmp_path / "tenants" / name, tables(name, customers=ENOUGH))
    return tmp_path / "tenants"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Two cases as the shared tool writes them; one bears the name of a case in the table."""
    for name, tenant in (("cj_m2", "acme"), ("unheard", "beta")):
        folder = tmp_path / "cases" / name
        folder.mkdir(parents=True)
        told = tables(tenant, customers=ENOUGH)
        earlier = pc.less(told["interactions"]["occurred_at"], midnight(CUT, zone("UTC")))
        later = told["interactions"].filter(pc.invert(earlier))
        pq.write_table(told["interactions"].filter(earlier), folder / "history.parquet")
        pq.write_table(later.select(["customer_id", "product_id"]), folder / "truth.parquet")
        pq.write_table(told["products"], folder / "products.parquet")
        about = {"name": name, "cut": f"{CUT} 00:00:00+00:00"}
        (folder / "case.json").write_text(json.dumps(about))
    return tmp_path / "cases"


def shown(*lists: list[int], times: int = 0) -> Lists:
    entries = np.zeros((len(lists), 12), np.dtype(list(ENTRY)))
    entries["product"] = -1
    for row, numbers in enumerate(lists):
        entries["product"][row, : len(numbers)] = numbers
    entries["times"][:, 0] = times
    products = tuple(Product(f"P{n}", None, None, None, "sellable") for n in range(20))
    return Lists(tuple(f"C{n}" for n in range(len(lists))), entries, entries[0], products, ())


class TestPeers:
    def test_the_ten_are_all_columns_but_the_prototype(self) -> None:
        assert len(peers.TEN) == 10
        assert "prototype" not in peers.TEN
        assert len(peers.PEERS) == 18

    def test_prints_a_line_for_each_case_and_task_and_the_means(
        self, made: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        peers.main(["--cases", str(made), "--without", "als"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2 + 4 + 3
        assert "without als" in lines[0]
        known, unheard = lines[2], lines[3]
        assert "| cj_m2 · any |" in known
        assert "| TIFU-KNN tuned | 0.497 | 0.499 |" in known
        assert "| – | – | – |" in unheard

    def test_prints_the_same_as_json(self, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
        peers.main(["--cases", str(made), "--json"])
        told = json.loads(capsys.readouterr().out)
        line = told["lines"][0]
        assert (line["peer"], line["peer_ndcg"], line["best"]) == (
            "TIFU-KNN tuned",
            0.497,
            "prototype",
        )
        assert told["means"]["any"]["best of ten"] == pytest.approx(line["engine"] / 0.497)

    def test_let_no_line_drop_out_of_the_mean_by_scoring_nothing(self) -> None:
        assert peers.geometric([(0.2, 0.1), (0.4, 0.8), (0.3, None)]) == pytest.approx(1.0)
        assert peers.geometric([(0.2, 0.1), (0.0, 0.8)]) == 0
        assert peers.geometric([(0.2, None)]) is None

    def test_score_as_the_peers_are_scored(self) -> None:
        """DCG of the first ten over the best possible one; who has no list scores 0."""
        made = shown([4, 5, 6], [7])
        truth = {"C0": {"P5", "P9"}, "C1": {"P7"}, "C9": {"P1"}}
        first = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
        assert peers.ndcg_at_10(made, truth, "any") == pytest.approx((first + 1 + 0) / 3)

    def test_skip_what_was_bought_before_where_only_new_products_count(self) -> None:
        made = shown([4, 5], times=3)
        assert peers.ndcg_at_10(made, {"C0": {"P5"}}, "new") == 1
        assert peers.ndcg_at_10(made, {"C0": {"P5"}}, "any") < 1

    def test_say_what_to_do_where_the_shared_folder_is_absent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(cases, "SHARED", tmp_path)
        with pytest.raises(SystemExit) as stopped:
            peers.main([])
        assert stopped.value.code == 2
        assert "put the shared folder beside the project" in capsys.readouterr().err

    def test_refuse_to_leave_out_what_the_engine_does_not_have(
        self, made: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            peers.main(["--cases", str(made), "--without", "magic", "--json"])
        assert capsys.readouterr().err

    def test_cut_a_case_at_the_next_midnight(self, made: Path) -> None:
        """A night's history is whole days: nothing that a peer may see is withheld."""
        about = {"name": "cj_m2", "cut": f"{CUT} 03:34:45+00:00"}
        (made / "cj_m2" / "case.json").write_text(json.dumps(about))
        settings = read_config().template
        late = cases.read_case(made / "cj_m2", settings)
        assert late.tonight == cases.read_case(made / "unheard", settings).tonight + 1
        assert all(late.new[customer] <= late.bought[customer] for customer in late.new)


def sold(number: int) -> Part:
    """A manufacturer as The Complete Journey tells of one: six households, four products."""
    ids = [1000 * number + place for place in range(4)]
    products = pd.DataFrame(
        {
            "product_id": ids,
            "product_type": ["BREAD", "MILK", "TEA", "SALT"],
            "package_size": ["1 LB"] * 4,
            "product_category": ["FOOD"] * 4,
        }
    )
    rows = [(home, ids[(home + week) % 4], week) for home in range(6) for week in range(8)]
    lines = pd.DataFrame(rows, columns=["household_id", "product_id", "week"])
    lines["quantity"], lines["sales_value"] = 1, 2.5
    lines["transaction_timestamp"] = pd.Timestamp(LAST_DAY) - pd.to_timedelta(
        1 + 7 * lines["week"], unit="D"
    )
    return Part(number, products, lines)


class TestIntake:
    """Each way in a process of its own: a few seconds for a few rows."""

    def test_tells_both_ways_their_rate_their_memory_and_the_share(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        intake.main(["--rows", "2000", "--format", "csv", "--json"])

        told = json.loads(capsys.readouterr().out)["csv"]
        for way in ("bare", "ours"):
            assert told[way]["rows"] == 2000
            assert told[way]["peak"] > 10**7
        rates = [told[way]["rows_per_second"] for way in ("ours", "bare")]
        assert told["share_of_bare"] == pytest.approx(rates[0] / rates[1])

    def test_imports_what_it_made(self, tmp_path: Path) -> None:
        intake.make(tmp_path / "made", "parquet", 3000)

        assert intake.ours(tmp_path / "made", "parquet") > 0
        assert intake.bare(tmp_path / "made", "parquet") > 0
        [dataset] = (tmp_path / "made" / "home" / "tenants").glob("*/data/interactions/*.parquet")
        assert pq.read_metadata(dataset).num_rows == 3000


class TestReplay:
    def test_prints_a_line_a_tenant_the_mean_and_the_comparison(
        self, tenants: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        replay.main([str(tenants), "--weeks", "2", "--processes", "1"])
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines[2:5]] == ["acme", "beta", "**mean**"]
        assert "gate against always" in lines[-2]
        assert "gate against never" in lines[-1]

    def test_judges_each_night_on_a_window_of_the_history_that_follows_it(
        self, tenants: Path
    ) -> None:
        settings = read_config().template
        told = read_folder(tenants / "acme", settings, NOW)
        nights = replay.weekly(told, settings, 3)
        assert len(nights) == 3
        assert {b.tonight - a.tonight for a, b in pairwise(nights)} == {7}
        for windows in nights:
            known = replay.until(told, windows.tonight)
            assert known.day.max() < windows.tonight
            assert windows.tonight + windows.days <= told.day.max() + 1

    def test_lets_the_gate_hold_one_of_the_two_other_policies_models_on_the_first_night(
        self, tenants: Path
    ) -> None:
        first = replay.replayed(tenants / "acme", read_config().template, 1)[0]
        held = "always" if first.outcome == "promoted" else "never"
        assert first.rmse["gate"] == first.rmse[held]
        assert first.rmse["always"] != first.rmse["never"]

    def test_weighs_every_tenant_alike_and_puts_the_mean_inside_the_interval(self) -> None:
        nights = [
            replay.Played(name, "2026-01-01", 7, "promoted", {}, {})
            for name in ("a", "a", "a", "b")
        ]
        mean, low, high = replay.interval(nights, [1.0, 2.0, 3.0, 0.0])
        assert mean == pytest.approx(1.0)
        assert low < mean < high
        assert replay.interval(nights, [0.5] * 4) == (0.5, 0.5, 0.5)

    def test_says_so_where_no_history_is_long_enough(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_files(tmp_path / "tiny", tables("acme", customers=2, last=date(2026, 1, 9)))
        with pytest.raises(SystemExit) as stopped:
            replay.main([str(tmp_path / "tiny"), "--processes", "1"])
        assert stopped.value.code == 2
        assert "long enough" in capsys.readouterr().err


class TestTheOthers:
    def test_night_measures_a_night_against_the_bare_library(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = tmp_path / "small"
        write_files(folder, tables("acme", customers=ENOUGH, first=date(2017, 9, 1), last=LAST_DAY))
        small = DemoTenant(TenantId("small"), "Small", folder)
        monkeypatch.setattr(night, "write_demo", lambda *_: [small])
        monkeypatch.setattr(sys, "argv", ["night", "--tenant", "small", "--runs", "1"])
        night.main()
        assert "whole night" in capsys.readouterr().out

    def test_fleet_measures_a_night_of_many_against_the_bare_library(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In CI by ratios, which do not depend on the machine; the whole fleet: make bench-night."""
        monkeypatch.setattr(fleet, "parts", lambda: [sold(number) for number in range(1, 41)])
        monkeypatch.setattr(sys, "argv", ["fleet", "--every", "2", "--json"])
        fleet.main()
        told = json.loads(capsys.readouterr().out)
        assert (told["tenants"], told["floor_tenants"]) == (20, 20)
        assert told["outcomes"] == {"too_small": 20}
        assert {"validate", "rank", "publish"} <= told["stages_core_ms"].keys()
        stages = sum(told["stages_core_ms"].values())
        assert 0 < stages + told["driver_core_ms"] < told["core_ms_a_tenant"]
        assert told["peak_mib"] > 0
        assert stages < MOST_FLOORS * 1000 * told["floor_core_seconds"] / 20

    def test_fleet_leaves_nights_out_that_were_done_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that was interrupted and goes on must not divide its time by what it did not do."""
        world = two_tenants(tmp_path, nightly={"executor": "in-process"})

        one = fleet.timed(world.config, [ACME], NIGHT)
        both = fleet.timed(world.config, [ACME, BETA], NIGHT)

        report = world.stores.nights.last_nights()[BETA]
        assert (one.tenants, both.tenants) == ((ACME,), (BETA,))
        assert both.clock["rank"] == pytest.approx(1000 * report.figures["seconds"]["rank"])
        assert sum(both.outcomes.values()) == 1

    def test_second_costs_almost_nothing_where_nothing_came(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Half of them sold nothing in the week between the nights."""
        idle = [
            part._replace(lines=part.lines[part.lines["transaction_timestamp"] < "2017-12-20"])
            for part in map(sold, range(1, 7))
        ]
        monkeypatch.setattr(second, "parts", lambda: [*idle, *map(sold, range(7, 13))])
        second.main(["--home", str(tmp_path), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert told["outcomes"] == {
            "first": {"too_small": 12},
            "second": {"unchanged": 6, "too_small": 6},
        }
        assert 0 < told["new_rows"] < 0.2
        with pytest.raises(SystemExit, match="fresh copy"):
            second.main(["--home", str(tmp_path)])

    def test_large_tells_when_small_tenants_are_published_beside_it_and_without_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(large, "LARGE", middle.Size(300, 60, 9000))
        monkeypatch.setattr(large, "SMALL", middle.Size(30, 20, 90))
        monkeypatch.setattr(sys, "argv", ["large", "--tenants", "2", "--runs", "1", "--json"])
        large.main()
        told = json.loads(capsys.readouterr().out)
        assert told["delay"] == told["median_among"] / told["median_alone"] - 1
        assert 0 < told["median_among"] <= told["end_among"]
        assert 0 < told["large_at"] <= told["end_among"]
        assert told["large_core_seconds"] > told["core_seconds"] > 0

    def test_second_tells_kinds_of_middle_sized_tenants_and_searches_apart(
        self, tmp_path: Path
    ) -> None:
        told = second.measure(second.middle_sized(tmp_path, 3, 3, SMALL)).figures()
        assert told["outcomes"]["second"].pop("unchanged") == 2
        assert 0 < told["new_rows"] < 0.02
        assert told["kinds"].keys() == {"t000", "t001", "t002"}, "each took a tenth of all"
        assert told["kinds"]["t000"]["second"].keys() > {"train", "judge", "rank", "publish"}
        assert told["kinds"]["t001"]["second"] == {}, "it made nothing"
        searches = sum(kind["first"].get("tune", 0) for kind in told["kinds"].values())
        assert told["searches"][0] == pytest.approx(searches)
        second.show(told)

    def test_warm_sets_a_model_that_was_carried_on_beside_a_fresh_one(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(warm, "SIZE", SMALL)
        warm.main(["--tenants", "synthetic", "--nights", "1"])
        rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
        ways = ["afresh", "carried on, 1", "carried on, 2", "carried on, 4"]
        assert [row[2] for row in rows] == 2 * ways
        assert rows[0][3:6] != rows[2][3:6], "as many iterations for a window, from elsewhere"
        assert rows[4][3] == "**1.0000**"

    def test_middle_measures_a_night_of_tenants_it_made_against_the_bare_library(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sizes = ["--tenants", "2", "--customers", "300", "--products", "60", "--rows", "9000"]
        monkeypatch.setattr(sys, "argv", ["middle", *sizes, "--json"])
        middle.main()
        told = json.loads(capsys.readouterr().out)
        assert sum(told["outcomes"].values()) == 2
        assert {"promoted", "rejected"} >= set(told["outcomes"]), "every model was judged"
        assert {"train", "judge", "rank", "publish"} <= told["stages"].keys()
        assert told["searches"] == 0, "each of the two has another night of 28"
        assert all(ratio > 0 for ratio in told["ratios"].values())

    def test_middle_plants_taste_in_the_year_before_the_night(self) -> None:
        size = middle.Size(customers=400, products=80, rows=8_000)
        bought, again, other = (middle.made(size, seed) for seed in (7, 7, 8))
        assert (bought.ago.min(), bought.ago.max()) == (1, middle.YEAR)
        assert np.array_equal(bought.product, again.product)
        assert not np.array_equal(bought.product, other.product)
        pairs = np.unique(np.stack([bought.customer, bought.product]), axis=1).shape[1]
        assert pairs < 0.8 * size.rows, "customers come back for their favourites"
        sold = np.sort(np.bincount(bought.product, minlength=size.products))
        assert sold[-8:].sum() > 3 * sold[:8].sum(), "some products are far more popular"

    def test_live_sets_a_call_beside_a_lookup(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sizes = ["--products", "80", "--customers", "90", "--purchases", "6000", "--calls", "5"]
        monkeypatch.setattr(sys, "argv", ["live", *sizes])
        live.main()
        out = capsys.readouterr().out
        assert "80 products, 90 customers" in out
        assert "grounds" in out

    def test_template_prints_the_module_with_a_coefficient_for_every_feature(
        self, tenants: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["template", str(tenants)])
        template.main()
        out = capsys.readouterr().out
        assert "One regression over 2 real tenants" in out
        module: dict[str, Any] = {}
        exec(out, module)  # the very text that becomes factory/prior.py
        assert set(module["PRIOR"].fresh) == set(FRESH)
        assert set(module["PRIOR"].repeat) == set(REPEAT)

    def test_readme_writes_the_table_it_would_check(
        self, tenants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = tmp_path / "README.md"
        page.write_text("before\n<!-- evaluate -->\n<!-- /evaluate -->\nafter\n")
        monkeypatch.setattr(readme, "README", page)
        monkeypatch.setattr(sys, "argv", ["readme", str(tenants)])
        readme.main()
        written = page.read_text()
        assert "| acme |" in written
        assert readme.differs(readme.BLOCK.search(written), written) is None


class TestTheDay:
    """Needs ``wrk``, as the benchmark does; ``.ci/run`` installs it."""

    @pytest.mark.skipif(
        shutil.which("wrk") is None and os.environ.get("CI") != "true",
        reason="wrk is not installed: apt-get install wrk",
    )
    def test_sets_the_lookup_beside_its_floors_and_mixes_nothing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = ["day", "--tenants", "5", "--seconds", "0.3", "--rounds", "1", "--json"]
        monkeypatch.setattr(sys, "argv", asked)
        day.main()
        told = json.loads(capsys.readouterr().out)

        assert set(told["share_of_bare"]) == {*day.FLOORS, day.LOOKUP}
        assert all(rate > 0 for rate in told["requests_per_second"].values())
        for what in ("open_loop", "while_swapping", "all_tenants"):
            figures = told[what]
            assert (figures["errors"], figures["mixed"]) == (0, 0), what
            assert figures["p50_ms"] <= figures["p99_ms"] <= figures["p99.9_ms"]
        assert told["while_swapping"]["swaps_per_minute"] > 0
        assert told["all_tenants"]["descriptors"] >= 6

    def test_sees_an_answer_that_mixes_two_editions_or_two_tenants(self) -> None:
        def answer(*ids: str) -> bytes:
            return b'{"edition":2,"ids":[%b]}' % b",".join(f'"{name}"'.encode() for name in ids)

        assert not openloop.mixed(answer("t0001-e2-P-0001", "t0001-e2-P-0002"))
        assert openloop.mixed(answer("t0001-e2-P-0001", "t0001-e1-P-0002"))
        assert openloop.mixed(answer("t0001-e2-P-0001", "t0002-e2-P-0002"))
        assert openloop.mixed(answer("t0001-e1-P-0001"))

    def test_latency_runs_from_the_moment_a_request_was_due(self) -> None:
        load = openloop.Load([b"GET"], rate=100, seconds=1)
        connection = openloop.Connection(load)
        connection.due = time.perf_counter() - 3  # it waited for three seconds to be sent

        load.answered(connection, b"HTTP/1.1 200 OK\r\n")
        load.answered(connection, b"HTTP/1.1 503 Service Unavailable\r\n")

        assert [round(seconds) for seconds in load.seconds] == [3]
        assert load.errors == 1
