"""Config -> every store, opened once in a door and handed down."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from schema.config import Config
from storage import durable
from storage.database import connect, migrate
from storage.datasets import Datasets
from storage.durable import Disk
from storage.editions import Editions
from storage.feedback import Feedback
from storage.imports import Imports
from storage.ledger import Ledger
from storage.models import Models
from storage.nights import Nights


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept."""

    engine: Engine
    ledger: Ledger
    nights: Nights
    feedback: Feedback
    imports: Imports
    datasets: Datasets
    models: Models
    editions: Editions
    pepper: bytes
    """The installation's secret: key digests are made under it."""


def open_stores(config: Config, disk: Disk | None = None) -> Stores:
    """Open the ledger (made and migrated where needed) and the folders of the home."""
    disk = disk or Disk()
    durable.make_folders(disk, config.home)
    engine = connect(config.ledger.url.get_secret_value() or sqlite_url(config.home))
    migrate(engine)
    root = config.home / "tenants"
    return Stores(
        engine=engine,
        ledger=Ledger(engine),
        nights=Nights(engine),
        feedback=Feedback(engine),
        imports=Imports(engine),
        datasets=Datasets(root, disk),
        models=Models(root, disk),
        editions=Editions(root, disk),
        pepper=durable.secret(disk, config.home / "pepper"),
    )


def sqlite_url(home: Path) -> str:
    return f"sqlite:///{home / 'ledger.db'}"
