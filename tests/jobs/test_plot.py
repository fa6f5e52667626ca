"""The picture of a model holds what its nights kept."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.plot import draw, png
from schema.dates import day_number
from schema.errors import Refused
from schema.names import Outcome
from schema.records import NightReport
from tests.world import ACME

FIRST = date(2026, 1, 1)
BINS = ((900, 0.001, 0.002), (90, 0.01, 0.02), (0, 0.0, 0.0), (10, 0.5, 0.0))


def judged(rmse: float, ndcg: float) -> dict[str, Any]:
    return {"rmse": rmse, "ndcg_at_10": ndcg, "reliability": BINS}


def night(number: int, outcome: Outcome = Outcome.REJECTED, **figures: Any) -> NightReport:
    """The challenger of night n errs by 0.1 + n/1000, the incumbent by 0.2 + n/1000."""
    return NightReport(
        tenant=ACME,
        night=FIRST + timedelta(days=number),
        state="done",
        outcome=outcome,
        because="",
        published=True,
        edition=1,
        model=1,
        figures={
            "challenger": judged(0.1 + number / 1000, 0.5),
            "incumbent": judged(0.2 + number / 1000, 0.4),
            **figures,
        },
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        finished_at=None,
    )


def drawn(nights: list[NightReport], *, kept: dict[str, Any] | None = None) -> Figure:
    last = nights[-1] if nights else night(0)
    line = {"model": 7, "kind": "als", "night": last.night, "verdict": "rejected"}
    return draw("acme", line, nights, kept=last.figures if kept is None else kept)


def panels(figure: Figure) -> tuple[Axes, Axes, Axes]:
    reliability, rmse, ndcg = figure.axes
    return reliability, rmse, ndcg


def lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Each named line's points."""
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata(), float).tolist(),
            np.asarray(line.get_ydata(), float).tolist(),
        )
        for line in axes.get_lines()
    }


def dots(axes: Axes) -> dict[str, list[list[float]]]:
    return {
        str(spots.get_label()): np.asarray(spots.get_offsets()).tolist()
        for spots in axes.collections
    }


class TestThePicture:
    @pytest.mark.parametrize("many", [1, 60])
    def test_is_an_image_however_many_nights_there_were(self, many: int) -> None:
        body = png(drawn([night(n) for n in range(many)]))
        assert body.startswith(b"\x89PNG\r\n\x1a\n")
        assert int.from_bytes(body[16:20]) == 1560

    def test_names_tenant_model_night_and_verdict(self) -> None:
        figure = drawn([night(3)])
        assert figure.get_suptitle() == "acme: model 7 (als), night of 2026-01-04, rejected"

    def test_has_a_title_and_units_on_every_panel(self) -> None:
        for axes in panels(drawn([night(0)])):
            assert axes.get_title(loc="left")
        reliability, _, ndcg = panels(drawn([night(0)]))
        assert "probability" in reliability.get_xlabel()
        assert ndcg.get_xlabel() == "night (2026)"

    def test_is_the_same_bytes_for_the_same_figures(self) -> None:
        assert png(drawn([night(0), night(1)])) == png(drawn([night(0), night(1)]))


class TestReliability:
    def test_is_drawn_on_two_logarithms_with_the_diagonal(self) -> None:
        axes, _, _ = panels(drawn([night(0)]))
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        x, y = lines(axes)["_diagonal"]
        assert x == y

    def test_holds_both_models_bins_and_leaves_out_the_empty_one(self) -> None:
        axes, _, _ = panels(drawn([night(0)]))
        for model in ("challenger", "incumbent"):
            assert dots(axes)[model][:2] == [[0.001, 0.002], [0.01, 0.02]]
            assert len(dots(axes)[model]) == 3

    def test_shows_a_bin_in_which_nothing_was_bought_hollow_on_the_floor(self) -> None:
        axes, _, _ = panels(drawn([night(0)]))
        floor = axes.get_ylim()[0]
        assert dots(axes)["challenger"][2] == [0.5, pytest.approx(floor)]
        assert "none bought" in " ".join(text.get_text() for text in axes.texts)

    def test_draws_more_pairs_larger(self) -> None:
        axes, _, _ = panels(drawn([night(0)]))
        [spots] = [spots for spots in axes.collections if spots.get_label() == "challenger"]
        first, second, third = spots.get_sizes()  # type: ignore[attr-defined]
        assert first > second > third

    def test_says_so_where_the_models_own_night_judged_nothing(self) -> None:
        axes, rmse, _ = panels(drawn([night(0)], kept={}))
        assert [text.get_text() for text in axes.texts] == ["nothing was judged on its night"]
        assert lines(rmse)["challenger"][1] == [0.1]


class TestTheNights:
    def test_hold_rmse_and_ndcg_of_both_models_night_by_night(self) -> None:
        _, rmse, ndcg = panels(drawn([night(n) for n in (2, 0, 1)]))
        days = [float(day_number(FIRST) + n) for n in range(3)]
        for model, least in (("challenger", 0.1), ("incumbent", 0.2)):
            x, y = lines(rmse)[model]
            assert x == days
            assert y == pytest.approx([least, least + 0.001, least + 0.002])
        assert lines(ndcg)["challenger"] == (days, [0.5, 0.5, 0.5])

    def test_mark_promotions_and_holds(self) -> None:
        nights = [night(0, Outcome.PROMOTED), night(1), night(2, Outcome.HELD)]
        _, rmse, _ = panels(drawn(nights))
        assert dots(rmse)["promoted"] == [[day_number(FIRST), 0.1]]
        assert dots(rmse)["held"] == [[day_number(FIRST) + 2, pytest.approx(0.102)]]

    def test_show_what_came_true_where_it_is_known(self) -> None:
        nights = [night(0), night(1, realised={"rmse": 0.15}), night(2, realised=None)]
        _, rmse, ndcg = panels(drawn(nights))
        _, came_true = lines(rmse)["came true"]
        assert came_true[1] == 0.15
        assert np.isnan([came_true[0], came_true[2]]).all()
        assert "came true" not in lines(ndcg)

    def test_that_judged_nothing_are_left_out(self) -> None:
        frozen = replace(night(1), outcome=Outcome.FROZEN, figures={})
        _, rmse, _ = panels(drawn([night(0), frozen, night(2)]))
        assert lines(rmse)["challenger"][1] == pytest.approx([0.1, 0.102])

    def test_leave_a_gap_for_a_figure_that_was_no_number(self) -> None:
        broken = night(1, challenger={**judged(0.1, 0.5), "rmse": None})
        _, rmse, _ = panels(drawn([night(0), broken]))
        assert np.isnan(lines(rmse)["challenger"][1][1])

    def test_mark_the_night_of_the_model(self) -> None:
        _, rmse, ndcg = panels(drawn([night(0), night(5)]))
        for axes in (rmse, ndcg):
            assert lines(axes)["model 7"][0] == [day_number(FIRST) + 5] * 2


class TestNothingToDraw:
    @pytest.mark.parametrize("nights", [[], [replace(night(0), figures={})]])
    def test_is_refused_politely(self, nights: list[NightReport]) -> None:
        with pytest.raises(Refused) as refused:
            drawn(nights, kept={})
        assert refused.value.code == "NOTHING_TO_DRAW"
