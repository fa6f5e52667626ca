"""The main job on real data: tenants in, two nights, serve."""

import secrets
import threading
import time
import urllib.request
from datetime import date

import click

from jobs.cli.door import actor, console, now
from jobs.cli.nights import print_nights
from jobs.cli.progress import bar, run_with_progress
from jobs.cli.serve import refuse_taken_port, run_server
from jobs.cli.summary import print_summary
from jobs.demo import NIGHTS, DemoTenant, parts, write_demo
from jobs.fleet import tonight
from jobs.intake import import_files
from jobs.many import take_in
from jobs.results import Result, Task, exit_status, tenant_of
from jobs.runs import Ran
from schema.config import Config, read_config
from schema.errors import FactoryError, NotThere, Refused
from schema.names import Role, TenantId
from schema.records import NightReport
from storage import durable
from storage.durable import Disk
from storage.secret import make_demo_secret, refuse_open_demo
from storage.stores import Stores, open_stores
from tenants.access import make_key

_LABEL = "demo"


@click.command()
@click.option("--tenants", default=12, show_default=True, help="How many, largest first.")
@click.option("--fleet", is_flag=True, help="All of them, thousands, and one night.")
@click.option("--no-night", is_flag=True, help="Register and import only.")
@click.option("--no-serve", is_flag=True, help="Do not serve afterwards.")
def demo(tenants: int, fleet: bool, no_night: bool, no_serve: bool) -> None:
    """Real tenants in, two real nights, then serve.

    The largest manufacturers of The Complete Journey become tenants: households are the
    customers, their catalogue the products, a year of purchase lines the interactions. What was
    done before is not done again.

    With --fleet it is all of them, most of them tiny, and one night.

    Example: recfactory demo --tenants 3 --no-serve
    """
    config = read_config()
    make_demo_secret(config, Disk())
    if not no_serve:
        refuse_open_demo(config)
        refuse_taken_port(config)
    stores = open_stores(config)
    names = _fleet_in(stores, config) if fleet else _tenants_in(stores, config, tenants)
    nights = _one_night if fleet else _nights
    failed = 0 if no_night else nights(stores, config, names)
    if failed or no_serve or not names:
        raise SystemExit(failed)
    key = _demo_key(stores, names[0])
    stores.engine.dispose()
    _serve(config, names[0], key)


def _tenants_in(stores: Stores, config: Config, most: int) -> list[TenantId]:
    """Register and import what is not there yet."""
    folder = config.home / "demo"
    done = folder / f"{most}.done"
    known = {tenant.tenant for tenant in stores.ledger.tenants()}
    kept = done.read_text().split() if done.exists() else []
    if kept and known.issuperset(kept):
        return [TenantId(name) for name in kept]
    out = console()
    with out.status("Reading The Complete Journey …"):
        made = write_demo(folder, most)
    for place, demo_tenant in enumerate(made, start=1):
        out.print(f"[{place}/{len(made)}] {demo_tenant.title}", highlight=False, markup=False)
        _take_in(stores, config, demo_tenant)
    names = [demo_tenant.tenant for demo_tenant in made]
    durable.replace(Disk(), done, "\n".join(names).encode())
    return names


def _fleet_in(stores: Stores, config: Config) -> list[TenantId]:
    """All manufacturers as tenants; what is there already stays as it is."""
    with console().status("Reading The Complete Journey …"):
        made = parts()
    with bar(quiet=False) as progress:
        task = progress.add_task("imports", total=len(made), told="")

        def done(number: int, refused: FactoryError | None) -> None:
            progress.advance(task)
            if refused is not None:
                progress.console.print(f"manufacturer {number}: {refused}", markup=False)

        return take_in(stores, config, made, config.home / "demo", done, by=actor())


def _one_night(stores: Stores, config: Config, names: list[TenantId]) -> int:
    """The fleet's night; then what it came to."""
    tasks = tonight(stores, names, NIGHTS[-1], now())
    ran = _night(stores, config, tasks, NIGHTS[-1])
    print_summary(ran.summary)
    return ran.summary.status


def _night(stores: Stores, config: Config, tasks: list[Task], night: date) -> Ran:
    title = f"night of {night}"
    return run_with_progress(stores, config, tasks, title, by="demo", whole=True, quiet=not tasks)


def _take_in(stores: Stores, config: Config, made: DemoTenant) -> None:
    try:
        known = stores.ledger.tenant(made.tenant)
    except NotThere:
        uid = f"t{secrets.token_hex(8)}"
        known = stores.ledger.register(made.tenant, uid, made.title, "UTC", by=actor(), at=now())
    import_files(stores, known, made.files, config.template.intake, by=actor(), now=now())


def _nights(stores: Stores, config: Config, names: list[TenantId]) -> int:
    """Two nights, the second with an incumbent to beat; then one table of both."""
    results: list[Result] = []
    for night in NIGHTS:
        reports = [r for name in names for r in stores.nights.nights(name) if r.night == night]
        done = {report.tenant: report for report in reports if report.edition}
        tasks = tonight(stores, [name for name in names if name not in done], night, now())
        results += [*done.values()]
        results += _night(stores, config, tasks, night).results
    results.sort(key=lambda result: (names.index(tenant_of(result)), _night_of(result)))
    print_nights(stores, results, "Two nights")
    return exit_status(results)


def _night_of(result: Result) -> date:
    return result.night if isinstance(result, NightReport) else result.task.night


def _demo_key(stores: Stores, tenant: TenantId) -> str:
    """A fresh key for the line below; the one of an earlier demo is revoked."""
    for old in stores.ledger.keys(tenant):
        if old.label == _LABEL and old.revoked_at is None:
            stores.ledger.revoke_key(old.key_id, by=actor(), at=now())
    key, secret = make_key(tenant, Role.SELLER, _LABEL, stores.pepper, at=now())
    stores.ledger.add_key(key, by=actor())
    return secret


def _serve(config: Config, tenant: TenantId, key: str) -> None:
    """Serve in this process, and say how to ask once it answers."""
    host = f"[{config.serving.host}]" if ":" in config.serving.host else config.serving.host
    address = f"http://{host}:{config.serving.port}"
    threading.Thread(target=_announce, args=(address, tenant, key), daemon=True).start()
    run_server(config)


def _announce(address: str, tenant: TenantId, key: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=1):  # noqa: S310 (our own address)
                break
        except OSError:
            time.sleep(0.1)
    else:
        raise Refused(f"{address} does not answer", "see the lines above", code="SERVE")
    click.echo(
        f"\nServing. Ten recommendations for a household of {tenant}:\n\n"
        f"  curl -s -H 'Authorization: Bearer {key}' \\\n"
        f"    '{address}/tenants/{tenant}/customers/1/recs' | python3 -m json.tool\n\n"
        f"API documentation: {address}/docs\nStop with Ctrl-C.\n"
    )
