"""Which hyper-parameters suit a tenant: successive halving on the window before the judge window."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from factory.judge import judge
from factory.train import ALS, train
from schema.dates import day_date
from schema.errors import Problem
from schema.records import Choice, History, Judgement, Model, Windows
from schema.settings import TenantSettings, TuningSettings, with_changes

CANDIDATES: Sequence[Mapping[str, Any]] = (
    {},
    {"als.factors": 64},
    {"als.memory": 20.0},
    {"als.alpha": 15.0},
    {"blend.ridge": 200.0},
    {"blend.ridge": 8.0},
    {"blend.without": ["category"]},
    {"als.factors": 16},
    {"als.memory": 2.0},
    {"als.regularization": 3.0, "als.alpha": 2.0},
    {"blend.without": ["neighbours"]},
    {"blend.without": ["als"]},
)
"""The settings as they are, and what is tried beside them, in order, as far as the budget goes."""

RUNGS = (400, 1_200, 5_000)
"""Customers looked at, rung by rung; each rung keeps the better half."""

LEAST_GAIN = 0.03
"""Relative gain in NDCG@10 below which the settings stay as they are: less is chance."""

MOST_LOSS = 0.001
"""Relative loss of RMSE that rules a candidate out, whatever it gains."""

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trial:
    """How one candidate did on the last rung it reached.

    Attributes:
        gain: mean relative gain in NDCG@10, of any products and of new ones, over the settings as
            they are; None where RMSE ruled it out, or it could not be trained at all.
    """

    changes: Mapping[str, Any]
    rung: int
    rmse: float | None
    ndcg_at_10: float | None
    ndcg_new_at_10: float | None
    gain: float | None


def due(
    last: Choice | None, night: date, ndcg_at_10: float | None, settings: TuningSettings
) -> bool:
    """Whether to search tonight: no choice yet, an old one, or lists clearly worse since.

    Args:
        ndcg_at_10: of the model in force, as judged last; None where it was not.
    """
    if settings.core_seconds == 0:
        return False
    if last is None or night - last.night >= timedelta(days=settings.every_days):
        return True
    then = last.figures.get("ndcg_at_10")
    if ndcg_at_10 is None or not then or night - last.night < _WEEK:
        return False
    return bool(ndcg_at_10 < (1 - settings.drop) * then)


def tune(
    history: History,
    windows: Windows,
    settings: TenantSettings,
    *,
    night: date,
    fixed: Collection[str],
    clock: Callable[[], float],
    new_only: bool = False,
) -> Choice | None:
    """Try CANDIDATES on the last teach window, which lies before the judge window: what is chosen
    is never judged on the pairs it was chosen by.

    A candidate has to win LEAST_GAIN in NDCG@10 and may not lose more than MOST_LOSS of RMSE. From
    rung to rung more customers are looked at, and a candidate's factors carry on from those of
    the rung before.

    Args:
        settings: without any earlier choice; ``tuning.core_seconds`` is the budget.
        fixed: settings, or groups of them, that the tenant chose itself: left alone.
        clock: seconds of computing so far.
        new_only: as for ``judge``.

    Returns:
        None where the history is too short to set a window aside, or nothing is left to try.

    Source: Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
        Optimization" (successive halving), AISTATS 2016.
    """
    if len(windows.teach) < 2:
        return None
    practice = Windows(windows.days, windows.judge, windows.teach[:-1])
    begun, finished = clock(), True
    said = {*fixed, *(f"{group}.{name}" for group in fixed for name in _names(group))}
    free = [changes for changes in CANDIDATES if not said & set(changes)]
    if len(free) < 2:
        return None
    starts: dict[int, Model] = {}
    trials: dict[int, Trial] = {}
    running, done = list(range(len(free))), 0
    for rung, customers in enumerate(RUNGS):
        plain: Judgement | None = None
        for place in running:
            each = (clock() - begun) / max(done, 1)
            # A rung with the plain settings alone tells nothing: it has to have room for another.
            ahead = 2 if plain is None else 1
            if done and each * (done + ahead) > settings.tuning.core_seconds:
                finished = False
                break
            done += 1
            try:
                model = _trained(history, practice, settings, free[place], starts.get(place))
                starts[place] = model
                [found] = judge(
                    [model],
                    history,
                    practice,
                    seed=settings.seed + rung,
                    most=customers,
                    new_only=new_only,
                )
            except Problem:  # these settings do not go with this history: not the tenant's trouble
                if place == 0:
                    raise
                trials[place] = Trial(free[place], rung, None, None, None, None)
                continue
            plain = plain or found
            trials[place] = _trial(free[place], rung, found, plain)
        reached = [place for place in running[1:] if trials[place].rung == rung] if finished else []
        reached.sort(key=lambda place: -_order(trials[place]))
        running = [0, *reached[: len(reached) // 2]]
        if len(running) < 2 or (plain is not None and plain.customers < customers):
            break  # nothing left to compare, or nobody left to look at
    return _choice(list(trials.values()), practice, night, clock() - begun, finished=finished)


def _trained(
    history: History,
    practice: Windows,
    settings: TenantSettings,
    changes: Mapping[str, Any],
    start: Model | None,
) -> Model:
    tried = with_changes(settings, dict(changes))
    return train(history, practice, tried, kind=ALS, fingerprint="", start=start)


def _trial(changes: Mapping[str, Any], rung: int, found: Judgement, plain: Judgement) -> Trial:
    gain: float | None = None
    if found.rmse <= (1 + MOST_LOSS) * plain.rmse:
        pairs = (
            (found.ndcg_at_10, plain.ndcg_at_10),
            (found.ndcg_new_at_10, plain.ndcg_new_at_10),
        )
        gain = sum(now / then - 1 if then else 0.0 for now, then in pairs) / len(pairs)
    return Trial(changes, rung, found.rmse, found.ndcg_at_10, found.ndcg_new_at_10, gain)


def _names(group: str) -> Collection[str]:
    field = TenantSettings.model_fields.get(group)
    inner = getattr(field.annotation, "model_fields", None) if field else None
    return inner or ()


def _order(trial: Trial) -> float:
    return -1.0 if trial.gain is None else trial.gain


def _choice(
    trials: Sequence[Trial], practice: Windows, night: date, seconds: float, *, finished: bool
) -> Choice:
    last = max((trial.rung for trial in trials if trial.changes), default=0)
    best = max((trial for trial in trials if trial.rung >= last), key=_order)
    gain = _order(best)
    tried = f"{len(trials)} settings on the {practice.days} days from {day_date(practice.judge)}"
    if gain >= LEAST_GAIN:
        because = f"NDCG@10 {gain:+.1%} over the settings as they are, the best of {tried}"
    else:
        best = trials[0]
        because = f"the settings as they are: nothing was better by {LEAST_GAIN:.0%} among {tried}"
    figures = {
        "ndcg_at_10": best.ndcg_at_10,
        "trials": [asdict(trial) for trial in trials],
        "seconds": round(seconds, 2),
        "finished": finished,
    }
    return Choice(night, dict(best.changes), because, figures)
