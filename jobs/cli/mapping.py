"""Say how a tenant's files look, and get a proposal for it."""

from pathlib import Path

import click

from factory.sniff import Sniffed, sniff
from factory.suggest import as_yaml, proposed, suggest, tables_in
from jobs.cli.door import actor, as_json, now, print_json, why, with_stores
from schema.config import Config, read_config
from schema.errors import Refused
from schema.mapping import Reading, declared, read_mapping, written
from schema.tables import IMPORTED, TABLES
from storage.formats import Format, named
from storage.inbox import delivery
from storage.stores import Stores
from storage.unpacked import most_unpacked, pieces

_ROWS = 2_000
"""Of a file with types of its own, that a proposal looks at; of text the first megabyte."""


@click.command(name="suggest")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice([table.name for table in IMPORTED]),
    help="What the file is for; else what its columns look like.",
)
@as_json
def suggest_(file: Path, tables: tuple[str, ...], json: bool) -> None:
    """Propose a mapping for FILE from its header and first rows, as YAML with the reasons beside it.

    What the sample does not tell is marked with a ?: correct it, then `data mapping set`.

    Example: recfactory data suggest export.csv > acme.yaml
    """
    start = _start(file)
    asked = tuple(TABLES[name] for name in tables) or tables_in(start.sample.column_names)
    proposals = suggest(start.sample, asked, start.reading, now=now())
    if json:
        print_json(
            {
                "mapping": proposed(proposals).as_json(),
                "notes": start.notes,
                "questions": {each.table: each.questions for each in proposals},
            }
        )
        return
    click.echo(f"# A proposal, from the first {len(start.sample):,} rows of {file.name!r}.")
    for note in start.notes:
        click.echo(f"# {note}")
    click.echo(as_yaml(proposals), nl=False)


@click.group()
def mapping() -> None:
    """How a tenant's files look: which column is which, in which form.

    Example: recfactory data mapping show acme
    """


@mapping.command()
@click.argument("tenant")
@as_json
@with_stores
def show(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """What is declared, as YAML that `set` takes back.

    Example: recfactory data mapping show acme > acme.yaml
    """
    known = stores.ledger.tenant(tenant)
    if json:
        print_json({"tenant": known.tenant, "mapping": known.mapping})
    else:
        click.echo(written(declared(known.mapping)), nl=False)


@mapping.command(name="set")
@click.argument("tenant")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@why
@with_stores
def set_(stores: Stores, config: Config, tenant: str, file: Path, why: str) -> None:
    """Declare how the tenant's files look, from the next import on; FILE replaces all of it.

    Example: recfactory data mapping set acme acme.yaml --why "their ERP was changed"
    """
    known = stores.ledger.tenant(tenant)
    made = read_mapping(_bytes(file).decode(errors="replace"))
    stores.ledger.change_mapping(known.tenant, made.as_json(), by=actor(), why=why, at=now())
    tables = [table.name for table in IMPORTED if table.name in made.as_json()]
    click.echo(
        f"{tenant}: a mapping for {', '.join(tables) or 'nothing'}. "
        f"Try it: recfactory data import {tenant} … --dry-run. Its former one: recfactory audit {tenant}"
    )


def _start(file: Path) -> Sniffed:
    form, packing = named(file)
    limits = read_config().template.intake
    if form is Format.CSV:
        size = len(_bytes(file, 1)) and file.stat().st_size
        return sniff(next(pieces(file, packing, most_unpacked(size, limits)), b""))
    first = next(delivery(file, Reading(), limits, tenant="").chunks())
    return Sniffed(Reading(), first.rows.slice(0, _ROWS), ())


def _bytes(file: Path, most: int = -1) -> bytes:
    try:
        with file.open("rb") as source:
            found = source.read(most)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error}", "check the path", "FILE") from error
    if not found:
        raise Refused(f"{file} has 0 bytes", "export it again", code="DATA_EMPTY")
    return found
