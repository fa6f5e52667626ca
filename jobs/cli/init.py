"""Make an installation."""

import click

from schema.config import read_config
from schema.errors import Refused
from storage.durable import Disk
from storage.secret import make_secret


@click.command()
def init() -> None:
    """Make the home and its secret, once. Keep that file: no key opens anything without it.

    Example: RECFACTORY_HOME=/srv/recfactory recfactory init
    """
    config = read_config()
    if config.pepper.get_secret_value():
        raise Refused(
            "RECFACTORY_PEPPER is set, and it is the secret",
            "nothing: go on with `recfactory tenant add`",
            code="SECRET_EXISTS",
        )
    click.echo(f"{make_secret(config.home, Disk())}: made. Next: recfactory tenant add NAME")
