"""A run's figures for Prometheus: a file for node_exporter's textfile collector, or a push gateway."""

import logging
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest, push_to_gateway

from jobs.summary import Summary
from schema.config import Nightly
from schema.names import Outcome
from storage import durable
from storage.durable import Disk

log = logging.getLogger("recfactory.fleet")

_PUSH_SECONDS = 10.0


def tell(disk: Disk, nightly: Nightly, summary: Summary) -> None:
    """Write and push what is configured; the nights are done, whatever becomes of it."""
    if not (nightly.metrics_file or nightly.metrics_push):
        return
    figures = measured(summary)
    try:
        if nightly.metrics_file:
            path = Path(nightly.metrics_file).absolute()
            durable.make_folders(disk, path.parent)
            durable.replace(disk, path, generate_latest(figures))
        if nightly.metrics_push:
            push_to_gateway(
                nightly.metrics_push, "recfactory_night", figures, timeout=_PUSH_SECONDS
            )
    except OSError as error:  # what is older stays, and its timestamp says so
        log.warning("the figures of this run could not be told: %s", error)


def measured(summary: Summary) -> CollectorRegistry:
    """Every figure as a gauge: a run is over when it is told. No label names a tenant."""
    registry = CollectorRegistry()

    def gauge(name: str, help: str, value: float) -> None:
        Gauge(f"recfactory_night_{name}", help, registry=registry).set(value)

    def gauges(name: str, help: str, label: str, values: dict[str, float]) -> None:
        family = Gauge(f"recfactory_night_{name}", help, [label], registry=registry)
        for word, value in values.items():
            family.labels(word).set(value)

    gauge("last_run_timestamp_seconds", "When the last run ended", summary.ended_at.timestamp())
    gauge("seconds", "How long it took", summary.seconds)
    gauge("worked", "Tenants that were worked on, not done before", summary.worked)
    gauge("published", "Tenants with a new edition", summary.published)
    gauge("waiting", "Tenants that wait for a person's word", len(summary.waiting))
    gauge("given_up", "Failed nights that only a person tries again", summary.given_up)
    gauge("exit_status", "0 all well, 1 something failed, 3 a person has to look", summary.status)
    gauge("braked", "1 where the fleet's brake stopped it", summary.braked)
    words = dict.fromkeys((outcome.value for outcome in Outcome), 0.0)
    gauges("tenants", "Tenants by verdict", "verdict", {**words, **summary.words})
    gauges("failures", "Tenants that failed, by code", "code", dict(summary.codes))
    gauges(
        "stage_seconds", "Seconds of work by stage, over all workers", "stage", dict(summary.stages)
    )
    gauges("modes", "All tenants by their switch", "mode", dict(summary.modes))
    if summary.largest:
        gauge("largest_bytes", "Memory of the largest tenant's work", summary.largest.memory)
    return registry
