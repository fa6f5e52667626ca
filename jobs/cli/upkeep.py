"""Look after accepted data."""

import click

from jobs.cli.door import as_json, now, print_json, table, with_stores
from jobs.upkeep import look_after
from schema.config import Config
from schema.errors import Refused
from storage.stores import Stores


@click.command()
@click.argument("tenants", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every tenant.")
@as_json
@with_stores
def upkeep(
    stores: Stores, config: Config, tenants: tuple[str, ...], everyone: bool, json: bool
) -> None:
    """Merge small files of interactions, and remove files that no longer count.

    What counts stays the same, and readers are not disturbed. `recfactory schedule` does it after
    each tenant's night.

    Example: recfactory upkeep --all
    """
    if bool(tenants) == everyone:
        raise Refused("name tenants, or say --all", "see recfactory upkeep --help", code="USAGE")
    known = stores.ledger.tenants() if everyone else [stores.ledger.tenant(n) for n in tenants]
    done = [look_after(stores, tenant.tenant, now()) for tenant in known]
    if json:
        print_json(done)
    else:
        rows = [[each.tenant, each.merged, each.removed] for each in done]
        table("Upkeep", ["tenant", "files merged>", "files removed>"], rows)
