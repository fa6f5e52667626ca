"""A tenant's accepted tables -> one History, in whole local days."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.dates import day_number, midnight
from schema.names import Status
from schema.records import History, Ids
from schema.settings import TenantSettings

_MICROSECOND = timedelta(microseconds=1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


def from_tables(
    customers: pa.Table,
    products: pa.Table,
    interactions: pa.Table,
    settings: TenantSettings,
    zone: ZoneInfo,
    before: date,
) -> History:
    """Join the three accepted tables into what had occurred before ``before``, local midnight.

    Customers and products are numbered in the order of their ids, so that ties broken by number
    are ties broken by id. A product that left the catalogue keeps its history (it tells taste)
    but is not sellable; a customer that left is gone.

    Args:
        interactions: occurred_at as timestamp[us, UTC]; any order.

    Returns:
        One row per (customer, product, local day); returns and unlisted events are left out.
    """
    weights = {event.value: weight for event, weight in settings.interest_weights.items()}
    weights |= {event.value: 1.0 for event in settings.bought_events}
    bought_events = pa.array([event.value for event in settings.bought_events])
    interactions = interactions.filter(
        pc.is_in(interactions["event"], pa.array(list(weights), pa.string()))
    )
    instants = interactions["occurred_at"].cast(pa.int64()).to_numpy()
    days = local_days(instants, zone)

    customer_ids = _sorted_unique(customers["customer_id"])
    product_ids = _sorted_unique(
        pa.chunked_array([*products["product_id"].chunks, *interactions["product_id"].chunks])
        if len(interactions)
        else products["product_id"]
    )
    customer = _rows(interactions["customer_id"], customer_ids)
    product = _rows(interactions["product_id"], product_ids)
    weight = _event_weights(interactions["event"], weights)
    bought = pc.is_in(interactions["event"], bought_events).to_numpy(zero_copy_only=False)

    keep = (customer >= 0) & (days < day_number(before))
    status = {
        name: state == Status.SELLABLE.value
        for name, state in zip(
            products["product_id"].to_pylist(), products["status"].to_pylist(), strict=True
        )
    }
    names = product_ids.to_pylist()
    sellable = np.fromiter((status.get(name, False) for name in names), bool, len(names))
    categories, category = _groups(products, "product_id", "category", product_ids)
    segments, segment = _groups(customers, "customer_id", "segment", customer_ids)
    rows = _by_day(customer[keep], product[keep], days[keep], bought[keep], weight[keep])
    return History(
        Ids(customer_ids.to_pylist()),
        Ids(names),
        sellable,
        *rows,
        categories,
        category,
        segments,
        segment,
    )


def local_days(instants: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int32]:
    """Local calendar day of each instant (µs since 1970 UTC), as days since 1970-01-01.

    Exact across daylight-saving changes: local midnights are looked up, not offsets added.
    """
    if not len(instants):
        return np.empty(0, np.int32)
    first = (_EPOCH_UTC + timedelta(microseconds=int(instants.min()))).date() - timedelta(days=2)
    last = (_EPOCH_UTC + timedelta(microseconds=int(instants.max()))).date() + timedelta(days=2)
    midnights = np.concatenate(
        [_midnights(year, zone) for year in range(first.year, last.year + 1)]
    )
    begin = day_number(date(first.year, 1, 1))
    return (np.searchsorted(midnights, instants, side="right") - 1 + begin).astype(np.int32)


@lru_cache(maxsize=1_000)
def _midnights(year: int, zone: ZoneInfo) -> NDArray[np.int64]:
    """(365 or 366,) when the days of a year begin, µs since 1970 UTC: thousands of tenants share it."""
    first = date(year, 1, 1)
    days = day_number(date(year, 12, 31)) - day_number(first) + 1
    return np.array(
        [
            (midnight(first + timedelta(days=n), zone) - _EPOCH_UTC) // _MICROSECOND
            for n in range(days)
        ],
        np.int64,
    )


def _sorted_unique(column: pa.ChunkedArray) -> pa.Array:
    values = pc.unique(column.cast(pa.string()))
    return values.take(pc.sort_indices(values))


def _rows(column: pa.ChunkedArray, ids: pa.Array) -> NDArray[np.int32]:
    found = pc.index_in(column.cast(pa.string()), ids)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int32)


def _groups(table: pa.Table, key: str, column: str, ids: pa.Array) -> tuple[Ids, NDArray[np.int32]]:
    """The groups of a column in the order of their names, and the number of each id's group."""
    names = _sorted_unique(table[column].drop_null())
    row = _rows(ids, table[key].cast(pa.string()).combine_chunks())
    group = _rows(table[column], names)
    if not len(group):
        return Ids(()), np.full(len(ids), -1, np.int32)
    return Ids(names.to_pylist()), np.where(row >= 0, group[row], -1).astype(np.int32)


def _event_weights(column: pa.ChunkedArray, weights: dict[str, float]) -> NDArray[np.float32]:
    names = pa.array(list(weights), pa.string())
    place = pc.index_in(column.cast(pa.string()), names).to_numpy()
    return np.asarray(np.array(list(weights.values()), np.float32)[place])


_Rows = tuple[
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.bool_],
    NDArray[np.float32],
]


def _by_day(
    customer: NDArray[np.int32],
    product: NDArray[np.int32],
    day: NDArray[np.int32],
    bought: NDArray[np.bool_],
    weight: NDArray[np.float32],
) -> _Rows:
    """Merge the lines of one customer, product and day.

    Bought lines of a day count once (a split order is still one decision); interest adds up, but
    a day never weighs more than the purchase it may lead to.
    """
    # One number a line: sorting it gives the order of np.lexsort, six times faster.
    products, epoch = int(product.max(initial=0)) + 1, int(day.min(initial=0))
    days = int(day.max(initial=0)) - epoch + 1
    key = (customer.astype(np.int64) * products + product) * days + (day - epoch)
    order = np.argsort(key, kind="stable")
    customer, product, day = customer[order], product[order], day[order]
    bought, weight = bought[order], weight[order]
    new = np.ones(len(order), bool)
    new[1:] = (
        (customer[1:] != customer[:-1]) | (product[1:] != product[:-1]) | (day[1:] != day[:-1])
    )
    starts = np.flatnonzero(new)
    if len(starts):
        bought = np.logical_or.reduceat(bought, starts)
        weight = np.minimum(np.add.reduceat(weight, starts), np.float32(1))
    return customer[starts], product[starts], day[starts], bought, weight


def span_days(history: History, tonight: int) -> int:
    """Days from the first interaction to tonight; 0 without any."""
    return int(tonight - history.day.min()) if len(history.day) else 0
