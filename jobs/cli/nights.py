"""Nights as a person and a program read them: a row a tenant."""

from collections.abc import Sequence
from typing import Any

import click

from jobs.brake import FLEET_BRAKE
from jobs.cli.door import table
from jobs.deadline import DEADLINE
from jobs.results import (
    NIGHT_RUNNING,
    RUNNING,
    Failure,
    Result,
    code_of,
    elsewhere,
    flagged,
    said_once,
    word_of,
)
from schema.names import Outcome
from schema.records import NightReport
from storage.imports import COUNTS
from storage.stores import Stores


def as_line(result: Result) -> dict[str, Any]:
    """One night as JSON."""
    if not isinstance(result, NightReport):
        task = result.task
        return {
            "tenant": task.tenant,
            "night": task.night,
            "verdict": _verdict(result),
            "code": result.code,
            "because": result.because,
        }
    return {
        "tenant": result.tenant,
        "night": result.night,
        "verdict": result.outcome,
        "because": result.because,
        "published": result.published,
        "edition": result.edition,
        "model": result.model,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        **result.figures,
    }


def print_nights(stores: Stores, results: Sequence[Result], title: str = "Night") -> None:
    """The night's table: one line a tenant."""
    columns = [
        "tenant", "night", "customers>", "products>", "accepted>", "quarantined>", "verdict",
        "RMSE challenger>", "incumbent>", "skill>", "NDCG@10>", "RMSE realised>", "lists>", "edition>", "seconds>",
    ]  # fmt: skip
    table(title, columns, [_row(stores, result) for result in results])
    for code in _OF_ALL:
        if told := said_once(results, code):
            click.echo(told, err=True)
    for result in results:
        failed = not isinstance(result, NightReport) or word_of(result) in ("failed", "held")
        if failed and code_of(result) not in _OF_ALL:
            click.echo(result.because, err=True)
        if isinstance(result, NightReport):
            for line in result.figures.get("rules", ()):
                if line["rule"] is not None:
                    click.echo(f"{result.tenant}, {rule_line(line)}")
        if isinstance(result, NightReport) and flagged(result):
            click.echo(f"{result.tenant}, flagged: {_flag(result)}", err=True)


_OF_ALL = (FLEET_BRAKE, DEADLINE, NIGHT_RUNNING)
"""What stops many nights at once is said once."""


def rule_line(line: dict[str, Any]) -> str:
    """What one rule did to the first ten places of all lists: the night's own words."""
    name = "" if line["rule"] is None else f"rule {line['rule']}: "
    if line["state"] == "expired":
        return f"{name}{line['what']}: expired, did nothing"
    did = [f"{line[word]:,} {word}" for word in ("removed", "added", "moved") if line[word]]
    products = f"{line['products']:,} product{'s' * (line['products'] != 1)}"
    return (
        f"{name}{line['what']}: {products}; of first-ten places {', '.join(did) or 'none changed'}"
    )


def _row(stores: Stores, result: Result) -> list[object]:
    if not isinstance(result, NightReport):
        return [result.task.tenant, result.task.night, *[""] * 4, _verdict(result), *[""] * 8]
    figures = result.figures
    challenger, incumbent = figures.get("challenger") or {}, figures.get("incumbent") or {}
    in_force = challenger if word_of(result) == "promoted" else incumbent
    rows = _rows_of(stores, result)
    return [
        result.tenant,
        result.night,
        _number(figures.get("customers")),
        _number(figures.get("products")),
        _number(figures.get("interactions")),
        _number(rows),
        word_of(result),
        _number(challenger.get("rmse"), 6),
        _number(incumbent.get("rmse"), 6),
        _number(in_force.get("skill"), 3),
        _number(in_force.get("ndcg_at_10"), 3),
        _realised(result),
        _number(figures.get("lists")),
        result.edition,
        _number(result.seconds, 1),
    ]


def _verdict(result: Failure) -> str:
    return RUNNING if elsewhere(result) else Outcome.FAILED.value


def _rows_of(stores: Stores, report: NightReport) -> int:
    """Rows in quarantine, over every delivery of the tenant."""
    counting = stores.imports.deliveries(report.tenant, states=COUNTS)
    batches = {delivery.batch: delivery.report for delivery in reversed(counting)}
    return sum(
        found["quarantined"] for delivery in batches.values() for found in delivery["tables"]
    )


def _realised(report: NightReport) -> str:
    found = report.figures.get("realised") or {}
    return f"{_number(found.get('rmse'), 6)} {'flagged' if flagged(report) else ''}".strip()


def _flag(report: NightReport) -> str:
    because = report.figures["realised"]["because"]
    return f"{because}. Next: see `recfactory model quality {report.tenant}`."


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
