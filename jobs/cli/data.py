"""Import a tenant's files, and see what became of them."""

from pathlib import Path

import click

from jobs.cli import mapping
from jobs.cli.door import actor, as_json, day, now, print_json, table, with_stores
from jobs.cli.pull import pull
from jobs.collect import Collected, collect, collect_fleet, exit_status
from jobs.example import write_example
from jobs.intake import ImportReport, import_files
from schema.config import Config
from schema.tables import TABLES
from storage.dataset import HOW, How
from storage.stores import Stores
from tenants.order import settings_of

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def data() -> None:
    """Import a tenant's files, and see what became of them.

    Example: recfactory data show acme
    """


data.add_command(pull)


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
        how=_how(add, replace),
    )
    if json:
        print_json(report.as_json())
    else:
        _print(report)


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
    rows = []
    for line in found:
        problem, tables = line.problem or {}, (line.report or {}).get("tables", ())
        said = [f"{t['table']}: {t['accepted']:,} of {t['read']:,} rows" for t in tables]
        said += [f"{problem['code']}: {problem['message']}; {problem['fix']}"] if problem else []
        rows.append([line.tenant, ", ".join(line.files), line.outcome, "; ".join(said)])
    table("Collected", ["tenant", "files", "outcome", "what"], rows)


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
def example(folder: Path) -> None:
    """Write a made-up brewery's customers.csv, products.csv and interactions.csv into FOLDER.

    Example: recfactory data example brewery-data
    """
    for path in write_example(folder):
        click.echo(path)


def _how(add: tuple[str, ...], replace: tuple[str, ...]) -> dict[str, How]:
    both = set(add) & set(replace)
    if both:
        raise click.UsageError(f"{sorted(both)[0]}: either --add or --replace")
    told: dict[str, How] = dict.fromkeys(add, "add")
    return told | dict.fromkeys(replace, "replace")


def _range(least: float | None, most: float | None) -> str:
    return "" if least is None or most is None else f"{least:g} to {most:g}"


def _print(report: ImportReport) -> None:
    done = "would be accepted" if report.dry_run else "accepted"
    rows = [[t.table, t.read, t.accepted, t.quarantined] for t in report.tables]
    table(
        f"{report.tenant}, batch {report.batch}",
        ["table", "read>", f"{done}>", "quarantined>"],
        rows,
    )
    faults = [
        [
            t.table,
            fault.code,
            fault.severity,
            fault.count,
            fault.what,
            _samples(fault.samples),
            fault.fix,
        ]
        for t in report.tables
        for fault in t.faults
    ]
    if faults:
        columns = ["table", "code", "", "rows>", "what", "line: value", "what to do"]
        table("What was found", columns, faults)
    for found in report.tables:
        if found.ignored:
            click.echo(f"{found.table}: ignored columns {', '.join(found.ignored)}")


def _samples(samples: tuple[tuple[int, str], ...]) -> str:
    return "; ".join(f"{line}: {value}" for line, value in samples[:3])


data.add_command(mapping.suggest_)
data.add_command(mapping.mapping)
