"""Run the night, and say what it came to."""

from datetime import datetime

import click

from jobs.cli.door import as_json, now, print_json, with_stores
from jobs.cli.nights import as_line, print_nights
from jobs.cli.progress import run_with_progress
from jobs.cli.summary import print_summary, print_waiting
from jobs.fleet import tonight
from jobs.summary import read
from schema.config import Config
from schema.errors import NotThere, Refused
from storage.stores import Stores

A_SCREEN = 20
"""Of more tenants the summary is shown, not a row for each."""


@click.command()
@click.argument("tenants", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every tenant.")
@click.option("--last", is_flag=True, help="Run nothing: the last run's summary once more.")
@click.option("--date", "night_date", type=click.DateTime(["%Y-%m-%d"]), help="The business date.")
@click.option(
    "--executor", type=click.Choice(["processes", "in-process", "ray"]), help="Overrules config."
)
@click.option("--every", is_flag=True, help="A row for each tenant, however many they are.")
@as_json
@with_stores
def night(
    stores: Stores,
    config: Config,
    tenants: tuple[str, ...],
    everyone: bool,
    last: bool,
    night_date: datetime | None,
    executor: str | None,
    every: bool,
    json: bool,
) -> None:
    """Run a night: validate, train, judge, promote, rank, publish.

    Uses only what occurred before the date, local midnight; harmless if it was run before.
    Exit status 0 all well, 1 something failed, 3 a person has to look: a model or a delivery is
    held, the realised RMSE of what was served is flagged, or the fleet's brake is on. Nights that
    another run is at do not count: that run tells what they come to. With --last it is that of the
    last run over all tenants, by this command, `recfactory schedule` or `demo`.

    Example: recfactory night acme --date 2026-11-21
    """
    if [bool(tenants), everyone, last].count(True) != 1:
        raise Refused(
            "name tenants, or say --all or --last", "see recfactory night --help", code="USAGE"
        )
    if last:
        raise SystemExit(_told_again(stores, json=json))
    known = stores.ledger.tenants() if everyone else [stores.ledger.tenant(n) for n in tenants]
    if executor:
        nightly = config.nightly.model_copy(update={"executor": executor})
        config = config.model_copy(update={"nightly": nightly})
    names = [tenant.tenant for tenant in known]
    tasks = tonight(stores, names, night_date.date() if night_date else None, now())
    ran = run_with_progress(stores, config, tasks, "night", by="night", whole=everyone, quiet=json)
    if json:
        print_json([as_line(result) for result in ran.results])
    elif len(tasks) > A_SCREEN and not every:
        print_summary(ran.summary)
    else:
        print_nights(stores, ran.results)
        print_waiting(ran.summary)
    raise SystemExit(ran.summary.status)


def _told_again(stores: Stores, *, json: bool) -> int:
    run = stores.runs.last()
    if run is None:
        raise NotThere("no run is on record", "run `recfactory night --all`", code="NO_RUN")
    summary = read(run.summary)
    if json:
        print_json({"by": run.begun_by, **summary.as_json()})
    else:
        print_summary(summary)
    return summary.status
