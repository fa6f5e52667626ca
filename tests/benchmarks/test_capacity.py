"""The page of capacities is what its figures come to; the comparison with Spark says what it wants."""

import json
import sys
from dataclasses import replace

import pytest

from benchmarks import capacity, spark
from benchmarks.capacity import Figures, needs
from tests.benchmarks.test_runs import sold

SMALL = Figures(
    tenants=10, rows=100, worker_ms=100, driver_ms=5, data=8e3, edition=20e3, model=4e3, files=9,
    ledger_rows=3, ledger_bytes=2e3, worker_mib=200, driver_mib=300,
)  # fmt: skip


class TestCapacity:
    def test_the_page_is_what_its_figures_come_to(self) -> None:
        found = capacity.BLOCK.search(capacity.PAGE.read_text())
        assert found
        known = json.loads(capacity.FIGURES.read_text())
        figures = {kind: Figures(**one) for kind, one in known.items()}
        assert capacity.tables(figures, 4, 4) in found[0]

    def test_cores_are_core_seconds_over_the_time_that_counts(self) -> None:
        seconds = 4_000_000 * 0.1
        assert needs(SMALL, 4_000_000, 4, 4).cores == -(-seconds // (4 * 3600 * 0.7))
        assert needs(SMALL, 4_000_000, 8, 4).cores < needs(SMALL, 4_000_000, 4, 4).cores
        assert needs(SMALL, 1, 4, 4).cores == 1

    def test_one_driver_does_it_until_its_own_time_runs_out(self) -> None:
        assert needs(SMALL, 2_000_000, 4, 4).drivers == 1
        assert needs(replace(SMALL, driver_ms=50), 2_000_000, 4, 4).drivers == 10

    def test_disk_holds_data_once_and_what_is_kept_as_often_as_it_is_kept(self) -> None:
        assert needs(SMALL, 10, 4, 4).disk == 10 * (8e3 + 4 * 24e3)

    @pytest.mark.slow
    def test_figures_are_measured(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(capacity, "parts", lambda: [sold(number) for number in (1, 2)])
        capacity.main(["--measure", "--tenants", "2"])
        told = json.loads(capsys.readouterr().out)
        for one in told.values():
            assert one["tenants"] == 2
            del one["ledger_bytes"]  # SQLite grows by pages: two tenants may fit into what is there
        assert min(one.values()) > 0


class TestSpark:
    def test_says_how_to_come_by_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyspark.sql", None)
        with pytest.raises(SystemExit) as stopped:
            spark.main([])
        assert stopped.value.code == 2
        assert "pip install --target" in capsys.readouterr().err

    def test_gives_both_the_same_matrix(self) -> None:
        bought = spark.matrix(sold(1))
        assert bought.shape == (6, 4)
        assert bought.sum() == 48
        assert len(spark.by_implicit(bought)) == 6
