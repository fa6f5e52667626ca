"""One tenant's night, top to bottom: validate, train, judge, promote, rank, publish."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from factory.shown import shown
from factory.train import ALS, BASELINE, study, template_baseline, train
from factory.tune import due, tune
from factory.windows import choose
from jobs.again import accepted_fingerprint, with_fate
from jobs.data import Data, read_data
from jobs.memory import NIGHT_MEMORY, ran_out
from jobs.owner import alive, me
from jobs.realised import look_back
from jobs.unchanged import made_from, newest, unchanged
from schema.config import Config
from schema.dates import day_date, day_number
from schema.errors import FactoryError, Problem, Refused, during
from schema.logs import about
from schema.names import Again, Bought, Mode, Outcome, Stage, TenantId
from schema.records import (
    Before,
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
from storage.nights import Ending
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
        [begun] = begin(stores, config, [(name, night)], clock)
        if isinstance(begun, Problem):
            raise begun
    if isinstance(begun, NightReport):
        return begun
    conclusion = work(stores, config.template, begun, clock())
    with during(Stage.PUBLISH, name):
        [report] = conclude(stores, config, [(begun, conclusion)], clock)
        if isinstance(report, Problem):
            raise report
    return report


@dataclass(frozen=True, slots=True)
class Begun:
    """A night that may be worked on: all that a worker has to know of it.

    Attributes:
        searches: whether hyper-parameters may be looked for, if that is due.
    """

    lease: Lease
    before: Before
    searches: bool = True

    @property
    def tenant(self) -> Tenant:
        return self.before.tenant


def begin(
    stores: Stores, config: Config, asks: Sequence[tuple[TenantId, date]], clock: Clock
) -> list[Begun | NightReport | Problem]:
    """Take the leases of these tenants' nights, in their order: a report where it was done before,
    a problem where it cannot be done now.
    """
    known = stores.ledger.named([name for name, _ in asks])
    found: dict[TenantId, Begun | NightReport | Problem] = {
        name: early
        for name, night in asks
        if name in known and (early := _too_early(known[name], night, clock()))
    }
    due = [ask for ask in asks if ask[0] not in found]
    leases = stores.nights.begin_all(
        due,
        owner=me(),
        alive=alive,
        now=clock(),
        lease=timedelta(minutes=config.nightly.tenant_minutes),
    )
    taken = [lease for lease in leases if isinstance(lease, Lease)]
    before = stores.nights.before([lease.tenant for lease in taken])
    for (name, _), lease in zip(due, leases, strict=True):
        found[name] = Begun(lease, before[name]) if isinstance(lease, Lease) else lease
    return [found[name] for name, _ in asks]


def _too_early(tenant: Tenant, night: date, now: datetime) -> Refused | None:
    if night <= business_date(now, zone(tenant.timezone)):
        return None
    return Refused(
        f"the night of {night} has not begun in {tenant.timezone}",
        "name today or an earlier date",
        code="NIGHT_FUTURE",
    )


def work(stores: Stores, template: TenantSettings, begun: Begun, now: datetime) -> Conclusion:
    """Everything but publishing. Whatever goes wrong becomes the night's conclusion."""
    lease, name = begun.lease, begun.tenant.tenant
    with about(tenant=name, night=lease.night, stage=Stage.VALIDATE):
        try:
            return _work(stores, template, begun, now)
        except FactoryError as error:
            if ran_out(error):
                return failed(lease, _defect(name, error), NIGHT_MEMORY)
            if isinstance(error.problem, Refused):
                return _refused(stores, begun, error)
            return failed(lease, str(error), error.problem.code)
        except (Exception, SystemExit) as error:  # whatever it is, it stays this tenant's (B01)
            log.exception("%s: night of %s failed", name, lease.night)
            code = NIGHT_MEMORY if ran_out(error) else "DEFECT"
            return failed(lease, _defect(name, error), code)


def _refused(stores: Stores, begun: Begun, error: FactoryError) -> Conclusion:
    """Its data or settings do not hold: nothing was tried in vain, and nothing is until they change."""
    lease = begun.lease
    end = failed(lease, str(error), error.problem.code, attempts=lease.attempts, again=Again.DATA)
    on = {"accepted_fingerprint": accepted_fingerprint(stores, begun.tenant)}
    return replace(end, figures={**end.figures, **on})


def _defect(name: TenantId, error: BaseException) -> str:
    return f"{name}: {type(error).__name__}: {error}. Next: see the log, then repeat the night."


def conclude(
    stores: Stores, config: Config, worked: Sequence[tuple[Begun, Conclusion]], clock: Clock
) -> list[NightReport | Problem]:
    """Publish and record many nights at once, in their order.

    Returns:
        The report, as it is in the ledger now; a problem where the night was overtaken.
    """
    endings = [_ending(stores, config, begun, conclusion, clock) for begun, conclusion in worked]
    told: list[NightReport | Problem] = []
    for (begun, _), report in zip(
        worked, stores.nights.conclude_all(endings, now=clock()), strict=True
    ):
        with about(tenant=begun.lease.tenant, night=begun.lease.night, stage=Stage.PUBLISH):
            told.append(_recorded(stores, config, begun, report, clock))
    served = [report for report in told if isinstance(report, NightReport) and report.published]
    in_force = stores.ledger.named([report.tenant for report in served]) if served else {}
    before = {begun.tenant.tenant: begun.before for begun, _ in worked}
    for report in served:
        model = in_force[report.tenant].model
        with about(tenant=report.tenant, night=report.night, stage=Stage.PUBLISH):
            _prune(stores, config, before[report.tenant], report, model, clock())
    return told


def _ending(
    stores: Stores, config: Config, begun: Begun, conclusion: Conclusion, clock: Clock
) -> Ending:
    tenant, lease = begun.tenant, begun.lease
    return Ending(
        lease,
        with_fate(conclusion, config.nightly, clock()),
        lambda edition: _point(stores, tenant, lease, edition, clock()),
        lambda mode: conclusion.edition is None or stands(tenant.mode, mode),
    )


def _recorded(
    stores: Stores, config: Config, begun: Begun, report: NightReport | Exception, clock: Clock
) -> NightReport | Problem:
    """What was recorded; where publishing went wrong, that."""
    if isinstance(report, NightReport):
        return report
    name, lease = begun.tenant.tenant, begun.lease
    if isinstance(report, Problem):
        if report.code in ("FENCED", "NO_TENANT"):
            return report
        ending = failed(lease, str(FactoryError(report, name, Stage.PUBLISH)), report.code)
    else:
        log.error("%s: night of %s failed", name, lease.night, exc_info=report)
        ending = failed(lease, _defect(name, report), "DEFECT")
    ended = _ending(stores, config, begun, ending, clock)
    [again] = stores.nights.conclude_all([ended], now=clock())
    if isinstance(again, NightReport | Problem):
        return again
    return Problem(f"{type(again).__name__}: {again}", "see the log, then repeat it", "DEFECT")


def _prune(
    stores: Stores,
    config: Config,
    before: Before,
    report: NightReport,
    in_force: int | None,
    now: datetime,
) -> None:
    try:
        prune(stores, config, before, report, in_force, now)
    except (Problem, OSError) as error:  # the night is done; the next one tries again
        log.warning("%s: old editions could not be removed: %s", report.tenant, error)


def failed(
    lease: Lease,
    because: str,
    code: str,
    *,
    attempts: int | None = None,
    again: Again = Again.SOON,
) -> Conclusion:
    """A night that came to nothing; what was served stays served.

    Args:
        attempts: failed ones of this date; None: this was one more.
        again: when it is worth another.
    """
    figures = {
        "code": code,
        "feedback_until": lease.feedback_until.isoformat(),
        "attempts": lease.attempts + 1 if attempts is None else attempts,
        "again": again.value,
    }
    return Conclusion(Outcome.FAILED, because, figures)


def _work(stores: Stores, template: TenantSettings, begun: Begun, now: datetime) -> Conclusion:
    tenant, lease, before = begun.tenant, begun.lease, begun.before
    night, chosen = lease.night, before.choice
    with during(Stage.VALIDATE, tenant.tenant):
        plain = settings_of(template, tenant.changes)
        settings = settings_of(template, tenant.changes, chosen.changes if chosen else {})
    frozen_early = tenant.model is None and not trains(tenant.mode)
    if frozen_early or not publishes(tenant.mode, settings):
        return _idle(stores, before, settings, lease)
    watch = _Watch(tenant.tenant)
    with watch.during(Stage.VALIDATE):
        same = unchanged(stores, before, plain, lease, now)
    if same is not None:
        return same
    stores.editions.sweep(tenant.uid)
    stores.models.sweep(tenant.uid)
    with watch.during(Stage.VALIDATE):
        data = read_data(stores, tenant, night, lease.feedback_until, heard=before.heard)
        history = _history(data, tenant, settings, night)
        incumbent = _incumbent(stores, tenant)
        kept_days = incumbent[1].horizon_days if incumbent else None
        windows = choose(
            history, day_number(night), settings.windows, settings.blend, kept=kept_days
        )
        bought = bought_before(history, windows, settings.lists.bought_before)
    choice, searched = None, False
    if windows is not None and trains(tenant.mode) and begun.searches:
        with watch.during(Stage.TUNE):
            if searched := search_due(before, plain, night):
                choice = _tuned(before, plain, history, windows, night, bought.decided)
            if choice is not None:
                settings = settings_of(template, tenant.changes, choice.changes)
    with watch.during(Stage.REALISED):
        point, realised = look_back(stores, before, settings, night, lambda: history)
    decided = _decide(
        watch, tenant.mode, settings, history, windows, data, night, incumbent, bought.decided
    )
    with watch.during(Stage.GATE):
        kept = _keep(stores, before, decided, lease.fence)
    with watch.during(Stage.RANK):
        products = data.listed(history)
        rules = ruling(tenant.rules, products, now)
        lists = rank(kept.model, history, day_number(night), products, settings.lists, rules)
        acted = effects(lists, rules, tenant.rules, now)
    with watch.during(Stage.PUBLISH):
        edition, sha = stores.editions.seal(
            tenant.uid,
            before.edition_taken,
            lists,
            model=kept.number,
            night=night,
            horizon_days=kept.model.horizon_days,
            bought=bought.decided,
            lines=first_lines(lists.products, lists.segments, bought.decided),
        )
    return Conclusion(
        outcome=decided.verdict.outcome,
        because=f"{_stale(before, data)}{decided.verdict.because}",
        figures={
            "customers": len(history.customers),
            "products": len(data.products),
            "interactions": len(data.interactions),
            "data_fingerprint": data.fingerprint,
            "newest": newest(data.interactions),
            "made_from": made_from(plain, tenant.rules, now),
            "feedback_until": lease.feedback_until.isoformat(),
            "lists": len(lists.customers),
            "bytes": stores.editions.size(tenant.uid, edition)
            + stores.models.size(tenant.uid, kept.number),
            "shown": shown(lists),
            "windows": _spelled(windows),
            "bought_before": bought.figures(),
            "rules": acted,
            "searched": searched,
            "tuning": choice and {"changes": choice.changes, "because": choice.because},
            "horizon_days": kept.model.horizon_days,
            "realised": realised,
            "seed": settings.seed,
            **decided.figures(),
            "seconds": watch.seconds,
            "core_seconds": watch.core_seconds,
        },
        models=kept.models,
        in_force=kept.number,
        edition=NewEdition(edition, kept.number, len(lists.customers), sha),
        realised=point,
        choice=choice,
    )


def search_due(before: Before, settings: TenantSettings, night: date) -> bool:
    """Whether hyper-parameters should be looked for, by all that is known before the data are."""
    last = before.published[0] if before.published else None
    figures = last.figures if last else {}
    won = last is not None and last.outcome is Outcome.PROMOTED
    judged = figures.get("challenger" if won else "incumbent") or {}
    return due(before.choice, night, judged.get("ndcg_at_10"), settings.tuning)


def _stale(before: Before, data: Data) -> str:
    """That nothing came since the last night's work; its days went by all the same."""
    last = before.published
    if not last or last[0].figures.get("data_fingerprint") != data.fingerprint:
        return ""
    return f"no new data since the night of {last[0].night}; "


def _tuned(
    before: Before,
    settings: TenantSettings,
    history: History,
    windows: Windows,
    night: date,
    bought: Bought,
) -> Choice | None:
    """A new choice of hyper-parameters; None where nothing is left to try."""
    return tune(
        history,
        windows,
        settings,
        night=night,
        fixed=before.tenant.changes,
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
        told = history, windows, settings
        learned = None
        if model is None:
            learned = study(*told, kind=ALS)
            model = train(*told, kind=BASELINE, fingerprint=data.fingerprint, learned=learned)
        challenger = train(
            *told, kind=ALS, fingerprint=data.fingerprint, start=model, learned=learned
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


def _keep(stores: Stores, before: Before, decided: _Decided, fence: int) -> _Kept:
    """Seal what has to be kept, and load the model in force: the judged bytes are the served ones."""
    tenant, taken = before.tenant, before.model_taken
    noted = []
    number = decided.incumbent_number
    if number is None:
        number = taken = _seal(stores, tenant, taken, decided.incumbent, fence)
        why = "the first incumbent: popularity, recency and own history, without ALS"
        noted.append(_new(number, decided.incumbent, Verdict(Outcome.PROMOTED, why)))
    if decided.challenger is not None:
        promoted = decided.verdict.outcome is Outcome.PROMOTED
        if promoted or decided.verdict.outcome is Outcome.HELD:
            taken = _seal(stores, tenant, taken, decided.challenger, fence)
        else:
            taken += 1  # a rejected challenger leaves its verdict, not its files
        noted.append(_new(taken, decided.challenger, decided.verdict))
        number = taken if promoted else number
    return _Kept(number, stores.models.load(tenant.uid, number), tuple(noted))


def _seal(stores: Stores, tenant: Tenant, taken: int, model: Model, fence: int) -> int:
    current = stores.editions.current(tenant.uid)
    served = stores.editions.model_of(tenant.uid, current.edition) if current else None
    return stores.models.seal(
        tenant.uid, taken, model, lambda number: number == served, fence=fence
    )


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


def _idle(stores: Stores, before: Before, settings: TenantSettings, lease: Lease) -> Conclusion:
    """Nothing is made; what a frozen tenant serves is still held against what happened."""
    tenant = before.tenant
    if tenant.mode is Mode.OFF:
        return Conclusion(Outcome.OFF, "turned off: nothing was computed", {})

    def history() -> History:
        data = read_data(stores, tenant, lease.night, lease.feedback_until, heard=before.heard)
        return _history(data, tenant, settings, lease.night)

    point, realised = look_back(stores, before, settings, lease.night, history)
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


def prune(
    stores: Stores,
    config: Config,
    before: Before,
    report: NightReport,
    in_force: int | None,
    now: datetime,
) -> None:
    """Remove editions and models beyond the kept ones; never what is served, young or in force.

    A model stays until the editions it ranked have come due: they are scored with it.

    Args:
        report: of the night that has just published.
        in_force: the model in force by now.
    """
    keep, uid = config.publishing, before.tenant.uid
    numbers, models = stores.editions.numbers(uid), stores.models.numbers(uid)
    if len(numbers) <= keep.keep_editions and len(models) <= keep.keep_models:
        return
    current = stores.editions.current(uid)
    young = {row.edition for row in before.editions if row.published_at > now - timedelta(days=1)}
    new = {report.edition or 0, current.edition if current else 0}
    stays = {*numbers[-keep.keep_editions :], *young, *new}
    for number in set(numbers) - stays:
        stores.editions.discard(uid, number)
    used = {row.model for row in before.editions if row.edition in stays}
    used |= awaited((report, *before.published), report.night)
    for number in set(models[: -keep.keep_models]) - used - {report.model, in_force}:
        stores.models.discard(uid, number)


def unmake(stores: Stores, begun: Begun) -> None:
    """Remove what a night sealed that nobody will ever serve; the next one would replace it."""
    tenant, before = begun.tenant, begun.before

    def remove() -> None:
        editions = {row["edition"] for row in stores.nights.editions(tenant.tenant)}
        for number in stores.editions.numbers(tenant.uid):
            if number > before.edition_taken and number not in editions:
                stores.editions.discard(tenant.uid, number)
        models = {row["model"] for row in stores.nights.models(tenant.tenant)}
        for number in stores.models.numbers(tenant.uid):
            if number > before.model_taken and number not in models:
                stores.models.discard(tenant.uid, number)

    try:
        stores.nights.unless_overtaken(begun.lease, remove)
    except (Problem, OSError) as error:
        log.warning("%s: what was not published stays on disk: %s", tenant.tenant, error)


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
    """Seconds by stage, by the clock and of this process's cores; the address on every problem."""

    tenant: TenantId
    seconds: dict[str, float] = field(default_factory=dict)
    core_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        begin, used = time.perf_counter(), time.process_time()
        with about(stage=stage), during(stage, self.tenant):
            yield
            log.debug("%s: %.4f s", self.tenant, time.perf_counter() - begin)
        for spent, since in (
            (self.seconds, time.perf_counter() - begin),
            (self.core_seconds, time.process_time() - used),
        ):
            spent[stage.value] = round(spent.get(stage.value, 0.0) + since, 4)
