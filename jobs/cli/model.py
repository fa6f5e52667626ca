"""The models of a tenant: their verdicts explained, and a person's word on a held one."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from jobs.cli.door import (
    actor,
    as_json,
    console,
    now,
    print_json,
    table,
    why,
    with_stores,
    writing,
)
from jobs.cli.quality import quality
from jobs.explain import explain
from schema.config import Config
from schema.names import Outcome
from schema.records import Tenant
from storage import durable, held
from storage.durable import Disk
from storage.stores import Stores

NUMBER = click.IntRange(1, 2**31 - 1)
DRAWN_NIGHTS = 90
"""The newest quarter of a year: more is not legible."""


@click.group()
def model() -> None:
    """The models of a tenant: the verdict each got, and your word on one that is held.

    Example: recfactory model list acme
    """


model.add_command(quality)


@model.command(name="list")
@click.argument("tenant")
@as_json
@with_stores
def list_models(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """All models, newest first; the one in force is marked.

    Example: recfactory model list acme
    """
    known = stores.ledger.tenant(tenant)
    rows = stores.nights.models(known.tenant)
    if json:
        print_json([{**row, "in_force": row["model"] == known.model} for row in rows])
        return
    lines = [
        [row["model"], row["night"], row["kind"], row["verdict"], "in force" if row["model"] == known.model else "", row["because"]]
        for row in rows
    ]  # fmt: skip
    table(f"Models of {tenant}", ["model>", "night", "kind", "verdict", "", "because"], lines)


@model.command()
@click.argument("tenant")
@click.argument("number", type=int, required=False)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw reliability, and RMSE and NDCG@10 over the nights.",
)
@as_json
@with_stores
def show(
    stores: Stores, config: Config, tenant: str, number: int | None, plot: Path | None, json: bool
) -> None:
    """Why a model was promoted or not: the verdict in sentences, and every figure.

    Without a NUMBER, of the model in force.

    Example: recfactory model show acme 12 --plot acme-12.png
    """
    known = stores.ledger.tenant(tenant)
    line = _line(stores, known, known.model if number is None else number)
    if plot is not None:
        _plot(stores, known, line, plot)
    if json:
        print_json(line)
        return
    click.echo(
        f"{tenant}, model {line['model']} ({line['kind']}), night of {line['night']}: "
        f"{line['verdict']}, {line['because']}.\n"
    )
    points = Table.grid(padding=(0, 1))
    for sentence in line["explanation"]:
        points.add_row("-", Text(sentence))
    console().print(points, "")
    challenger, incumbent = line["figures"].get("challenger"), line["figures"].get("incumbent")
    if challenger and incumbent:
        names = [name for name in challenger if name != "reliability"]
        rows = [[name, _figure(challenger[name]), _figure(incumbent[name])] for name in names]
        table("Judged on the same pairs", ["figure", "challenger>", "incumbent>"], rows)
        table(
            "Reliability: predicted probability against the share that was bought",
            [
                "challenger: pairs>",
                "predicted>",
                "bought>",
                "incumbent: pairs>",
                "predicted>",
                "bought>",
            ],
            [
                [*_bin(ours), *_bin(theirs)]
                for ours, theirs in zip(
                    challenger["reliability"], incumbent["reliability"], strict=True
                )
            ],
        )
    if plot is not None:
        click.echo(f"drawn: {plot}")


@model.command()
@click.argument("tenant")
@click.argument("number", type=NUMBER)
@why
@with_stores
def promote(stores: Stores, config: Config, tenant: str, number: int, why: str) -> None:
    """Put a model in force that the gate holds for a person; the next night ranks with it.

    Example: recfactory model promote acme 12 --why "no leak: the spring catalogue came in"
    """
    known = stores.ledger.tenant(tenant)
    current = stores.editions.current(known.uid)
    held.promote(stores, known, number, by=actor(), why=why, now=now())
    click.echo(f"{tenant}: model {number} is in force; the next night judges and ranks with it.")
    if current is not None:
        click.echo(f"Undo: recfactory edition activate {tenant} {current.edition} --why …")


@model.command()
@click.argument("tenant")
@click.argument("number", type=NUMBER)
@why
@with_stores
def discard(stores: Stores, config: Config, tenant: str, number: int, why: str) -> None:
    """Throw away a model that the gate holds for a person; the model in force stays.

    Example: recfactory model discard acme 12 --why "orders were booked before they were placed"
    """
    known = stores.ledger.tenant(tenant)
    held.discard(stores, known, number, by=actor(), why=why, now=now())
    click.echo(
        f"{tenant}: model {number} is thrown away, its verdict is kept; model {known.model} stays. "
        "This cannot be undone: the next night trains a new challenger."
    )


def _line(stores: Stores, tenant: Tenant, number: int | None) -> dict[str, Any]:
    """Everything that is known of a model, its night's figures included."""
    row = stores.nights.model(tenant.tenant, number)
    report = stores.nights.night(tenant.tenant, row["night"])
    rivals = [r["model"] for r in stores.nights.models(tenant.tenant) if r["night"] == row["night"]]
    ranked = {row["edition"]: row["model"] for row in stores.nights.editions(tenant.tenant)}
    kept = row["model"] in stores.models.numbers(tenant.uid)
    passed = tenant.model is not None and row["model"] <= tenant.model
    acts = stores.audit.of(tenant.tenant, 1000, ("promote", "discard"))
    decided = [act.as_json() for act in acts if act.detail["model"] == row["model"]]
    figures = dict(report.figures) if report else {}
    line = {
        **row,
        "in_force": row["model"] == tenant.model,
        "on_disk": kept,
        "waits": row["verdict"] == Outcome.HELD and kept and not passed,
        "challenger": bool(figures.get("challenger")) and row["model"] == max(rivals),
        "edition": report.edition if report else None,
        "ranked_by": ranked.get(report.edition) if report else None,
        "decided": decided[0] if decided else None,
        "figures": figures,
    }
    return {**line, "explanation": explain(line, published=bool(report and report.published))}


def _plot(stores: Stores, tenant: Tenant, line: dict[str, Any], path: Path) -> None:
    drawing = importlib.import_module("jobs.plot")  # matplotlib: only who draws waits for it
    nights = stores.nights.nights(tenant.tenant, DRAWN_NIGHTS)
    figure = drawing.draw(tenant.tenant, line, nights, kept=line["figures"])
    with writing(path):
        durable.replace(Disk(), path.absolute(), drawing.png(figure))


def _figure(value: float | None) -> str:
    if value is None:
        return "no number"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6f}"


def _bin(row: Sequence[float | None]) -> list[str]:
    """Pairs, predicted and observed of one bin; an empty bin has only its zero."""
    pairs, predicted, observed = row
    if not pairs:
        return ["0", "", ""]
    return [f"{pairs:,}", _figure(predicted), _figure(observed)]
