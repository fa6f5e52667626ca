"""One tenant's night, top to bottom: validate, train, judge, promote, rank, publish."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from factory.gate import decide
from factory.history import from_tables
from factory.judge import judge
from factory.rank import rank
from factory.realised import awaited
from factory.repeat import bought_before
from factory.train import ALS, BASELINE, template_baseline, train
from factory.tune import due, tune
from factory.windows import choose
from jobs.data import Data, read_data
from jobs.owner import alive, me
from jobs.realised import look_back
from schema.config import Config
from schema.dates import day_date, day_number
from schema.errors import FactoryError, Problem, Refused, during
from schema.names import Bought, Mode, Outcome, Stage, TenantId
from schema.records import (
    Choice,
    Conclusion,
    History,
    Judgement,
    Lease,
    Model,
    NewEdition,
    NewModel,
    NightReport,
    Tenant,
    Verdict,
    Windows,
)
from schema.rules import ruling
from schema.settings import TenantSettings
from storage.editions import Current
from storage.stores import Stores
from tenants.answer import first_lines
from tenants.effects import effects
from tenants.lifecycle import business_date, publishes, stands, trains
from tenants.order import settings_of, zone

Clock = Callable[[], datetime]

log = logging.getLogger("recfactory.night")


def run_night(
    stores: Stores, config: Config, name: TenantId, night: date, clock: Clock
) -> NightReport:
    """Run one tenant's night; harmless if it was run before.

    Only what occurred before ``night``, local midnight, is used. Whatever goes wrong is recorded
    with the tenant and the stage, and what was served stays served.

    Returns:
        The report: of this run, or of the earlier one that did the work.

    Raises:
        FactoryError: another process is at it, a later night was done, or this one was overtaken.
    """
    with during(Stage.VALIDATE, name):
        tenant = stores.ledger.tenant(name)
        if night > business_date(clock(), zone(tenant.timezone)):
            raise Refused(
                f"the night of {night} has not begun in {tenant.timezone}",
                "name today or an earlier date",
                code="NIGHT_FUTURE",
            )
        lease = stores.nights.begin(
            name,
            night,
            owner=me(),
            alive=alive,
            now=clock(),
            lease=timedelta(minutes=config.nightly.tenant_minutes),
        )
    if isinstance(lease, NightReport):
        return lease

    def conclude(conclusion: Conclusion) -> NightReport:
        with during(Stage.PUBLISH, name):
            return stores.nights.conclude(
                lease,
                conclusion,
                lambda edition: _point(stores, tenant, lease, edition, clock()),
                allowed=lambda mode: conclusion.edition is None or stands(tenant.mode, mode),
                now=clock(),
            )

    try:
        report = conclude(_work(stores, tenant, config.template, lease, clock()))
    except FactoryError as error:
        if error.problem.code == "FENCED":
            raise
        report = conclude(_failed(lease, str(error), error.problem.code))
    except Exception as error:  # whatever it is, it stays this tenant's: see B01, one bad tenant
        log.exception("%s: night of %s failed", name, night)
        what = f"{name}: {type(error).__name__}: {error}. Next: see the log, then repeat the night."
        report = conclude(_failed(lease, what, "DEFECT"))
    if report.published:
        try:
            prune(stores, config, tenant, night, clock())
        except (Problem, OSError) as error:  # the night is done; the next one tries again
            log.warning("%s: old editions could not be removed: %s", name, error)
    return report


def _failed(lease: Lease, because: str, code: str) -> Conclusion:
    until = lease.feedback_until.isoformat()
    return Conclusion(Outcome.FAILED, because, {"code": code, "feedback_until": until})


def _work(
    stores: Stores, tenant: Tenant, template: TenantSettings, lease: Lease, now: datetime
) -> Conclusion:
    night = lease.night
    with during(Stage.VALIDATE, tenant.tenant):
        chosen = next(iter(stores.nights.choices(tenant.tenant)), None)
        settings = settings_of(template, tenant.changes, chosen.changes if chosen else {})
    frozen_early = tenant.model is None and not trains(tenant.mode)
    if frozen_early or not publishes(tenant.mode, settings):
        return _idle(stores, tenant, settings, lease)
    watch = _Watch(tenant.tenant)
    stores.editions.sweep(tenant.uid)
    stores.models.sweep(tenant.uid)
    with watch.during(Stage.VALIDATE):
        data = read_data(stores, tenant, night, lease.feedback_until)
        history = _history(data, tenant, settings, night)
        incumbent = _incumbent(stores, tenant)
        kept_days = incumbent[1].horizon_days if incumbent else None
        windows = choose(
            history, day_number(night), settings.windows, settings.blend, kept=kept_days
        )
        bought = bought_before(history, windows, settings.lists.bought_before)
    choice = None
    if windows is not None and trains(tenant.mode):
        with watch.during(Stage.TUNE):
            plain = settings_of(template, tenant.changes)
            choice = _tuned(stores, tenant, plain, history, windows, night, chosen, bought.decided)
            if choice is not None:
                settings = settings_of(template, tenant.changes, choice.changes)
    with watch.during(Stage.REALISED):
        point, realised = look_back(stores, tenant, settings, night, lambda: history)
    decided = _decide(
        watch, tenant.mode, settings, history, windows, data, night, incumbent, bought.decided
    )
    with watch.during(Stage.GATE):
        kept = _keep(stores, tenant, decided)
    with watch.during(Stage.RANK):
        products = data.listed(history)
        rules = ruling(tenant.rules, products, now)
        lists = rank(kept.model, history, day_number(night), products, settings.lists, rules)
        acted = effects(lists, rules, tenant.rules, now)
    with watch.during(Stage.PUBLISH):
        edition, sha = stores.editions.seal(
            tenant.uid,
            stores.nights.taken(tenant.tenant)[1],
            lists,
            model=kept.number,
            night=night,
            horizon_days=kept.model.horizon_days,
            bought=bought.decided,
            lines=first_lines(lists.products, lists.segments, bought.decided),
        )
    return Conclusion(
        outcome=decided.verdict.outcome,
        because=f"{_stale(stores, tenant, data)}{decided.verdict.because}",
        figures={
            "customers": len(history.customers),
            "products": len(data.products),
            "interactions": len(data.interactions),
            "data_fingerprint": data.fingerprint,
            "feedback_until": lease.feedback_until.isoformat(),
            "lists": len(lists.customers),
            "windows": _spelled(windows),
            "bought_before": bought.figures(),
            "rules": acted,
            "tuning": choice and {"changes": choice.changes, "because": choice.because},
            "horizon_days": kept.model.horizon_days,
            "realised": realised,
            "seed": settings.seed,
            **decided.figures(),
            "seconds": watch.seconds,
        },
        models=kept.models,
        in_force=kept.number,
        edition=NewEdition(edition, kept.number, len(lists.customers), sha),
        realised=point,
        choice=choice,
    )


def _stale(stores: Stores, tenant: Tenant, data: Data) -> str:
    """That nothing came since the last night's work; its days went by all the same."""
    last = stores.nights.published(tenant.tenant, 1)
    if not last or last[0].figures.get("data_fingerprint") != data.fingerprint:
        return ""
    return f"no new data since the night of {last[0].night}; "


def _tuned(
    stores: Stores,
    tenant: Tenant,
    settings: TenantSettings,
    history: History,
    windows: Windows,
    night: date,
    last: Choice | None,
    bought: Bought,
) -> Choice | None:
    """A new choice of hyper-parameters, where one is due."""
    before = stores.nights.published(tenant.tenant, 1)
    figures = before[0].figures if before else {}
    won = bool(before) and before[0].outcome is Outcome.PROMOTED
    judged = figures.get("challenger" if won else "incumbent") or {}
    if not due(last, night, judged.get("ndcg_at_10"), settings.tuning):
        return None
    return tune(
        history,
        windows,
        settings,
        night=night,
        fixed=tenant.changes,
        clock=time.process_time,
        new_only=bought is Bought.EXCLUDE,
    )


def _history(data: Data, tenant: Tenant, settings: TenantSettings, night: date) -> History:
    return from_tables(
        data.customers,
        data.products,
        data.interactions,
        settings,
        zone(tenant.timezone),
        night,
    )


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the gate had before it, and what it said."""

    verdict: Verdict
    incumbent: Model
    incumbent_number: int | None  # None: made tonight, not kept yet
    challenger: Model | None = None
    challenged: Judgement | None = None
    incumbent_judged: Judgement | None = None

    def figures(self) -> dict[str, Any]:
        """Everything it had to go by, ready for JSON."""
        challenger, incumbent = self.challenged, self.incumbent_judged
        return {
            "rmse_interval": self.verdict.rmse_interval,
            "ndcg_interval": self.verdict.ndcg_interval,
            "guards": [asdict(guard) for guard in self.verdict.guards],
            "incumbent_model": self.incumbent_number,
            "challenger": challenger.figures() if challenger else None,
            "incumbent": incumbent.figures() if incumbent else None,
        }


def _decide(
    watch: "_Watch",
    mode: Mode,
    settings: TenantSettings,
    history: History,
    windows: Windows | None,
    data: Data,
    night: date,
    incumbent: tuple[int, Model] | None,
    bought: Bought,
) -> _Decided:
    number, model = incumbent or (None, None)
    if model is not None and not trains(mode):
        return _Decided(
            Verdict(Outcome.FROZEN, "frozen: lists re-ranked, model kept"), model, number
        )
    if windows is None:
        with watch.during(Stage.TRAIN):
            model = model or template_baseline(
                history, day_number(night), settings, data.fingerprint
            )
        least = settings.windows.min_pairs
        why = f"no window holds {least} purchases to judge by; the {model.kind} model serves"
        return _Decided(Verdict(Outcome.TOO_SMALL, why), model, number)
    with watch.during(Stage.TRAIN):
        if model is None:
            model = train(history, windows, settings, kind=BASELINE, fingerprint=data.fingerprint)
        challenger = train(
            history, windows, settings, kind=ALS, fingerprint=data.fingerprint, start=model
        )
    if model.trained_through > windows.judge:
        why = (
            f"the incumbent was trained through {day_date(model.trained_through)}, into tonight's "
            f"judge window from {day_date(windows.judge)}; no fair comparison, the incumbent stays"
        )
        return _Decided(Verdict(Outcome.REJECTED, why), model, number, challenger)
    with watch.during(Stage.JUDGE):
        challenged, judged = judge(
            (challenger, model),
            history,
            windows,
            seed=settings.seed,
            new_only=bought is Bought.EXCLUDE,
        )
    with watch.during(Stage.GATE):
        verdict = decide(challenged, judged, settings.gate, seed=settings.seed)
    return _Decided(verdict, model, number, challenger, challenged, judged)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The model in force from tonight on, as read back from disk, and what the ledger shall note."""

    number: int
    model: Model
    models: tuple[NewModel, ...]


def _keep(stores: Stores, tenant: Tenant, decided: _Decided) -> _Kept:
    """Seal what has to be kept, and load the model in force: the judged bytes are the served ones."""
    taken = stores.nights.taken(tenant.tenant)[0]
    noted = []
    number = decided.incumbent_number
    if number is None:
        number = taken = _seal(stores, tenant, taken, decided.incumbent)
        why = "the first incumbent: popularity, recency and own history, without ALS"
        noted.append(_new(number, decided.incumbent, Verdict(Outcome.PROMOTED, why)))
    if decided.challenger is not None:
        promoted = decided.verdict.outcome is Outcome.PROMOTED
        if promoted or decided.verdict.outcome is Outcome.HELD:
            taken = _seal(stores, tenant, taken, decided.challenger)
        else:
            taken += 1  # a rejected challenger leaves its verdict, not its files
        noted.append(_new(taken, decided.challenger, decided.verdict))
        number = taken if promoted else number
    return _Kept(number, stores.models.load(tenant.uid, number), tuple(noted))


def _seal(stores: Stores, tenant: Tenant, taken: int, model: Model) -> int:
    current = stores.editions.current(tenant.uid)
    served = stores.editions.model_of(tenant.uid, current.edition) if current else None
    return stores.models.seal(tenant.uid, taken, model, lambda number: number == served)


def _new(number: int, model: Model, verdict: Verdict) -> NewModel:
    through = day_date(model.trained_through)
    return NewModel(number, model.kind, through, verdict.outcome, verdict.because)


def _incumbent(stores: Stores, tenant: Tenant) -> tuple[int, Model] | None:
    """The model in force; none before the first night, or where another version made it."""
    if tenant.model is None:
        return None
    try:
        return tenant.model, stores.models.load(tenant.uid, tenant.model)
    except Problem as problem:
        if problem.code != "MODEL_VERSION" or not trains(tenant.mode):
            raise
        log.warning("%s: %s; it starts again from the baseline", tenant.tenant, problem.what)
        return None


def _idle(stores: Stores, tenant: Tenant, settings: TenantSettings, lease: Lease) -> Conclusion:
    """Nothing is made; what a frozen tenant serves is still held against what happened."""
    if tenant.mode is Mode.OFF:
        return Conclusion(Outcome.OFF, "turned off: nothing was computed", {})

    def history() -> History:
        data = read_data(stores, tenant, lease.night, lease.feedback_until)
        return _history(data, tenant, settings, lease.night)

    point, realised = look_back(stores, tenant, settings, lease.night, history)
    because = "frozen: model and edition stay exactly as they are"
    figures = {} if realised is None else {"realised": realised}
    return Conclusion(Outcome.FROZEN, because, figures, realised=point)


def _point(
    stores: Stores, tenant: Tenant, lease: Lease, edition: NewEdition, now: datetime
) -> None:
    current = Current(edition.number, edition.manifest_sha256, lease.fence, now)
    served = stores.editions.current(tenant.uid)
    if served and (served.edition, served.manifest_sha256) == (
        current.edition,
        current.manifest_sha256,
    ):
        current = replace(current, published_at=served.published_at)
    stores.editions.point(tenant.uid, current)


def prune(stores: Stores, config: Config, tenant: Tenant, night: date, now: datetime) -> None:
    """Remove editions and models beyond the kept ones; never what is served, young or in force.

    A model stays until the editions it ranked have come due: they are scored with it.
    """
    keep = config.publishing
    current = stores.editions.current(tenant.uid)
    rows = stores.nights.editions(tenant.tenant)
    young = {row["edition"] for row in rows if row["published_at"] > now - timedelta(days=1)}
    numbers = stores.editions.numbers(tenant.uid)
    stays = {*numbers[-keep.keep_editions :], *young, current.edition if current else 0}
    for number in set(numbers) - stays:
        stores.editions.discard(tenant.uid, number)
    used = {row["model"] for row in rows if row["edition"] in stays}
    used |= {stores.ledger.tenant(tenant.tenant).model}
    used |= awaited(stores.nights.published(tenant.tenant), night)
    models = stores.models.numbers(tenant.uid)
    for number in set(models[: -keep.keep_models]) - used:
        stores.models.discard(tenant.uid, number)


def _spelled(windows: Windows | None) -> Mapping[str, Any] | None:
    if windows is None:
        return None
    return {
        "days": windows.days,
        "teach": [day_date(day).isoformat() for day in windows.teach],
        "judge": day_date(windows.judge).isoformat(),
    }


@dataclass(slots=True)
class _Watch:
    """Seconds by stage, and the address on every problem."""

    tenant: TenantId
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        begin = time.perf_counter()
        with during(stage, self.tenant):
            yield
        spent = self.seconds.get(stage.value, 0.0) + time.perf_counter() - begin
        self.seconds[stage.value] = round(spent, 4)
