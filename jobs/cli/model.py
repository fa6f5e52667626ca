"""The models of a tenant."""

import click

from jobs.cli.door import as_json, print_json, table, with_stores
from jobs.cli.quality import quality
from schema.config import Config
from schema.errors import NotThere
from storage.stores import Stores


@click.group()
def model() -> None:
    """The models of a tenant, and the verdict each got.

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
@as_json
@with_stores
def show(stores: Stores, config: Config, tenant: str, number: int | None, json: bool) -> None:
    """Why a model was promoted or not: the verdict's sentence and every figure.

    Example: recfactory model show acme 12
    """
    known = stores.ledger.tenant(tenant)
    number = known.model if number is None else number
    rows = [row for row in stores.nights.models(known.tenant) if row["model"] == number]
    if not rows:
        raise NotThere(
            f"{tenant} has no model {number}", f"see `recfactory model list {tenant}`", "NO_MODEL"
        )
    row = rows[0]
    nights = {report.night: report for report in stores.nights.nights(known.tenant, 1000)}
    figures = dict(nights[row["night"]].figures) if row["night"] in nights else {}
    if json:
        print_json({**row, "in_force": row["model"] == known.model, "figures": figures})
        return
    click.echo(
        f"{tenant}, model {number} ({row['kind']}), night of {row['night']}: {row['because']}."
    )
    challenger, incumbent = figures.get("challenger"), figures.get("incumbent")
    if challenger and incumbent:
        names = [name for name in challenger if name != "reliability"]
        rows_ = [[name, _figure(challenger[name]), _figure(incumbent[name])] for name in names]
        table("Judged on the same pairs", ["figure", "challenger>", "incumbent>"], rows_)
        bins = [
            [f"{pairs:,}", f"{expected:.5f}", f"{observed:.5f}"]
            for pairs, expected, observed in challenger["reliability"]
        ]
        table("Reliability of the challenger", ["pairs>", "predicted>", "observed>"], bins)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.5f}"
