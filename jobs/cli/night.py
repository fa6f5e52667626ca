"""Run the night, and say why it ended as it did."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.cli.door import as_json, console, day, now, print_json, table, with_stores
from jobs.cli.report import settle
from jobs.fleet import Result, Task, exit_status, flagged, run_fleet, tonight
from schema.config import Config
from schema.errors import Refused
from schema.names import Delivered, Mode
from schema.records import NightReport
from storage.imports import COUNTS, Import
from storage.stores import Stores


@click.command()
@click.argument("tenants", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every tenant.")
@click.option("--date", "night_date", type=click.DateTime(["%Y-%m-%d"]), help="The business date.")
@click.option(
    "--executor", type=click.Choice(["processes", "in-process", "ray"]), help="Overrules config."
)
@as_json
@with_stores
def night(
    stores: Stores,
    config: Config,
    tenants: tuple[str, ...],
    everyone: bool,
    night_date: datetime | None,
    executor: str | None,
    json: bool,
) -> None:
    """Run a night: validate, train, judge, promote, rank, publish.

    Uses only what occurred before the date, local midnight; harmless if it was run before.
    Exit status 0 all well, 1 something failed, 3 a person has to look: a model is held, or the
    realised RMSE of what was served is flagged.

    Example: recfactory night acme --date 2026-11-21
    """
    if bool(tenants) == everyone:
        raise Refused("name tenants, or say --all", "see recfactory night --help", code="USAGE")
    known = stores.ledger.tenants() if everyone else [stores.ledger.tenant(n) for n in tenants]
    if executor:
        nightly = config.nightly.model_copy(update={"executor": executor})
        config = config.model_copy(update={"nightly": nightly})
    names = [tenant.tenant for tenant in known]
    tasks = tonight(stores, names, night_date.date() if night_date else None, now())
    results = run_with_progress(stores, config, tasks, "night", quiet=json)
    if json:
        print_json([as_line(result) for result in results])
    else:
        print_nights(stores, results)
    raise SystemExit(exit_status(results))


@click.command()
@click.argument("tenant")
@as_json
@with_stores
def why(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """One screen: what the last nights did for a tenant, and what to do.

    Example: recfactory why acme
    """
    known = stores.ledger.tenant(tenant)
    current = stores.editions.current(known.uid)
    reports = stores.nights.nights(known.tenant, 7)
    waiting = stores.imports.deliveries(known.tenant, None, states=[Delivered.HELD])
    body = {
        "tenant": known.tenant,
        "mode": known.mode.value,
        "edition": current.edition if current else None,
        "published_at": current.published_at if current else None,
        "model": known.model,
        "held_until": known.held_until,
        "nights": [as_line(report) for report in reports],
        "waiting": [delivery.as_json() for delivery in waiting],
        "next": _next(known.mode, known.held_until, reports, waiting),
    }
    if json:
        print_json(body)
        return
    out = console()
    served = (
        f"serves edition {current.edition} (model {known.model}, published {day(current.published_at)} UTC)"
        if current
        else "serves nothing yet"
    )
    out.print(f"[bold]{known.tenant}[/bold] is {known.mode} and {served}.")
    for report in reports:
        out.print(f"  {report.night}  {_word(report):10} {report.because}", markup=False)
        if realised := report.figures.get("realised"):
            word = "flagged" if realised["flagged"] else "realised"
            out.print(f"              {word:10} {realised['because']}", markup=False)
    for line in reports[0].figures.get("rules", ()) if reports else ():
        out.print(f"  {_rule_line(line)}", markup=False)
    for delivery in waiting:
        told = "; ".join(reason["sentence"] for reason in delivery.reasons)
        out.print(f"  {delivery.imported_at:%Y-%m-%d}  delivery   held: {told}", markup=False)
    out.print(f"Next: {body['next']}", markup=False)


def run_with_progress(
    stores: Stores, config: Config, tasks: Sequence[Task], title: str, *, quiet: bool
) -> list[Result]:
    """Run tasks with a progress bar on standard error."""
    with bar(quiet=quiet) as progress:
        task = progress.add_task(title, total=len(tasks))

        def done(result: Result) -> None:
            progress.advance(task)
            if not isinstance(result, NightReport):
                progress.console.print(f"{result.task.tenant}: {result.because}")

        return run_fleet(stores, config, tasks, done)


def bar(*, quiet: bool) -> Progress:
    """A progress bar on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console().__class__(stderr=True), disable=quiet)


def as_line(result: Result) -> dict[str, Any]:
    """One night as JSON."""
    if not isinstance(result, NightReport):
        task = result.task
        return {
            "tenant": task.tenant,
            "night": task.night,
            "verdict": "failed",
            "code": result.code,
            "because": result.because,
        }
    return {
        "tenant": result.tenant,
        "night": result.night,
        "verdict": result.outcome,
        "because": result.because,
        "published": result.published,
        "edition": result.edition,
        "model": result.model,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        **result.figures,
    }


def print_nights(stores: Stores, results: Sequence[Result], title: str = "Night") -> None:
    """The night's table: one line a tenant."""
    columns = [
        "tenant", "night", "customers>", "products>", "accepted>", "quarantined>", "verdict",
        "RMSE challenger>", "incumbent>", "skill>", "NDCG@10>", "RMSE realised>", "lists>", "edition>", "seconds>",
    ]  # fmt: skip
    table(title, columns, [_row(stores, result) for result in results])
    for result in results:
        if not isinstance(result, NightReport) or _word(result) in ("failed", "held"):
            because = result.because
            click.echo(because, err=True)
        if isinstance(result, NightReport):
            for line in result.figures.get("rules", ()):
                if line["rule"] is not None:
                    click.echo(f"{result.tenant}, {_rule_line(line)}")
        if isinstance(result, NightReport) and flagged(result):
            click.echo(f"{result.tenant}, flagged: {_flag(result)}", err=True)


def _rule_line(line: dict[str, Any]) -> str:
    """What one rule did to the first ten places of all lists: the night's own words."""
    name = "" if line["rule"] is None else f"rule {line['rule']}: "
    if line["state"] == "expired":
        return f"{name}{line['what']}: expired, did nothing"
    did = [f"{line[word]:,} {word}" for word in ("removed", "added", "moved") if line[word]]
    products = f"{line['products']:,} product{'s' * (line['products'] != 1)}"
    return (
        f"{name}{line['what']}: {products}; of first-ten places {', '.join(did) or 'none changed'}"
    )


def _row(stores: Stores, result: Result) -> list[object]:
    if not isinstance(result, NightReport):
        return [result.task.tenant, result.task.night, *[""] * 4, "failed", *[""] * 8]
    figures = result.figures
    challenger, incumbent = figures.get("challenger") or {}, figures.get("incumbent") or {}
    in_force = challenger if _word(result) == "promoted" else incumbent
    rows = _rows_of(stores, result)
    return [
        result.tenant,
        result.night,
        _number(figures.get("customers")),
        _number(figures.get("products")),
        _number(figures.get("interactions")),
        _number(rows),
        _word(result),
        _number(challenger.get("rmse"), 6),
        _number(incumbent.get("rmse"), 6),
        _number(in_force.get("skill"), 3),
        _number(in_force.get("ndcg_at_10"), 3),
        _realised(result),
        _number(figures.get("lists")),
        result.edition,
        _number(sum(figures.get("seconds", {}).values()), 1),
    ]


def _rows_of(stores: Stores, report: NightReport) -> int:
    """Rows in quarantine, over every delivery of the tenant."""
    counting = stores.imports.deliveries(report.tenant, states=COUNTS)
    batches = {delivery.batch: delivery.report for delivery in reversed(counting)}
    return sum(
        found["quarantined"] for delivery in batches.values() for found in delivery["tables"]
    )


def _realised(report: NightReport) -> str:
    found = report.figures.get("realised") or {}
    return f"{_number(found.get('rmse'), 6)} {'flagged' if flagged(report) else ''}".strip()


def _flag(report: NightReport) -> str:
    because = report.figures["realised"]["because"]
    return f"{because}. Next: see `recfactory model quality {report.tenant}`."


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _word(report: NightReport) -> str:
    return report.outcome.value if report.outcome else report.state


def _next(
    mode: Mode,
    held_until: datetime | None,
    reports: Sequence[NightReport],
    waiting: Sequence[Import],
) -> str:
    if waiting:
        return settle(waiting[-1].report["tenant"], waiting[-1].batch)
    if mode is Mode.OFF:
        return "nothing; `recfactory tenant mode TENANT on --why …` starts it again"
    if mode is Mode.FREEZE:
        return "nothing; the frozen edition is served until the tenant is on again"
    if held_until is not None and held_until > now():
        return f"a rollback holds until {day(held_until)} UTC; `recfactory edition release` ends it"
    if not reports:
        return "import data, then run `recfactory night TENANT`"
    last = _word(reports[0])
    if flagged(reports[0]) and last not in ("failed", "held", "running"):
        tenant = reports[0].tenant
        return f"see `recfactory model quality {tenant}`: what was served is flagged after the fact"
    advice = {
        "failed": "mend the cause above, then run the night again",
        "held": "look for a leak in the data (`recfactory model show TENANT N`), then `recfactory "
        "model promote` or `model discard`; the incumbent goes on until you are sure",
        "too_small": "nothing; it is judged as soon as there are enough purchases",
        "running": "wait; it is taken over by the next run if its process is gone",
    }
    return advice.get(last, "nothing; all is well")
