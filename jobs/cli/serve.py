"""Serve by day."""

import click
import uvicorn

from jobs.cli.door import with_stores
from schema.config import Config
from storage.stores import Stores


@click.command()
@with_stores
def serve(stores: Stores, config: Config) -> None:
    """Answer lookups over HTTP until stopped; host, port and workers stand in config.yaml.

    Example: RECFACTORY_SERVING__PORT=8001 recfactory serve
    """
    run_server(config)


def run_server(config: Config) -> None:
    """Start uvicorn by the application's import string: no import from serving here."""
    uvicorn.run(
        "serving.app:create_app",
        factory=True,
        host=config.serving.host,
        port=config.serving.port,
        workers=config.serving.workers,
        access_log=False,
        log_level="warning",
        timeout_worker_healthcheck=60,
    )
