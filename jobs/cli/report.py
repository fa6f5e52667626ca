"""A delivery's report as a person reads it: the same for a fresh one and for one that was kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from jobs.cli.door import day, table
from schema.names import Delivered

_SAYS = {
    Delivered.ACCEPTED: "accepted: it counts from the next night on",
    Delivered.UNCHANGED: "DATA_UNCHANGED: the same files as before, nothing to do",
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
    tenant, batch = body["tenant"], body["batch"]
    lines = [[t["table"], t["read"], t["accepted"], t["quarantined"]] for t in body["tables"]]
    fit = "accepted" if state in (Delivered.ACCEPTED, Delivered.RELEASED) else "would be accepted"
    columns = [
        "table",
        "read>",
        f"{'would be accepted' if body['dry_run'] else fit}>",
        "quarantined>",
    ]
    if lines:
        table(f"{tenant}, batch {batch}", columns, lines)
    faults = [
        [
            t["table"],
            fault["code"],
            fault["column"],
            fault["count"],
            f"{fault['share']:.2%}",
            fault.get("severity", "quarantine"),
            fault["what"],
            samples(fault["samples"]),
            fault["fix"],
        ]
        for t in body["tables"]
        for fault in t["faults"]
    ]
    if faults:
        columns = [
            "table",
            "code",
            "column",
            "rows>",
            "share>",
            "severity",
            "what",
            "row: value",
            "what to do",
        ]
        table("What did not fit", columns, faults)
    for t in body["tables"]:
        if t["ignored_columns"]:
            click.echo(f"{t['table']}: ignored columns {', '.join(t['ignored_columns'])}")
    for reason in reasons:
        name = f" {reason['table']}" if "table" in reason else ""
        click.echo(f"{reason['code']}{name}: {reason['sentence']}")
    if (
        any(t["quarantined"] for t in body["tables"])
        and state
        in (
            Delivered.ACCEPTED,
            Delivered.RELEASED,
        )
        and not body["dry_run"]
    ):
        click.echo(
            f"Mend and send again: recfactory data quarantine {tenant} {batch} --to FILE.csv"
        )
    if not body["dry_run"]:
        click.echo(f"{tenant}, batch {batch}: {_SAYS[Delivered(state)]}.")
        if state == Delivered.HELD:
            click.echo(f"Next: {settle(tenant, batch)}")
    elif state == Delivered.HELD:
        click.echo(f"{tenant}, batch {batch}: would be held for a person.")


def lines(report: Mapping[str, Any]) -> list[list[object]]:
    """A delivery in the list of all: a line for each of its tables, one at least."""
    because = "; ".join(f"{r['code']}: {r['sentence']}" for r in report["reasons"])
    known = [day(report["imported_at"]), report["batch"], report["state"]]
    rows = [
        [t["table"], t["read"], t["accepted"], t["quarantined"]] for t in report["report"]["tables"]
    ]
    return [[*known, *row, because] for row in rows or [["", "", "", ""]]]


def settle(tenant: str, batch: str) -> str:
    """What to do about a held delivery."""
    return (
        f"`recfactory data release {tenant} {batch} --why …` where the data are right, "
        f"`recfactory data discard {tenant} {batch} --why …` where they are not."
    )


def samples(found: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"{sample.get('line', sample.get('row'))}: {sample['value']}" for sample in found
    )
