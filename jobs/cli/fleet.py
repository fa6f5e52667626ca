"""The fleet as a whole: whether its brake is on, and a person's word to go on."""

import click

from jobs.brake import braked
from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores
from schema.config import Config
from storage.stores import Stores


@click.group()
def fleet() -> None:
    """The brake of the whole fleet: see it, release it.

    Example: recfactory fleet show
    """


@fleet.command()
@as_json
@with_stores
def show(stores: Stores, config: Config, json: bool) -> None:
    """Whether nights are published, and when the brake stopped them. Exit status 3 while it is on.

    Example: recfactory fleet show
    """
    on, known = stores.brakes.on(), stores.brakes.all()
    if json:
        told = ("brake", "at", "wave", "sign", "because", "released_at")
        print_json([{name: getattr(one, name) for name in told} for one in known])
    else:
        rows = [[day(one.at), one.because, day(one.released_at or "")] for one in known]
        table("The fleet's brake", ["stopped (UTC)", "because", "released (UTC)"], rows)
        click.echo(str(braked(on.because)) if on else "It is not on: nights are published.")
    raise SystemExit(3 if on else 0)


@fleet.command()
@why
@with_stores
def release(stores: Stores, config: Config, why: str) -> None:
    """Let nights be published again; the next run begins with its samples, as ever.

    Where lists are meant to be as they are, run it once with RECFACTORY_NIGHTLY__BRAKE__ALIKE=1.

    Example: recfactory fleet release --why "back on version 0.4.1"
    """
    stores.brakes.release(by=actor(), why=why, at=now())
    click.echo("Released: `recfactory night --all`, or the next wave of the schedule, goes on.")
