"""A delivery's report as a person reads it: the same for a fresh one and for one that was kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from jobs.cli.door import day, table
from schema.names import Delivered
from storage.imports import COUNTS

_SAYS = {
    Delivered.ACCEPTED: "accepted: it counts from the next night on",
    Delivered.UNCHANGED: "unchanged: nothing to do",
    Delivered.HELD: "held for a person: nothing of it counts until then",
    Delivered.RELEASED: "released: it counts from the next night on",
    Delivered.DISCARDED: "discarded: nothing of it counts",
    Delivered.REFUSED: "refused: nothing of it was kept",
}


def print_report(body: Mapping[str, Any], reasons: Sequence[Mapping[str, Any]], state: str) -> None:
    """Print what became of a delivery.

    Args:
        body: the report as it is kept.
        state: as it is now.
    """
    tenant, batch, counts = body["tenant"], body["batch"], state in COUNTS and not body["dry_run"]
    fit = "accepted>" if counts else "would be accepted>"
    if body["tables"]:
        columns = ["table", "read>", fit, "quarantined>"]
        rows = [[t["table"], t["read"], t["accepted"], t["quarantined"]] for t in body["tables"]]
        if any(t.get("erased") for t in body["tables"]):
            columns.append("of erased customers>")
            rows = [[*row, t["erased"]] for row, t in zip(rows, body["tables"], strict=True)]
        table(f"{tenant}, batch {batch}", columns, rows)
    if faults := [_fault(t["table"], fault) for t in body["tables"] for fault in t["faults"]]:
        table("What was found", _COLUMNS, faults)
    for reason in reasons:
        where = f" {reason['table']}" if "table" in reason else ""
        click.echo(f"{reason['code']}{where}: {reason['sentence']}")
    if body["dry_run"]:
        click.echo(f"{tenant}, batch {batch}: would be {state}; nothing was kept.")
        return
    click.echo(f"{tenant}, batch {batch}: {_SAYS[Delivered(state)]}.")
    if state == Delivered.HELD:
        click.echo(f"Next: {settle(tenant, batch)}")
    if counts and any(map(_to_mend, body["tables"])):
        click.echo(
            f"Next: mend what did not fit (`recfactory data quarantine {tenant} {batch} --to "
            "FILE.csv`) and import it."
        )


def _to_mend(table: Mapping[str, Any]) -> bool:
    """Whether a row is in quarantine that is not merely left out by the mapping, or there twice."""
    told = (fault.get("severity", "error") for fault in table["faults"])
    return bool(table["quarantined"]) and "error" in told


_COLUMNS = [
    "table", "code", "column", "rows>", "share>", "severity", "what", "line: value", "what to do",
]  # fmt: skip


def _fault(where: str, fault: Mapping[str, Any]) -> list[object]:
    samples = (
        f"{found.get('line', found.get('row'))}: {found['value']}" for found in fault["samples"]
    )
    return [
        where,
        fault["code"],
        fault["column"],
        fault["count"],
        f"{fault['share']:.2%}",
        fault.get("severity", "quarantine"),
        fault["what"],
        "\n".join(samples),
        fault["fix"],
    ]


def lines(report: Mapping[str, Any]) -> list[list[object]]:
    """A delivery in the list of all: a line for each of its tables, one at least."""
    because = "; ".join(f"{r['code']}: {r['sentence']}" for r in report["reasons"])
    known = [day(report["imported_at"]), report["batch"], report["state"]]
    counts = report["state"] in COUNTS
    rows = [
        [t["table"], t["read"], t["accepted"] if counts else "", t["quarantined"]]
        for t in report["report"]["tables"]
    ]
    return [[*known, *row, because] for row in rows or [["", "", "", ""]]]


def settle(tenant: str, batch: str) -> str:
    """What to do about a held delivery."""
    return (
        f"`recfactory data release {tenant} {batch} --why …` where the data are right, "
        f"`recfactory data discard {tenant} {batch} --why …` where they are not."
    )
