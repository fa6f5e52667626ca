"""GET /metrics: what the workers counted, and how things stand at this moment."""

import ipaddress
import logging
import time
from collections.abc import Iterator
from importlib.metadata import version

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from schema.config import Serving
from schema.names import Mode
from serving.control import Switchboard
from serving.deps import AllStores, Board, Seen
from serving.guard import Guarded, bearer
from serving.metrics import Metrics
from serving.policy import OVERSEES
from storage.stores import Stores

log = logging.getLogger("recfactory.serving")
router = APIRouter(route_class=Guarded, tags=["health"])


async def scraper(request: Request, board: Board) -> None:
    """Prometheus: anybody on this machine, or wherever the operator opened it; else by key.

    Raises:
        Denied: 401 or 403, as anywhere else.
    """
    if not is_open(request.app.state.config.serving):
        board.allow(board.caller(bearer(request.scope["headers"])), OVERSEES)


def is_open(serving: Serving) -> bool:
    """Whether /metrics wants no key."""
    if serving.metrics_open or serving.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(serving.host).is_loopback
    except ValueError:  # a name: wherever that may be
        return False


@router.get(
    "/metrics",
    include_in_schema=False,
    dependencies=[Depends(scraper)],
)
def metrics(board: Board, stores: AllStores, seen: Seen) -> Response:
    """Counters of all workers and gauges of now, in Prometheus' text format. No key is asked for
    where the server listens on loopback only, or with ``serving.metrics_open``.
    """
    text = generate_latest(Scrape(board, stores, seen))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class Scrape:
    """Everything that one scrape tells."""

    def __init__(self, board: Switchboard, stores: Stores, seen: Metrics) -> None:
        self._board, self._stores, self._seen = board, stores, seen

    def collect(self) -> Iterator[Metric]:
        """By this name prometheus-client asks."""
        yield from self._seen.collect()
        build = GaugeMetricFamily(
            "recfactory_build_info", "The program's version", labels=["version"]
        )
        build.add_metric([version("recfactory")], 1)
        yield build
        known = self._ledger()
        yield GaugeMetricFamily(
            "recfactory_ledger_reachable",
            "1 while the database answers; lookups go on without it",
            value=float(known is not None),
        )
        last = GaugeMetricFamily(
            "recfactory_last_nights",
            "Tenants by the outcome of their newest night",
            labels=["outcome"],
        )
        if known is not None:
            outcomes, braked = known
            for outcome, number in sorted(outcomes.items()):
                last.add_metric([outcome], number)
            yield GaugeMetricFamily(
                "recfactory_fleet_braked",
                "1 while the fleet's brake is on: no night publishes until a person releases it",
                value=float(braked),
            )
        yield last
        yield GaugeMetricFamily(
            "recfactory_spool_bytes",
            "Feedback that waits in the home until the database answers",
            value=self._stores.feedback.spool.size(),
        )
        yield from self._tenants(time.time())

    def _tenants(self, now: float) -> Iterator[Metric]:
        """Of "other" the oldest edition is told, so that no stale one hides among fresh ones."""
        modes = dict.fromkeys(Mode, 0)
        ages: dict[str, float] = {}
        missing = 0
        for tenant in self._board.tenants:
            modes[tenant.mode] += 1
            if tenant.mode is Mode.OFF:
                continue
            stamp = self._stores.editions.stamp(
                tenant.uid
            )  # inode, mtime in ns, size: nothing is read
            if stamp is None:
                missing += 1
            elif tenant.mode is Mode.ON:  # a frozen tenant's lists are meant to grow old
                label = self._seen.label(tenant.tenant)
                ages[label] = max(ages.get(label, 0.0), now - stamp[1] / 1e9)
        count = GaugeMetricFamily(
            "recfactory_tenants", "Tenants by what their switch says", labels=["mode"]
        )
        for mode, number in modes.items():
            count.add_metric([mode.value], number)
        yield count
        yield GaugeMetricFamily(
            "recfactory_tenants_without_edition",
            "Tenants that are not off and have no lists yet",
            value=missing,
        )
        age = GaugeMetricFamily(
            "recfactory_edition_age_seconds",
            "Since the lists of a tenant that is on were put in force",
            labels=["tenant"],
        )
        for label, seconds in sorted(ages.items()):
            age.add_metric([label], seconds)
        yield age

    def _ledger(self) -> tuple[dict[str, int], bool] | None:
        """Tenants by outcome, and whether the brake is on. None while the database is away; whoever has found that out already need not wait."""
        if not self._board.reachable:
            return None
        try:
            on = self._stores.brakes.all(on=True, limit=1)
            return self._stores.nights.outcomes(), bool(on)
        except Exception as error:  # whatever the database does, the rest can be told
            log.warning("the ledger cannot be read (%s)", error)
            return None
