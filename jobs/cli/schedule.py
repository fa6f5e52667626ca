"""Keep the nightly clock."""

import click

from jobs.cli.door import with_stores
from jobs.schedule import scheduler
from schema.config import Config
from storage.stores import Stores


@click.command()
@with_stores
def schedule(stores: Stores, config: Config) -> None:
    """Run every tenant's night at its own local midnight, until stopped.

    Example: recfactory schedule
    """
    click.echo("Nights run at each tenant's local midnight. Ctrl-C stops.")
    scheduler(stores, config).start()
