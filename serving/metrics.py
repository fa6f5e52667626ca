"""What Prometheus is told of this worker's and its brothers' work.

Recording a lookup must cost well below a microsecond, and one ``inc()`` of prometheus-client costs
five where several workers share their figures through files. So lookups are counted in plain
dictionaries, and what came since is handed to prometheus-client once a second and at a scrape. A
tenant's name stands on counters and on the age of its edition only, and on no more than
``serving.metrics_tenants`` of them: the first ones by name; all others are "other". No customer,
product or key ever becomes a label.

Workers share their counts by PROMETHEUS_MULTIPROC_DIR, a new folder for every start of the server
(``recfactory serve``); what a worker counted before it died stays in the sum, as it should.
"""

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

OTHER = "other"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
ALARMING = ("NO_KEY", "NO_TENANT", "ROLE", "DEFECT")
"""Codes that deploy/alerts.yml counts: told from nought on, or a first burst would not be seen."""
BOUNDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip
"""Upper ends of the latency histogram's buckets, seconds; the last bucket has none."""

_ENDS = (*map(str, BOUNDS), "+Inf")
_Lookup = tuple[str, str, str]
_WITHIN, _SUM = "recfactory_lookup_seconds_within", "recfactory_lookup_seconds_spent"


class Metrics:
    """What this worker counts.

    Args:
        names: every tenant's, as of now.
        most: how many of them are told apart.
    """

    def __init__(self, names: Callable[[], Iterable[str]], most: int, seconds: float = 1.0) -> None:
        self._names, self._most, self._seconds = names, most, seconds
        self._named = self._first()
        self._seen: dict[_Lookup, int] = {}
        self._fell = [0] * len(_ENDS)
        self._spent = 0.0
        self._told: dict[_Lookup | str, float] = {}
        self._flushing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="metrics", daemon=True)
        self._registry = CollectorRegistry()
        counters = {
            "recfactory_lookups": ("Lookups answered", ("tenant", "outcome", "source")),
            "recfactory_feedback_events": ("Feedback events told", ("tenant", "result")),
            "recfactory_refusals": ("Requests refused or failed", ("code",)),
            _WITHIN: ("Lookups by the latency bucket they fell in", ("le",)),
            _SUM: ("Seconds spent in lookups", ()),
        }
        made = [
            Counter(name, help_, labels, registry=self._registry)
            for name, (help_, labels) in counters.items()
        ]
        self._lookups, self._feedback, self._refusals, self._within, self._sum = made
        for code in ALARMING:
            self._refusals.labels(code)

    def lookup(self, tenant: str, outcome: str, source: str, seconds: float) -> None:
        """Count one lookup; from the event loop's thread alone, as all lookups are.

        Args:
            outcome: ``served``, ``off``, or the code of what stopped it.
            source: ``personal``, ``popular``, or empty where no list was shown.
            seconds: from the request to its answer.
        """
        key = (tenant if tenant in self._named else OTHER, outcome, source)
        self._seen[key] = self._seen.get(key, 0) + 1
        self._fell[bisect_left(BOUNDS, seconds)] += 1
        self._spent += seconds

    def feedback(self, tenant: str, result: str, events: int) -> None:
        """Count events by what became of them: stored, repeated, refused."""
        self._feedback.labels(self.label(tenant), result).inc(events)

    def refused(self, code: str) -> None:
        """Count a request that got a problem document; codes are few and stable."""
        self._refusals.labels(code).inc()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hand over the last of it, so that a worker's end loses nothing."""
        self._stop.set()
        self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Hand over what came since the last time."""
        with self._flushing:
            for key, number in list(self._seen.items()):
                self._lookups.labels(*key).inc(self._fresh(key, number))
            for end, number in zip(_ENDS, self._fell, strict=True):
                self._within.labels(end).inc(self._fresh(end, number))
            self._sum.inc(self._fresh(_SUM, self._spent))
            self._named = self._first()

    def _fresh(self, what: _Lookup | str, count: float) -> float:
        fresh = count - self._told.get(what, 0)
        self._told[what] = count
        return fresh

    def label(self, tenant: str) -> str:
        """The tenant's name, if it is one of those that are told apart."""
        return tenant if tenant in self._named else OTHER

    def collect(self) -> Iterator[Metric]:
        """All workers' counts, as Prometheus knows them; prometheus-client asks for them by this
        name.
        """
        self.flush()
        shared: Collector = self._registry
        if os.environ.get(FOLDER):
            shared = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
        found = {family.name: family for family in shared.collect()}
        yield _histogram(found.pop(_WITHIN, None), found.pop(_SUM, None))
        yield from found.values()

    def _first(self) -> frozenset[str]:
        return frozenset(sorted(self._names())[: self._most])

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self.flush()


def _histogram(within: Metric | None, spent: Metric | None) -> Metric:
    """Latency as a histogram; prometheus-client's own can only count one lookup at a time."""
    fell = {s.labels["le"]: s.value for s in _totals(within)}
    rising = accumulate(fell.get(end, 0.0) for end in _ENDS)
    return HistogramMetricFamily(
        "recfactory_lookup_seconds",
        "From the request of a lookup to its answer",
        buckets=list(zip(_ENDS, rising, strict=True)),
        sum_value=sum(sample.value for sample in _totals(spent)),
    )


def _totals(family: Metric | None) -> list[Sample]:
    samples = family.samples if family else []
    return [sample for sample in samples if sample.name.endswith("_total")]
