"""Serve by day."""

import contextlib
import os
import resource
import socket
import sys
from tempfile import TemporaryDirectory
from typing import Any

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from jobs.cli.door import with_stores
from schema.config import Config
from schema.errors import Refused
from schema.logs import WORDS
from storage.secret import is_demo, refuse_open_demo
from storage.stores import Stores

_LEAVE_SECONDS = 25
"""For what is in flight when the server stops; with what comes before and after, under 30."""


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
    refuse_open_demo(config)
    if is_demo(config):
        click.echo("A demo: its secret was nobody's decision, so it serves this machine only.")
    refuse_taken_port(config)
    _allow_descriptors()
    serving = config.serving
    served = uvicorn.Config(
        "serving.app:create_app",
        factory=True,
        http="serving.wire:Wire",
        ws="none",
        host=serving.host,
        port=serving.port,
        workers=serving.workers,
        limit_concurrency=serving.limits.connections,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        log_config=log_config(os.environ.get("RECFACTORY_LOG", "WARNING").upper()),
        timeout_worker_healthcheck=20,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
    )
    with (
        contextlib.suppress(KeyboardInterrupt),  # Ctrl-C is how a server ends, not an error
        TemporaryDirectory(prefix="recfactory-metrics-") as figures,
    ):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
        if serving.workers > 1:
            _Workers(served, [served.bind_socket()]).run()
        else:
            uvicorn.Server(served).run()
    click.echo("Stopped.")


class _Workers(Multiprocess):
    """Several processes on one socket.

    uvicorn's parent keeps the socket open until its workers are done, though nobody accepts any
    more: clients would connect, wait, and be reset. So it is closed before the workers stop.
    """

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.listen(
                0
            )  # so that those who wait are accepted, and hardly anybody joins them
            listening.close()
        super().terminate_all()


def _allow_descriptors() -> None:
    """As many as the system lets us have: each connection and each open edition takes some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def log_config(level: str) -> dict[str, Any]:
    """JSON lines, or words where a person sits before them. The access log is always on; of
    uvicorn only errors are told, unless more is asked for: its warnings are about what clients
    send, and whoever can send could fill the log.
    """
    form = "words" if sys.stderr.isatty() else "json"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "schema.logs.JsonLines"},
            "words": {"format": WORDS},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "uvicorn": {"level": "ERROR" if level == "WARNING" else level},
            "recfactory.access": {"level": "INFO"},
        },
    }
