"""Make an installation."""

import click

from schema.config import read_config
from storage.durable import Disk
from storage.secret import is_demo, make_secret, pepper


@click.command()
def init() -> None:
    """Make the home and its secret, once; again changes nothing.

    Keep that file, apart from backups of the ledger: no key opens anything without it.

    Example: RECFACTORY_HOME=/srv/recfactory recfactory init
    """
    config = read_config()
    given = bool(config.pepper.get_secret_value())
    where = "RECFACTORY_PEPPER" if given else make_secret(config.home, Disk())
    pepper(config)  # says so where it is of no use
    if is_demo(config):
        click.echo(f"{where}: a demo's home. For real tenants choose another RECFACTORY_HOME.")
    else:
        click.echo(f"{where}: the secret of this installation. Next: recfactory tenant add NAME")
