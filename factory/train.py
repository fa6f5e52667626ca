"""Past and teach windows -> tonight's model."""

from collections.abc import Sequence

import numpy as np

from factory import als
from factory.blend import PRIOR, Scene, scene, teach
from factory.evidence import as_of, bought_between
from factory.history import span_days
from schema.records import History, Model, Windows
from schema.settings import TenantSettings

BASELINE, ALS = "baseline", "als"


def train(
    history: History, windows: Windows, settings: TenantSettings, *, kind: str, fingerprint: str
) -> Model:
    """Train on what happened before the judge window, and on nothing from then on.

    ALS factors are fitted on everything before the first teach window (so that they never saw
    what the blend is taught to predict), the blend is taught on the teach windows, then the
    factors are carried on to the start of the judge window. The coefficients stay: the scale of
    the scores hardly moves in a few iterations.

    Args:
        kind: ALS, or BASELINE for the same blend without factors.

    Cost: one ALS fit, a short continuation, and about ten Newton steps.
    """
    half_life = settings.als.half_life_days
    moments = [as_of(history, day, windows.days, half_life) for day in windows.teach]
    factors = np.zeros((len(history.products), 0), np.float32)
    if kind == ALS:
        factors = als.fit(moments[0].taste, settings.als, seed=settings.seed)
    scenes = [
        scene(moment, als.fold_in(moment.taste, factors, settings.als), factors)
        for moment in moments
    ]
    labels = [bought_between(history, day, day + windows.days) for day in windows.teach]
    blend = teach(
        scenes,
        labels,
        history.sellable,
        settings.blend,
        seed=settings.seed,
        with_als=kind == ALS,
    )
    if kind == ALS:
        newest = as_of(history, windows.judge, windows.days, half_life).taste
        factors = als.fit(newest, settings.als, seed=settings.seed, start=factors)
    return Model(
        kind=kind,
        products=history.products,
        factors=factors,
        blend=blend,
        settings=settings,
        horizon_days=windows.days,
        trained_through=windows.judge,
        seed=settings.seed,
        data_fingerprint=fingerprint,
    )


def template_baseline(
    history: History, tonight: int, settings: TenantSettings, fingerprint: str
) -> Model:
    """The baseline for a tenant too small to teach: the template's own coefficients."""
    affordable = settings.windows.max_share * span_days(history, tonight)
    days = [length for length in sorted(settings.windows.days) if length <= affordable]
    return Model(
        kind=BASELINE,
        products=history.products,
        factors=np.zeros((len(history.products), 0), np.float32),
        blend=PRIOR,
        settings=settings,
        horizon_days=days[-1] if days else min(settings.windows.days),
        trained_through=tonight - span_days(history, tonight),  # it saw nothing of the tenant
        seed=settings.seed,
        data_fingerprint=fingerprint,
    )


def view(model: Model, history: History, day: int) -> Scene:
    """Any model's view of a history as of a day: newest evidence, customers folded in.

    Products the model does not know have zero factors: they are scored by the rest of the blend.
    """
    moment = as_of(history, day, model.horizon_days, model.settings.als.half_life_days)
    factors = aligned(model, history.products.names)
    return scene(moment, als.fold_in(moment.taste, factors, model.settings.als), factors)


def aligned(model: Model, products: Sequence[str]) -> als.Factors:
    """The model's factors in the order of ``products``; zeros where it knows none."""
    factors = np.zeros((len(products), model.factors.shape[1]), np.float32)
    rows = np.array([model.products.rows.get(name, -1) for name in products], np.int64)
    factors[rows >= 0] = model.factors[rows[rows >= 0]]
    return factors
