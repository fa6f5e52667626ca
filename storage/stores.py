"""Config -> every store, opened once in a door and handed down."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from schema.config import Config
from schema.errors import Problem
from storage import durable
from storage.aside import Aside
from storage.audit import Audit
from storage.brakes import Brakes
from storage.database import alone, connect, migrate
from storage.datasets import Datasets
from storage.dropped import Inboxes
from storage.durable import Disk
from storage.editions import Editions
from storage.erased import Erased
from storage.erasures import Erasures
from storage.feedback import Feedback
from storage.imports import Imports
from storage.leaving import Leaving
from storage.ledger import Ledger
from storage.marks import Marks
from storage.models import Models
from storage.nights import Nights
from storage.objects import Objects, open_objects
from storage.pulled import Pulled
from storage.revoked import Revoked
from storage.runs import Runs
from storage.secret import pepper
from storage.spool import Spool
from storage.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept."""

    home: Path
    disk: Disk
    engine: Engine
    ledger: Ledger
    audit: Audit
    nights: Nights
    runs: Runs
    brakes: Brakes
    feedback: Feedback
    imports: Imports
    marks: Marks
    pulled: Pulled
    inboxes: Inboxes
    uploads: Uploads
    objects: Objects
    datasets: Datasets
    aside: Aside
    models: Models
    editions: Editions
    revoked: Revoked
    erased: Erased
    erasures: Erasures
    leaving: Leaving
    pepper: bytes
    """The installation's secret: key digests and the audit trail's hashes are made under it."""


def open_stores(config: Config, disk: Disk | None = None, *, follows: bool = False) -> Stores:
    """Open the ledger (made and migrated where needed) and the folders of the home.

    Args:
        follows: a server, which brings what other machines publish to its home by itself.

    Raises:
        Refused: there is no operator's secret (``storage.secret``).
        Problem: the ledger cannot be opened.
    """
    disk = disk or Disk()
    durable.make_folders(disk, config.home)
    secret = pepper(config)
    engine = _ledger(config, secret)
    root = config.home / "tenants"
    objects = open_objects(config.objects, disk, partial(alone, engine), follows=follows)
    erased = Erased(config.home / "erased", disk, secret, objects)
    spool = Spool(config.home / "spool", disk, config.serving.spool_bytes)
    return Stores(
        home=config.home,
        disk=disk,
        engine=engine,
        ledger=Ledger(engine),
        audit=Audit(engine, secret),
        nights=Nights(engine),
        runs=Runs(engine),
        brakes=Brakes(engine),
        feedback=Feedback(engine, spool, erased),
        imports=Imports(engine),
        marks=Marks(engine),
        pulled=Pulled(root, disk),
        inboxes=Inboxes(config.home, disk),
        uploads=Uploads(root, disk),
        objects=objects,
        datasets=Datasets(root, disk, objects),
        aside=Aside(root, disk),
        models=Models(root, disk, objects),
        editions=Editions(root, disk, objects),
        revoked=Revoked(config.home / "revoked", disk),
        erased=erased,
        erasures=Erasures(engine),
        leaving=Leaving(engine),
        pepper=secret,
    )


def _ledger(config: Config, pepper: bytes) -> Engine:
    """The engine, ready to use; an error never shows the address, which may hold a password."""
    try:
        url = config.ledger.url.get_secret_value() or sqlite_url(config.home)
        engine = connect(url).execution_options(pepper=pepper)
        migrate(engine)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        reason = getattr(error, "orig", None) or type(error).__name__
        raise Problem(
            f"the ledger cannot be opened ({reason})",
            "check ledger.url in config.yaml, or RECFACTORY_LEDGER__URL",
            code="LEDGER",
        ) from None
    return engine


def sqlite_url(home: Path) -> str:
    return f"sqlite:///{home / 'ledger.db'}"
