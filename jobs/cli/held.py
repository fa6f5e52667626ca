"""A person's word on a held delivery, and the rows that did not fit, to be mended."""

import sys
from pathlib import Path

import click

from jobs.cli.door import actor, as_json, now, print_json, why, with_stores, writing
from jobs.cli.report import print_report
from jobs.release import release as let_count
from schema.config import Config
from schema.errors import Refused
from schema.tables import IMPORTED
from storage import durable, waiting
from storage.durable import Disk
from storage.quarantine import as_csv, no_quarantine
from storage.stores import Stores
from tenants.order import settings_of


@click.command()
@click.argument("tenant")
@click.argument("batch")
@why
@as_json
@with_stores
def release(stores: Stores, config: Config, tenant: str, batch: str, why: str, json: bool) -> None:
    """Let a held delivery count: you looked, and it is right. It is imported as it came, and what
    later deliveries replaced since stays replaced.

    Example: recfactory data release acme 1f2e3d4c5b6a79880716 --why "the spring catalogue"
    """
    known = stores.ledger.tenant(tenant)
    limits = settings_of(config.template, known.changes).intake
    report = let_count(stores, known, batch, limits, by=actor(), why=why, now=now())
    if json:
        print_json(report.as_json())
    else:
        print_report(report.as_json(), (), report.state)


@click.command()
@click.argument("tenant")
@click.argument("batch")
@why
@with_stores
def discard(stores: Stores, config: Config, tenant: str, batch: str, why: str) -> None:
    """Remove a held delivery: you looked, and it is wrong. Its report stays.

    Example: recfactory data discard acme 1f2e3d4c5b6a79880716 --why "half of the export"
    """
    known = stores.ledger.tenant(tenant)
    waiting.discard(stores, known, batch, by=actor(), why=why, now=now())
    click.echo(f"{tenant}: batch {batch} is removed; what counted before stays as it was.")
    click.echo("Undo: deliver the files again.")


@click.command()
@click.argument("tenant")
@click.argument("batch", required=False)
@click.option("--table", "name", type=click.Choice([table.name for table in IMPORTED]))
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Else it is printed.")
@with_stores
def quarantine(
    stores: Stores,
    config: Config,
    tenant: str,
    batch: str | None,
    name: str | None,
    to: Path | None,
) -> None:
    """Rows that did not fit, as CSV with a reason each: mend them and import the file as any other.
    Every row counts once, and leaves the quarantine when it was sent again.

    Without BATCH of the newest delivery that has any; without --table of its only table.

    Example: recfactory data quarantine acme --to mend-me.csv
    """
    known = stores.ledger.tenant(tenant)
    newest = stores.imports.deliveries(known.tenant, None)
    batches = [batch] if batch else [delivery.batch for delivery in newest]
    for batch in batches:
        batch = stores.imports.delivery(known.tenant, batch).batch
        files = stores.datasets.quarantine(known.uid, batch)
        if files:
            break
    else:
        raise no_quarantine(tenant)
    if name is None and len(files) > 1:
        raise Refused(
            f"batch {batch} has {' and '.join(files)} in quarantine",
            "say which with --table",
            code="USAGE",
        )
    chosen = name or next(iter(files))
    if chosen not in files:
        raise no_quarantine(tenant)
    chunks = as_csv(files[chosen], batch)
    if to is None:
        sys.stdout.buffer.writelines(chunks)
        return
    with writing(to):
        durable.replace_by(Disk(), to.absolute(), durable.streamed(chunks))
    click.echo(f"{to}: rows of batch {batch} that did not fit, with the reason in _code.")
    click.echo(f"Mend them, then: recfactory data import {tenant} --{chosen} {to}")
