"""One picture of a model: is it calibrated, and how did its tenant's nights go.

Pure drawing: what a night kept in, a figure out. Only this file knows matplotlib.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from math import isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, ScalarFormatter

from schema.dates import day_date, day_number
from schema.errors import Refused
from schema.names import Outcome
from schema.records import NightReport

CHALLENGER, INCUMBENT, REALISED = "#0072b2", "#8c8c8c", "#d55e00"
SERIES = (
    ("incumbent", INCUMBENT, "o-", "incumbent"),
    ("challenger", CHALLENGER, "o-", "challenger"),
    ("realised", REALISED, "x--", "came true"),
)
INK, PALE = "#333333", "#d9d9d9"


def draw(
    tenant: str, line: Mapping[str, Any], nights: Sequence[NightReport], *, kept: Mapping[str, Any]
) -> Figure:
    """Reliability on the left; RMSE and NDCG@10 over the nights on the right.

    Args:
        line: the model: its number, kind, night and verdict.
        nights: in any order; those that measured nothing are left out.
        kept: the figures of the model's own night.

    Raises:
        Refused: no night judged anything (``NOTHING_TO_DRAW``).
    """
    judged = sorted(
        (n for n in nights if _judged(n.figures) or n.figures.get("realised")),
        key=lambda n: n.night,
    )
    if not judged and not _judged(kept):
        raise Refused(
            f"there is nothing to draw: no night of {tenant} judged a model yet",
            "wait until a night has enough purchases to judge by",
            code="NOTHING_TO_DRAW",
        )
    figure = Figure(figsize=(13, 6.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{tenant}: model {line['model']} ({line['kind']}), night of {line['night']}, {line['verdict']}",
        x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK,
    )  # fmt: skip
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.1), wspace=0.05, hspace=0.05)
    _reliability(figure.add_subplot(grid[:, 0]), kept)
    rmse = figure.add_subplot(grid[0, 1])
    ndcg = figure.add_subplot(grid[1, 1], sharex=rmse)
    _over_nights(rmse, judged, "rmse", "RMSE of the purchase probability (lower is better)")
    _over_nights(ndcg, judged, "ndcg_at_10", "NDCG@10 of the lists (higher is better)")
    rmse.tick_params(labelbottom=False)
    if any(report.night == line["night"] for report in judged):
        for axes in (rmse, ndcg):
            name = f"model {line['model']}"
            axes.axvline(day_number(line["night"]), color=PALE, linewidth=5, zorder=0, label=name)
    if judged:
        _dates(ndcg, [report.night for report in judged])
        handles, labels = rmse.get_legend_handles_labels()
        ndcg.legend(
            handles, labels, frameon=False, fontsize=9, ncols=len(handles), columnspacing=1.2,
            loc="upper center", bbox_to_anchor=(0.5, -0.17),
        )  # fmt: skip
    return figure


def png(figure: Figure) -> bytes:
    """The picture as a file, 1,560 pixels wide."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _judged(figures: Mapping[str, Any]) -> bool:
    return bool(figures.get("challenger") and figures.get("incumbent"))


def _reliability(axes: Axes, kept: Mapping[str, Any]) -> None:
    """Observed share against predicted probability, ten bins each; a perfect model is the diagonal."""
    _dress(axes, "Does it happen as often as it says?")
    axes.set_xlabel("predicted probability of a purchase", fontsize=9, color=INK)
    axes.set_ylabel("share that was bought", fontsize=9, color=INK)
    if not _judged(kept):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was judged on its night", ha="center", color=INK)
        return
    tables = {
        name: [row for row in kept[name]["reliability"] if row[0] and None not in row]
        for name in ("incumbent", "challenger")
    }
    shares = [s for rows in tables.values() for _, p, o in rows for s in (p, o) if s > 0]
    floor = min(shares, default=0.001) / 2
    most = max((row[0] for rows in tables.values() for row in rows), default=1)
    axes.plot([floor, 1], [floor, 1], color=PALE, linewidth=1.5, zorder=1, label="_diagonal")
    for name, colour in (("incumbent", INCUMBENT), ("challenger", CHALLENGER)):
        rows = tables[name]
        x = [max(p, floor) for _, p, _ in rows]
        y = [max(o, floor) for _, _, o in rows]
        axes.plot(x, y, color=colour, linewidth=1, alpha=0.6, zorder=2, label=f"_{name}")
        axes.scatter(
            x, y, s=[25 + 425 * (pairs / most) ** 0.5 for pairs, _, _ in rows],
            facecolors=[colour if o > 0 else "white" for _, _, o in rows],
            edgecolors=colour, alpha=0.8, linewidths=1.2, zorder=3, label=name, clip_on=False,
        )  # fmt: skip
    percent = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    for axis, scale, limit in (
        (axes.xaxis, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        scale("log")
        limit(floor, 1)
        axis.set_major_formatter(percent)
        axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_aspect("equal", anchor="N")
    empty = any(o == 0 for rows in tables.values() for _, _, o in rows)
    note = "larger dot: more pairs" + ("; hollow: none bought" if empty else "")
    axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", fontsize=9, color=INK)
    handles = axes.legend(frameon=False, fontsize=9, loc="upper left").legend_handles
    for handle in handles:
        handle.set_sizes([60])  # type: ignore[union-attr]


def _over_nights(axes: Axes, judged: Sequence[NightReport], figure: str, title: str) -> None:
    """Challenger and incumbent as judged night by night, and what came true where it is known."""
    _dress(axes, title)
    days = [day_number(report.night) for report in judged]
    for who, colour, line, label in SERIES:
        values = [_value(report, who, figure) for report in judged]
        if not all(map(isnan, values)):
            axes.plot(
                days, values, line, color=colour, label=label, linewidth=1.4,
                markersize=5 if len(judged) <= 20 else 2.5,
            )  # fmt: skip
    for outcome, marker in ((Outcome.PROMOTED, "^"), (Outcome.HELD, "D")):
        at = [(d, r) for d, r in zip(days, judged, strict=True) if r.outcome is outcome]
        if at:
            axes.scatter(
                [day for day, _ in at], [_value(r, "challenger", figure) for _, r in at],
                marker=marker, s=70, facecolors="white", edgecolors=CHALLENGER, linewidths=1.5,
                zorder=4, label=outcome.value,
            )  # fmt: skip
    axes.margins(y=0.18)
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    axes.yaxis.set_major_formatter(plain)
    axes.locator_params(axis="y", nbins=5)


def _value(report: NightReport, who: str, figure: str) -> float:
    """Not a number leaves a gap."""
    value = (report.figures.get(who) or {}).get(figure)
    return nan if value is None else float(value)


def _dates(axes: Axes, nights: Sequence[date]) -> None:
    days = [day_number(night) for night in nights]
    pad = max(1, 0.03 * (days[-1] - days[0]))
    axes.set_xlim(days[0] - pad, days[-1] + pad)
    room = all(12 * (b - a) >= days[-1] - days[0] for a, b in pairwise(days))
    axes.xaxis.set_major_locator(FixedLocator(days) if room else MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_day))
    years = dict.fromkeys((nights[0].year, nights[-1].year))
    axes.set_xlabel(f"night ({' to '.join(map(str, years))})", fontsize=9, color=INK)


def _day(number: float, _position: int | None) -> str:
    day = day_date(int(number))
    return f"{day.day} {day:%b}"


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(visible=True, color="#efefef", linewidth=0.8)
    axes.set_axisbelow(True)
