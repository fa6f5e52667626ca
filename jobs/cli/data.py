"""Import a tenant's files, and see what became of them."""

from dataclasses import asdict
from pathlib import Path

import click

from jobs.cli.door import actor, as_json, now, print_json, table, with_stores
from jobs.cli.erasing import erase, erasures, unerase
from jobs.cli.held import discard, quarantine, release
from jobs.cli.mapping import mapping, suggest_
from jobs.cli.pull import pull
from jobs.cli.report import lines, print_report, settle
from jobs.collect import Collected, collect, collect_fleet, exit_status
from jobs.example import EXAMPLES, write_example
from jobs.intake import import_files
from schema.codes import CODES, sections
from schema.config import Config
from schema.names import Delivered
from schema.tables import HOW, IMPORTED, TABLES, How
from storage.stores import Stores
from tenants.order import settings_of

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def data() -> None:
    """Import a tenant's files, and see what became of them.

    Example: recfactory data show acme
    """


for command in (
    release, discard, quarantine, pull, suggest_, mapping, erase, erasures, unerase
):  # fmt: skip
    data.add_command(command)

HELD = 3
"""Exit status: nothing failed, and a person has to look."""


@data.command(name="import")
@click.argument("tenant")
@click.option("--customers", type=_file, help="All of them, unless added.")
@click.option("--products", type=_file, help="The whole catalogue, unless added.")
@click.option("--interactions", type=_file, help="New ones, unless they replace.")
@click.option(
    "--add",
    multiple=True,
    type=click.Choice(list(HOW)),
    help="Of customers or products: each row takes the place of the one with its id.",
)
@click.option(
    "--replace", multiple=True, type=click.Choice(list(HOW)), help="The file is the whole table."
)
@click.option("--dry-run", is_flag=True, help="Check and report; keep nothing.")
@as_json
@with_stores
def import_(
    stores: Stores,
    config: Config,
    tenant: str,
    customers: Path | None,
    products: Path | None,
    interactions: Path | None,
    add: tuple[str, ...],
    replace: tuple[str, ...],
    dry_run: bool,
    json: bool,
) -> None:
    """Take CSV, JSON lines (both also packed with gzip or zstd) or Parquet files in: rows that do
    not fit are quarantined with a reason, files that cannot be used are refused whole, and what was
    there stays. What does not look like the tenant's other deliveries is held for a person: exit
    status 3.

    Example: recfactory data import acme --customers c.csv --products p.csv --interactions i.csv
    """
    given = {"customers": customers, "products": products, "interactions": interactions}
    files = {name: path for name, path in given.items() if path is not None}
    known = stores.ledger.tenant(tenant)
    report = import_files(
        stores,
        known,
        files,
        settings_of(config.template, known.changes).intake,
        by=actor(),
        now=now(),
        dry_run=dry_run,
        how=_how(add, replace),
    )
    if json:
        print_json(report.as_json())
    else:
        print_report(report.as_json(), report.as_json()["reasons"], report.state)
    if report.state is Delivered.HELD:
        raise SystemExit(HELD)


@data.command(name="collect")
@click.argument("tenants", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every tenant.")
@click.option("--uploads", is_flag=True, help="Only what came over HTTP, or was begun before.")
@as_json
@with_stores
def collect_(
    stores: Stores,
    config: Config,
    tenants: tuple[str, ...],
    everybody: bool,
    uploads: bool,
    json: bool,
) -> None:
    """Take in what waits: files in inbox folders whose .done marker was written after them, and
    uploads that a server could not see to the end. `recfactory schedule` does it before each wave.

    Example: recfactory data collect --all
    """
    if everybody == bool(tenants):
        raise click.UsageError("name tenants, or say --all")
    found: list[Collected] = []
    if everybody:
        known = [tenant.tenant for tenant in stores.ledger.tenants()]
        collect_fleet(stores, config, known, found.append)
    for name in tenants:
        found += collect(stores, config, name, now=now(), inbox=not uploads)
    if json:
        print_json([line.as_json() for line in found])
    else:
        _print_collected(found)
    if status := exit_status(found):
        raise SystemExit(status)


def _print_collected(found: list[Collected]) -> None:
    if not found:
        click.echo("Nothing waits that is whole: a file counts when its .done marker is written.")
        return
    rows = []
    for line in found:
        problem, tables = line.problem or {}, (line.report or {}).get("tables", ())
        said = [f"{t['table']}: {t['accepted']:,} of {t['read']:,} rows" for t in tables]
        said += [f"{problem['code']}: {problem['message']}; {problem['fix']}"] if problem else []
        rows.append([line.tenant, ", ".join(line.files), line.outcome, "; ".join(said)])
    table("Collected", ["tenant", "files", "outcome", "what"], rows)


@data.command()
@click.argument("tenant")
@click.argument("batch", required=False)
@as_json
@with_stores
def show(stores: Stores, config: Config, tenant: str, batch: str | None, json: bool) -> None:
    """What a tenant delivered, newest first, and what became of it; or one delivery's report.

    Example: recfactory data show acme
    """
    known = stores.ledger.tenant(tenant)
    if batch is not None:
        found = stores.imports.delivery(known.tenant, batch)
        if json:
            print_json(found.as_json())
        else:
            print_report(found.report, found.reasons, found.state)
        return
    reports = stores.imports.reports(known.tenant)
    if json:
        print_json(reports)
        return
    columns = [
        "imported (UTC)",
        "batch",
        "state",
        "table",
        "read>",
        "accepted>",
        "quarantined>",
        "because",
    ]
    table(f"Deliveries of {tenant}", columns, [row for report in reports for row in lines(report)])
    for waiting in stores.imports.deliveries(known.tenant, None, states=[Delivered.HELD]):
        click.echo(f"Batch {waiting.batch} waits for you: {settle(tenant, waiting.batch)}")


@data.command()
@click.argument("tenant")
@click.argument("name", metavar="TABLE", type=click.Choice([table.name for table in IMPORTED]))
@with_stores
def files(stores: Stores, config: Config, tenant: str, name: str) -> None:
    """Name the Parquet files that hold a tenant's accepted rows of TABLE now, for any other tool.

    Example: recfactory data files acme interactions
    """
    for path in stores.datasets.files(stores.ledger.tenant(tenant).uid, name):
        click.echo(path)


@data.command()
@as_json
def codes(json: bool) -> None:
    """What may be wrong with a delivery: every code, its effect, and what to do.

    Example: recfactory data codes
    """
    if json:
        print_json([{"severity": code.severity, **asdict(code)} for code in CODES])
        return
    for title, section in sections():
        rows = [[code.name, code.effect, code.means, code.fix, code.beyond] for code in section]
        table(title, ["code", "effect", "means", "what to do", "many of them"], rows)


@data.command()
@as_json
def schema(json: bool) -> None:
    """The universal schema: every column that may be sent.

    Example: recfactory data schema
    """
    if json:
        print_json(list(TABLES.values()))
        return
    for definition in TABLES.values():
        rows = [
            [
                column.name,
                column.kind.value,
                "required" if column.required else "",
                column.unit,
                ", ".join(column.choices) or _range(column.least, column.most),
                column.meaning,
            ]
            for column in definition.columns
        ]
        columns = ["column", "kind", "", "unit", "values", "meaning"]
        table(f"{definition.name}: {definition.meaning}", columns, rows)


@data.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(list(EXAMPLES)),
    default="brewery",
    help="brewery: universal form; telecom: a dealer's own export, and the mapping that reads it.",
)
def example(folder: Path, kind: str) -> None:
    """Write a made-up tenant's files into FOLDER: a brewery's, or a telecom dealer's.

    Example: recfactory data example telecom-data --kind telecom
    """
    for path in write_example(folder, kind):
        click.echo(path)


def _how(add: tuple[str, ...], replace: tuple[str, ...]) -> dict[str, How]:
    both = set(add) & set(replace)
    if both:
        raise click.UsageError(f"{sorted(both)[0]}: either --add or --replace")
    told: dict[str, How] = dict.fromkeys(add, "add")
    return told | dict.fromkeys(replace, "replace")


def _range(least: float | None, most: float | None) -> str:
    return "" if least is None or most is None else f"{least:g} to {most:g}"
