"""Past and teach windows -> tonight's model."""

from collections.abc import MutableMapping, Sequence

import numpy as np

from factory import als
from factory.blend import Lessons, Moment, Scene, lessons, moment, teach
from factory.evidence import as_of, bought_between, taste
from factory.history import span_days
from factory.prior import PRIOR
from schema.records import History, Model, Windows
from schema.settings import TenantSettings

BASELINE, ALS = "baseline", "als"

Learned = tuple[als.Factors, als.Factors, list[Lessons]]
"""Factors as of the first and the last teach window, and what each window taught."""


def train(
    history: History,
    windows: Windows,
    settings: TenantSettings,
    *,
    kind: str,
    fingerprint: str,
    start: Model | None = None,
    learned: Learned | None = None,
) -> Model:
    """Train on what happened before the judge window, and on nothing from then on.

    ALS factors are fitted on everything before the first teach window, then carried on to the
    start of each later one: so they never saw what the blend is taught to predict, and never lag
    behind the catalogue.

    Args:
        kind: ALS, or BASELINE for the same blend without factors.
        start: an earlier model to carry on from. Its early factors are used, fitted before its
            own first teach window, and only if that is not after tonight's.
        learned: what ``study`` of kind ALS told of the same windows, where the caller has it: a
            baseline's lessons are the same but for the ALS score, which it does not look at.

    Cost: one ALS fit (a short one with ``start``), a continuation a window, some Newton steps.
    """
    early, factors, taught = learned or study(history, windows, settings, kind=kind, start=start)
    without = set(settings.blend.without)
    if kind == BASELINE:
        early = factors = np.zeros((len(history.products), 0), np.float32)
        without |= {"als"}
    return Model(
        kind=kind,
        products=history.products,
        factors=factors,
        early_factors=early,
        blend=teach(taught, settings.blend, without=without),
        settings=settings,
        horizon_days=windows.days,
        taught_from=windows.teach[0],
        trained_through=windows.judge,
        seed=settings.seed,
        data_fingerprint=fingerprint,
    )


def study(
    history: History,
    windows: Windows,
    settings: TenantSettings,
    *,
    kind: str,
    start: Model | None = None,
) -> Learned:
    """All that is learned before the blend."""
    rng = np.random.default_rng(settings.seed)
    none = np.zeros((len(history.products), 0), np.float32)
    fit = _started(history, windows, settings, start) if kind == ALS else None
    early: als.Factors | None = None
    factors, taught = none, []
    for day in windows.teach:
        seen = taste(history, day, settings.als.memory * windows.days)
        if kind == ALS:
            fit = als.fit(seen, settings.als, seed=settings.seed, start=fit)
            factors = fit.products
            early = factors if early is None else early
        age = (windows.judge - day) // windows.days - 1
        taught.append(
            lessons(
                Scene(
                    moment(as_of(history, day, windows.days)),
                    seen,
                    factors,
                    settings.als,
                ),
                bought_between(history, day, day + windows.days),
                history.sellable,
                settings.blend,
                importance=settings.blend.window_decay**age,
                rng=rng,
            )
        )
    return none if early is None else early, factors, taught


def _started(
    history: History, windows: Windows, settings: TenantSettings, start: Model | None
) -> als.Fit | None:
    """Where the first fit may carry on from, if anywhere."""
    if (
        start is None
        or start.kind != ALS
        or start.taught_from > windows.teach[0]
        or start.early_factors.shape[1] != settings.als.factors
    ):
        return None
    products = aligned(start, start.early_factors, history.products.names)
    customers = np.zeros((len(history.customers), settings.als.factors), np.float32)
    return als.Fit(customers, products)


def template_baseline(
    history: History, tonight: int, settings: TenantSettings, fingerprint: str
) -> Model:
    """The baseline for a tenant too small to teach: the template's own coefficients."""
    affordable = settings.windows.max_share * span_days(history, tonight)
    days = [length for length in sorted(settings.windows.days) if length <= affordable]
    beginning = tonight - span_days(history, tonight)  # it saw nothing of the tenant
    factors = np.zeros((len(history.products), 0), np.float32)
    return Model(
        kind=BASELINE,
        products=history.products,
        factors=factors,
        early_factors=factors,
        blend=PRIOR,
        settings=settings,
        horizon_days=days[-1] if days else min(settings.windows.days),
        taught_from=beginning,
        trained_through=beginning,
        seed=settings.seed,
        data_fingerprint=fingerprint,
    )


def view(
    model: Model, history: History, day: int, moments: MutableMapping[int, Moment] | None = None
) -> Scene:
    """Any model's view of a history as of a day: newest evidence, factors carried on to it.

    The model is not retrained: a few iterations from its own factors let products that came
    later, and customers, take their place among those it knows. The same for every model and
    every day, so that what is judged is what is served.

    Args:
        moments: of this history and day by horizon; what is missing is added.
    """
    horizon = model.horizon_days
    moments = {} if moments is None else moments
    if horizon not in moments:
        moments[horizon] = moment(as_of(history, day, horizon))
    settings = model.settings.als
    factors = aligned(model, model.factors, history.products.names)
    seen = taste(history, day, settings.memory * horizon)
    if factors.shape[1] and seen.nnz:
        customers = np.zeros((seen.shape[0], factors.shape[1]), np.float32)
        fit = als.fit(seen, settings, seed=model.seed, start=als.Fit(customers, factors))
        factors = fit.products
    return Scene(moments[horizon], seen, factors, settings)


def aligned(model: Model, factors: als.Factors, products: Sequence[str]) -> als.Factors:
    """Factors of the model's products in the order of ``products``; zeros where it knows none."""
    rows = np.array([model.products.rows.get(name, -1) for name in products], np.int64)
    found = np.zeros((len(products), factors.shape[1]), np.float32)
    found[rows >= 0] = factors[rows[rows >= 0]]
    return found
