"""What every command needs: the configuration, the stores, and a way to print."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from getpass import getuser
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schema.config import ACTOR, Config, read_config
from schema.errors import Refused
from storage.stores import Stores, open_stores


def _sentence(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why, in a sentence")
    return value.strip()


P = ParamSpec("P")
R = TypeVar("R")

why = click.option(
    "--why", required=True, metavar="SENTENCE", callback=_sentence, help="Kept in the audit trail."
)
as_json = click.option("--json", "json", is_flag=True, help="Print JSON, for programs.")


def with_stores(
    command: Callable[Concatenate[Stores, Config, P], R],
) -> Callable[P, R]:
    """Open the stores of the configured home for a command, and close them after it."""

    @wraps(command)
    def opened(*args: P.args, **kwargs: P.kwargs) -> R:
        config = read_config()
        stores = open_stores(config)
        try:
            return command(stores, config, *args, **kwargs)
        finally:
            stores.engine.dispose()

    return opened


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around writing a file that the user named.

    Raises:
        Refused: it cannot be written (``FILE``).
    """
    try:
        yield
    except OSError as error:
        raise Refused(
            f"{path} cannot be written: {os.strerror(error.errno) if error.errno else error}",
            "name a file in a folder that exists and is yours to write to",
            code="FILE",
        ) from error


def now() -> datetime:
    return datetime.now(UTC)


def actor() -> str:
    """Who is at the command line, or whom the server started it for; for the audit trail."""
    if os.environ.get(ACTOR):
        return os.environ[ACTOR]
    try:
        return f"cli {getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "cli"


def print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; a column whose name ends with ">" is aligned right."""
    grid = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        right = column.endswith(">")
        grid.add_column(column.rstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a product's name is shown as it is.
        grid.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(grid)


def console() -> Console:
    """Standard output; wide enough for tables where it is no terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=180)


def day(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
