"""The command line: one file per command group, loaded only when it is called.

``recfactory --help`` must not wait for pandas and SciPy, so commands are named here and imported
at their first use.
"""

import importlib
import json
import logging
import os
import sys

import click

from schema.errors import FactoryError, Problem, Refused, as_json
from schema.logs import start_log

COMMANDS = {
    "demo": "jobs.cli.demo:demo",
    "init": "jobs.cli.init:init",
    "tenant": "jobs.cli.tenant:tenant",
    "data": "jobs.cli.data:data",
    "night": "jobs.cli.night:night",
    "why": "jobs.cli.why:why",
    "fleet": "jobs.cli.fleet:fleet",
    "rule": "jobs.cli.rule:rule",
    "recs": "jobs.cli.recs:recs",
    "outcomes": "jobs.cli.outcomes:outcomes",
    "model": "jobs.cli.model:model",
    "edition": "jobs.cli.edition:edition",
    "key": "jobs.cli.key:key",
    "audit": "jobs.cli.audit:audit",
    "evaluate": "jobs.cli.evaluate:evaluate",
    "upkeep": "jobs.cli.upkeep:upkeep",
    "serve": "jobs.cli.serve:serve",
    "schedule": "jobs.cli.schedule:schedule",
    "doctor": "jobs.cli.doctor:doctor",
}


class _Lazy(click.Group):
    """Knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))


_SUMMARIES = {
    "demo": "real tenants in, two nights, then serve",
    "init": "make an installation: its home and its secret",
    "tenant": "register, list, show, tune tenants; on, freeze, off",
    "data": "import a tenant's files, see what became of them",
    "night": "run tonight's work: validate, train, judge, promote, rank, publish",
    "why": "why a tenant did or did not get a new model or edition",
    "fleet": "the brake of the whole fleet: see it, release it",
    "rule": "exclude, pin, boost, bury or limit products: add, list, remove",
    "recs": "what the button shows for one customer",
    "outcomes": "shown, clicked, accepted, bought, revenue: by day and edition",
    "model": "the models of a tenant: verdicts explained and drawn; settle a held one",
    "edition": "published lists: list, export, go back to one, release the hold",
    "key": "make, list, rotate and revoke API keys",
    "audit": "who did what, and whether the record of it is whole",
    "evaluate": "the engine against simple rules, on any folder of data",
    "upkeep": "merge small files of accepted data, remove what no longer counts",
    "serve": "answer lookups over HTTP",
    "schedule": "run every tenant's night at its own local midnight",
    "doctor": "check the installation and every published edition",
}


@click.group(cls=_Lazy)
def recfactory() -> None:
    """Nightly product recommendations for thousands of tenants, served as a lookup.

    Example: recfactory demo --tenants 3
    """


def main() -> None:
    """The door: errors become sentences and exit codes (1 failed, 2 refused or usage).

    With ``--json`` they are told on standard output as well, as every refusal of data is.
    """
    # Before NumPy is imported: a second BLAS thread slows small tenants down, many times over.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        _start_log(os.environ.get("RECFACTORY_LOG", "WARNING").upper())
        recfactory(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except (Problem, FactoryError) as error:
        problem = error.problem if isinstance(error, FactoryError) else error
        click.echo(f"{problem.code}: {error}", err=True)
        if "--json" in sys.argv:
            click.echo(json.dumps(as_json(problem)))
        sys.exit(2 if isinstance(problem, Refused) else 1)


def _start_log(level: str) -> None:
    if level not in logging.getLevelNamesMapping():
        raise Refused(
            f"RECFACTORY_LOG={level[:40]!r} is no level",
            "use DEBUG, INFO, WARNING or ERROR",
            code="CONFIG",
        )
    start_log(level)
