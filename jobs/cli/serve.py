"""Serve by day."""

import contextlib
import os
import socket
from tempfile import TemporaryDirectory

import click
import uvicorn

from jobs.cli.door import with_stores
from schema.config import Config
from schema.errors import Refused
from storage.stores import Stores


@click.command()
@with_stores
def serve(stores: Stores, config: Config) -> None:
    """Answer lookups over HTTP until stopped; host, port and workers stand in config.yaml.

    Example: RECFACTORY_SERVING__PORT=8001 recfactory serve
    """
    run_server(config)


def refuse_taken_port(config: Config) -> None:
    """Say so before any work is done for nothing.

    Raises:
        Refused: another program listens there (``PORT_TAKEN``).
    """
    host, port = config.serving.host, config.serving.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"cannot listen on {host}:{port}: {error.strerror}",
                "stop what listens there, or set RECFACTORY_SERVING__PORT to another port",
                code="PORT_TAKEN",
            ) from error


def run_server(config: Config) -> None:
    """Start uvicorn by the application's import string: no import from serving here.

    The workers add their figures up in a folder that is new for every start; its name has to be in
    the environment before any of them imports prometheus-client.
    """
    refuse_taken_port(config)
    with (
        contextlib.suppress(KeyboardInterrupt),  # Ctrl-C is how a server ends, not an error
        TemporaryDirectory(prefix="recfactory-metrics-") as figures,
    ):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
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
    click.echo("Stopped.")
