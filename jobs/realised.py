"""The night's look back: score what was served, never stop the night, never be silent."""

import logging
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.realised import Due, due, predicted, realise, unscored, weighed
from schema.dates import day_number
from schema.errors import Problem
from schema.records import ENTRY, Before, History, Realised
from schema.settings import TenantSettings
from storage.editions import Edition
from storage.stores import Stores

log = logging.getLogger("recfactory.night")


def look_back(
    stores: Stores,
    before: Before,
    settings: TenantSettings,
    night: date,
    history: Callable[[], History],
) -> tuple[Realised | None, dict[str, Any] | None]:
    """Score the edition that comes due tonight.

    Args:
        history: as of tonight; asked for only where something is due.

    Returns:
        The point to add to the tenant's series, and what the night's report says of it: None
        and None where nothing is due, no point where it could not be scored yet. A night that
        is repeated tells the point it made.
    """
    try:
        point = _scored(stores, before, settings, night, history)
    except Problem as problem:
        why = f"not scored: {problem.what} (next: {problem.next_step})"
        return None, {"flagged": problem.code != "REALISED_NOTHING_YET", "because": why}
    except Exception as error:  # whatever it is, the night goes on and a person hears of it
        log.exception("%s: what was served could not be scored", before.tenant.tenant)
        return None, {"flagged": True, "because": f"not scored: {type(error).__name__}: {error}"}
    return point, None if point is None else point.as_json()


def _scored(
    stores: Stores,
    before: Before,
    settings: TenantSettings,
    night: date,
    told: Callable[[], History],
) -> Realised | None:
    tenant, series, published = before.tenant, before.series, before.published
    for point in series:
        if point.night == night:
            return point
    current = stores.editions.current(tenant.uid)
    found = due(published, series, current.edition if current else None, night)
    if found is None:
        return None
    if found.model not in stores.models.numbers(tenant.uid):
        return unscored(found, night, f"model {found.model} has expired")
    history = told()
    if not _anything(history, found):
        raise Problem(
            f"no purchase from {found.starts} on has arrived yet",
            "import the newest interactions",
            code="REALISED_NOTHING_YET",
        )
    listed = _served_lists(stores, before, found, history)
    try:
        model = stores.models.load(tenant.uid, found.model)
    except Problem as problem:
        if problem.code != "MODEL_VERSION":
            raise
        return unscored(found, night, f"model {found.model} was made by another version")
    figures = realise(model, history, found, listed, seed=settings.seed)
    return weighed(
        found,
        night,
        figures,
        predicted(published, found),
        series,
        settings.realised,
        lists="model" if listed is None else "served",
    )


def _anything(history: History, found: Due) -> bool:
    """Whether any purchase of these days or of later ones has been delivered."""
    return bool((history.day[history.bought] >= day_number(found.starts)).any())


def _served_lists(
    stores: Stores, before: Before, found: Due, history: History
) -> NDArray[np.int32] | None:
    """(C, L) product numbers as listed, by customer of the history; None where they expired.

    A customer without a list of their own was shown the popular one.
    """
    uid, edition_rows = before.tenant.uid, before.editions
    sha = next(row.manifest_sha256 for row in edition_rows if row.edition == found.edition)
    if found.edition not in stores.editions.numbers(uid):
        return None
    edition = stores.editions.open(uid, found.edition, sha)
    try:
        return _as_numbers(edition, history)
    finally:
        edition.lists.close()


def _as_numbers(edition: Edition, history: History) -> NDArray[np.int32]:
    ids = history.products.rows
    numbers = np.array([ids.get(p.product_id, -1) for p in edition.products] + [-1], np.int32)
    own = dict(zip(*edition.lists.everyone(), strict=True))
    length = max(len(body) for body in own.values()) // np.dtype(list(ENTRY)).itemsize
    listed = np.full((len(history.customers), length), -1, np.int32)
    for row, name in enumerate(history.customers.names):
        places = np.frombuffer(own.get(name, own[""]), np.dtype(list(ENTRY)))["product"]
        listed[row, : len(places)] = numbers[places]
    return listed
