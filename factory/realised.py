"""After the fact: what was served, against what really happened since, which no model had seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory import metrics
from factory.evidence import bought_between
from factory.judge import judged_customers, measure
from factory.train import view
from schema.dates import day_number
from schema.errors import Problem
from schema.names import Bought, Outcome
from schema.records import History, Model, NightReport, Realised
from schema.settings import RealisedSettings

FIGURES = (
    "customers", "pairs", "bought", "rmse", "mse", "mae", "skill", "ndcg_at_10", "recall_at_10",
    "calibration", "reliability",
)  # fmt: skip
"""What is kept, of what happened and of what the gate had measured: names as in ``Judgement``."""

MEMORY = 26
"""Newest points of the series that a tenant's own band is made of."""

NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation (MAD)."""


@dataclass(frozen=True, slots=True)
class Due:
    """An edition that can be scored tonight.

    Attributes:
        made: the night it was made for: its probabilities know what occurred before.
        starts, ends: the days it is held against, [starts, ends), as many as its horizon.
        passed: older editions that are due as well, and stay unscored.
        new_only: lookups left out what was bought before, and so did the gate.
    """

    edition: int
    model: int
    made: date
    starts: date
    ends: date
    passed: int = 0
    new_only: bool = False


def due(
    published: Sequence[NightReport], series: Sequence[Realised], served: int | None, tonight: date
) -> Due | None:
    """What there is to score tonight: at most one edition, and each promise once.

    A model's probability speaks of ``horizon_days`` days, so an edition of the night E comes due
    H days later, held against [E, E + H). The newest one that is due is taken; the series only
    goes forward, as nights do. Where none comes due, the edition that goes on being served
    (the tenant is frozen, or nights were left out) is held against its newest whole H days.

    Args:
        published: the tenant's published nights, newest first; series: what was scored before.
        served: the edition in force.
    """
    scored = max((point.edition for point in series), default=0)
    waiting = [
        report
        for report in published
        if _edition(report) > scored and (ends := _promise_ends(report)) and ends <= tonight
    ]
    if waiting:
        report = waiting[0]
        return _due(report, report.night, len(waiting) - 1)
    for report in published:
        if _edition(report) == served and _edition(report) <= scored:
            return _still_served(report, published[0].night, series, tonight)
    return None


def _still_served(
    report: NightReport, newest: date, series: Sequence[Realised], tonight: date
) -> Due | None:
    days = _horizon(report)
    if days is None:
        return None
    whole = (tonight - report.night).days // days - 1
    starts = report.night + timedelta(days=days * whole)
    done = max(
        (point.ends for point in series if point.edition == report.edition), default=report.night
    )
    # After a rollback: not the days on which a newer edition was still in force.
    return _due(report, starts, 0) if whole >= 1 and starts >= max(newest, done) else None


def _due(report: NightReport, starts: date, passed: int) -> Due:
    assert report.model is not None
    ends = starts + timedelta(days=_horizon(report) or 0)
    shown = report.figures.get("bought_before") or {}
    new_only = shown.get("decided") == Bought.EXCLUDE
    return Due(_edition(report), report.model, report.night, starts, ends, passed, new_only)


def awaited(published: Sequence[NightReport], tonight: date) -> set[int]:
    """Models that are still needed: an edition they ranked has not come due."""
    return {
        report.model
        for report in published
        if report.model is not None and (ends := _promise_ends(report)) and ends > tonight
    }


def _edition(report: NightReport) -> int:
    return report.edition or 0


def _horizon(report: NightReport) -> int | None:
    """None in a night of a version that did not note it: such an edition never comes due."""
    return report.figures.get("horizon_days")


def _promise_ends(report: NightReport) -> date | None:
    days = _horizon(report)
    return report.night + timedelta(days=days) if days else None


def predicted(published: Sequence[NightReport], due: Due) -> dict[str, Any] | None:
    """What the gate had measured of the edition's model, in the night it was made or last before.

    None where it never was judged over as many days: a tiny tenant's baseline.
    """
    days = (due.ends - due.starts).days
    for report in published:
        if report.night > due.made or report.model != due.model:
            continue
        won = report.outcome is Outcome.PROMOTED
        judged = report.figures.get("challenger" if won else "incumbent")
        if judged and (report.figures.get("windows") or {}).get("days") == days:
            return _kept(judged)
    return None


def _kept(figures: Mapping[str, Any]) -> dict[str, Any]:
    told = {**figures, "mse": figures["rmse"] ** 2}
    return {name: told[name] for name in FIGURES if name in told}


def realise(
    model: Model, history: History, due: Due, listed: NDArray[np.int32] | None, *, seed: int
) -> dict[str, Any]:
    """Measure one edition on the days it spoke of.

    The same definition as the gate's (``factory.judge.measure``): every customer known when the
    edition was made, 5,000 of them at most, times every sellable product; so from two products
    on 10,000 pairs are looked at, where the tenant has them. The model sees the history as of
    that night, by when things occurred: a line that was delivered late counts as known.

    Args:
        history: as of tonight; nothing in it from ``due.ends`` on has any influence.
        listed: (C, L) product numbers of the served lists by customer of the history, best
            first, -1 for none; NDCG@10 and recall@10 are theirs. None takes the model's order.

    Returns:
        FIGURES, ready for JSON.

    Raises:
        Problem: the model saw these days, nobody was known, or nothing that happened has arrived.
    """
    made, starts, ends = day_number(due.made), day_number(due.starts), day_number(due.ends)
    if model.trained_through > made:
        raise Problem(
            f"model {due.model} was trained into the days that edition {due.edition} speaks of",
            "this is a defect: a model is trained before the night it serves",
            code="REALISED_SEEN",
        )
    scene = view(model, history, made)
    labels = bought_between(history, starts, ends)
    before = bought_between(history, made - model.horizon_days, made)
    customers = judged_customers(scene.moment.evidence.known, seed)
    [judged] = measure(
        [scene],
        [model.blend],
        history.sellable,
        labels,
        before,
        customers,
        ends - starts,
        new_only=due.new_only,
    )
    told = judged.figures()
    if listed is not None:
        told |= of_lists(listed[customers], labels[customers], history.sellable)
    if None in told.values():  # what is no finite number
        raise Problem(
            f"the figures of edition {due.edition} are not finite numbers",
            "look at the model with `recfactory model show`",
            code="REALISED_NOT_FINITE",
        )
    return _kept(told)


def of_lists(
    listed: NDArray[np.int32], labels: csr_matrix, sellable: NDArray[np.bool_]
) -> dict[str, float]:
    """NDCG@10 and recall@10 of the lists themselves, as the salesperson saw them.

    A product that cannot be sold by now is skipped, as the lookup skips it, and is not missed.

    Args:
        listed: (C, L) product numbers, best first, -1 for none; labels: (C, P) CSR ones.
    """
    width = len(sellable)
    shown = (listed >= 0) & sellable[np.maximum(listed, 0)]
    first = np.argsort(~shown, axis=1, kind="stable")[:, :10]
    top = np.take_along_axis(np.where(shown, listed, -1), first, axis=1)
    top = np.pad(top, ((0, 0), (0, 10 - top.shape[1])), constant_values=-1)
    bought = labels.tocoo()
    sold = sellable[bought.col]
    row, product = bought.row[sold].astype(np.int64), bought.col[sold].astype(np.int64)
    cells = np.arange(len(top), dtype=np.int64)[:, None] * width + top
    sales = np.sort(row * width + product)
    hits = np.searchsorted(sales, cells, "right") > np.searchsorted(sales, cells)
    hits &= top >= 0
    relevant = np.bincount(row, minlength=len(top))
    return {
        "ndcg_at_10": metrics.mean(metrics.ndcg(hits, relevant)),
        "recall_at_10": metrics.mean(metrics.recall(hits, relevant)),
    }


def weighed(
    due: Due,
    night: date,
    figures: Mapping[str, Any],
    foretold: Mapping[str, Any] | None,
    series: Sequence[Realised],
    rule: RealisedSettings,
    *,
    lists: str,
) -> Realised:
    """Put what happened beside what was predicted, and say whether a person should look.

    Args:
        figures: of ``realise``; foretold: of ``predicted``; series: newest first.
    """
    rmse = figures["rmse"]
    expected = foreseen(figures, foretold)
    figures = {**figures, "foreseen_rmse": expected, "band": None}
    why = f"RMSE {rmse:.6f}"
    low, high = 0.0, np.inf
    if foretold is not None and expected is not None:
        low, high = (bound * expected for bound in band(series, rule))
        figures["band"] = [low, high]
        why += (
            f" against {foretold['rmse']:.6f} predicted by the gate, {expected:.6f} for as many "
            f"purchases as there were (band {low:.6f} to {high:.6f})"
        )
    else:
        why += ", which the gate had not predicted"
    why += (
        f", NDCG@10 {figures['ndcg_at_10']:.4f}, on {figures['bought']:,} purchases among "
        f"{figures['pairs']:,} pairs of edition {due.edition} from {due.starts}"
    )
    flags = []
    if not low <= rmse <= high:
        flags.append("above its band" if rmse > high else "below its band")
    if rmse > rule.max_rmse:
        flags.append(f"above the threshold of {rule.max_rmse:g}")
    if flags:
        why = f"{' and '.join(flags)}: {why}"
    if due.passed:
        why += f"; {due.passed} older ones were due as well and stay unscored"
    return _point(due, night, bool(flags), why, lists, figures, foretold)


def unscored(due: Due, night: date, because: str) -> Realised:
    """A point of the series without figures, and the reason."""
    return _point(due, night, False, f"not scored: {because}", None, None, None)


def _point(
    due: Due,
    night: date,
    flagged: bool,
    because: str,
    lists: str | None,
    figures: Mapping[str, Any] | None,
    foretold: Mapping[str, Any] | None,
) -> Realised:
    return Realised(
        edition=due.edition,
        model=due.model,
        night=night,
        starts=due.starts,
        ends=due.ends,
        lists=lists,
        figures=figures,
        predicted=foretold,
        flagged=flagged,
        because=because,
    )


def foreseen(figures: Mapping[str, Any], foretold: Mapping[str, Any] | None) -> float | None:
    """The RMSE to expect for as many purchases as there were; None without a prediction.

    The squared error of a rare event grows with how often it happens: a busy week has a higher
    RMSE than a quiet one under the very same model. So the predicted RMSE is carried over to the
    realised share of bought pairs, ``rmse · sqrt(share / predicted share)``. On real tenants this
    takes the spread from week to week from 25 % down to 3 %, while customers whose tastes are
    shuffled still raise it by 2 to 12 %.
    """
    if foretold is None or not (foretold["rmse"] and foretold["bought"] and figures["bought"]):
        return None
    share = figures["bought"] / figures["pairs"]
    return float(foretold["rmse"] * np.sqrt(share * foretold["pairs"] / foretold["bought"]))


def band(series: Sequence[Realised], rule: RealisedSettings) -> tuple[float, float]:
    """Within which factors of the foreseen RMSE the realised one should lie.

    The tenant's own past says it, as median ± ``deviations`` robust standard deviations of
    log(realised / foreseen), never narrower than ``narrowest``; until ``least_history`` points
    are there, ``first_band`` does.
    """
    ratios = np.log(
        [
            point.figures["rmse"] / point.figures["foreseen_rmse"]
            for point in series
            if point.figures and point.figures["rmse"] and point.figures["foreseen_rmse"]
        ][:MEMORY]
    )
    if len(ratios) < rule.least_history:
        return 1 / rule.first_band, rule.first_band
    centre = np.median(ratios)
    spread = rule.deviations * NORMAL * np.median(np.abs(ratios - centre))
    width = max(spread, np.log(rule.narrowest))
    return float(np.exp(centre - width)), float(np.exp(centre + width))
