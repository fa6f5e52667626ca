"""Import a tenant's files, and see what became of them."""

from dataclasses import asdict
from pathlib import Path

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, with_stores
from jobs.example import EXAMPLES, write_example
from jobs.intake import ImportReport, import_files
from schema.codes import CODES, sections
from schema.config import Config
from schema.tables import IMPORTED, TABLES
from storage.stores import Stores
from tenants.order import settings_of

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def data() -> None:
    """Import a tenant's files, and see what became of them.

    Example: recfactory data show acme
    """


@data.command(name="import")
@click.argument("tenant")
@click.option("--customers", type=_file, help="Replaces the customers.")
@click.option("--products", type=_file, help="Replaces the catalogue.")
@click.option("--interactions", type=_file, help="Adds to the interactions.")
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
    dry_run: bool,
    json: bool,
) -> None:
    """Take CSV or Parquet files in: rows that do not fit are quarantined with a reason, files
    that cannot be used are refused whole, and what was there stays.

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
    )
    if json:
        print_json(report.as_json())
    else:
        _print(report)


@data.command()
@click.argument("tenant")
@as_json
@with_stores
def show(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """What a tenant delivered, newest first, and what became of its rows.

    Example: recfactory data show acme
    """
    known = stores.ledger.tenant(tenant)
    reports = stores.imports.reports(known.tenant)
    if json:
        print_json(reports)
        return
    rows = [
        [day(r["imported_at"]), r["batch"], t["table"], t["read"], t["accepted"], t["quarantined"]]
        for r in reports
        for t in r["report"]["tables"]
    ]
    columns = ["imported (UTC)", "batch", "table", "read>", "accepted>", "quarantined>"]
    table(f"Deliveries of {tenant}", columns, rows)


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


def _range(least: float | None, most: float | None) -> str:
    return "" if least is None or most is None else f"{least:g} to {most:g}"


def _print(report: ImportReport) -> None:
    done = "would be accepted" if report.dry_run else "accepted"
    rows = [[t.table, t.read, len(t.accepted), len(t.quarantined)] for t in report.tables]
    table(
        f"{report.tenant}, batch {report.batch}",
        ["table", "read>", f"{done}>", "quarantined>"],
        rows,
    )
    faults = [
        [t.table, fault.code, fault.count, fault.what, _samples(fault.samples), fault.fix]
        for t in report.tables
        for fault in t.faults
    ]
    if faults:
        columns = ["table", "code", "rows>", "what", "row: value", "what to do"]
        table("Quarantined", columns, faults)
    for found in report.tables:
        if found.ignored:
            click.echo(f"{found.table}: ignored columns {', '.join(found.ignored)}")


def _samples(samples: tuple[tuple[int, str], ...]) -> str:
    return "; ".join(f"{row}: {value}" for row, value in samples[:3])
