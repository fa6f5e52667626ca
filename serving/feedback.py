"""What became of recommendations, told by the salesperson's screen."""

import hashlib
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query

from schema.errors import Problem
from schema.names import FeedbackKind
from schema.tables import CONTROL, FEEDBACK, ID_MAX_BYTES, Column, Kind
from serving.bodies import FeedbackEvents, FeedbackReceipt, FeedbackResult, OutcomeLine
from serving.deps import AllStores, Seen, Sold, TheTenant
from serving.guard import Guarded
from storage.feedback import CONFLICT, ERASED, SPOOLED, STORED
from tenants.lifecycle import business_date
from tenants.order import zone

router = APIRouter(route_class=Guarded, tags=["feedback"])

OLDEST = timedelta(days=30)


@router.post("/tenants/{tenant}/feedback", summary="Tell what became of recommendations")
def feedback(
    body: FeedbackEvents, tenant: TheTenant, stores: AllStores, products: Sold, seen: Seen
) -> FeedbackReceipt:
    """Store events durably; each gets its own result, and an event id counts once.

    ``shown``, ``clicked``, ``accepted``, ``dismissed`` or ``purchased``. What was clicked,
    accepted or purchased joins the history of the next night, up to 100 events of a customer a
    day. Send the ``edition`` and ``rank`` of the answer that was shown, and with a purchase its
    ``value``: outcomes go by them. While the ledger is away, events are kept on the server's disk
    and delivered later; when that is full, 503 FEEDBACK_FULL: nothing was kept, send them again.
    """
    now = datetime.now(UTC)
    newest = stores.editions.newest(tenant.uid)
    erased = stores.erased.of(tenant.uid)
    rows: list[dict[str, Any] | None] = []
    results = []
    for event in body.events:
        try:
            row = _row(event, products, newest, now)
            if erased.holds(row["customer_id"]):
                raise _gone()
        except Problem as problem:
            rows.append(None)
            results.append(
                FeedbackResult(
                    event_id=_shown(event.get("event_id")),
                    result="refused",
                    code=problem.code,
                    detail=str(problem),
                )
            )
        else:
            rows.append(row)
            results.append(FeedbackResult(event_id=row["event_id"], result="stored"))
    kept = [(place, row) for place, row in enumerate(rows) if row is not None]
    fates = stores.feedback.keep(tenant.tenant, [row for _, row in kept]) if kept else []
    for (place, _), outcome in zip(kept, fates, strict=True):
        results[place] = _result(results[place], outcome)
    counts = Counter(result.result for result in results)
    for word, number in counts.items():
        seen.feedback(tenant.tenant, word, number)
    return FeedbackReceipt(
        stored=counts["stored"],
        repeated=counts["repeated"],
        refused=counts["refused"],
        spooled=fates.count(SPOOLED),
        results=results,
    )


@router.get("/tenants/{tenant}/outcomes", summary="What became of recommendations")
def outcomes(
    tenant: TheTenant,
    stores: AllStores,
    days: Annotated[int, Query(ge=1, le=366, description="today and the days before it")] = 30,
) -> list[OutcomeLine]:
    """By local day and edition, newest first; days without feedback are left out.

    ``bought`` and ``revenue`` are purchases from recommendations: events ``purchased`` that name
    the edition the product was shown from. A purchase that names none is not counted.
    """
    local = zone(tenant.timezone)
    today = business_date(datetime.now(UTC), local)
    return [
        OutcomeLine(tenant=tenant.tenant, **line.as_json())
        for line in stores.feedback.outcomes(tenant.tenant, today, days, local)
    ]


def _shown(event_id: object) -> str | None:
    """An event id that was refused, as far as it can travel back."""
    if not isinstance(event_id, str):
        return None
    return event_id.encode("utf-8", "replace").decode()[:ID_MAX_BYTES]


def _result(result: FeedbackResult, outcome: str) -> FeedbackResult:
    if outcome == CONFLICT:
        detail = "this event id was used before with another content. Next: use a new id."
        return FeedbackResult(
            event_id=result.event_id, result="refused", code="IDEMPOTENCY_MISMATCH", detail=detail
        )
    if outcome == ERASED:
        gone = _gone()
        return FeedbackResult(
            event_id=result.event_id, result="refused", code=gone.code, detail=str(gone)
        )
    return result.model_copy(update={"result": STORED if outcome == SPOOLED else outcome})


def _gone() -> Problem:
    return Problem(
        "the customer was erased", "do not send it again; nothing was kept", code="CUSTOMER_ERASED"
    )


def _row(
    event: dict[str, Any], products: frozenset[str] | None, newest: int, now: datetime
) -> dict[str, Any]:
    unknown = sorted(set(event) - {column.name for column in FEEDBACK.columns})
    if unknown:
        raise Problem(
            f"there is no field {unknown[0][:80]!r}", "leave it out", code="FEEDBACK_FIELD"
        )
    row = {column.name: _value(column, event.get(column.name)) for column in FEEDBACK.columns}
    row["occurred_at"] = row["occurred_at"] or now
    if not now - OLDEST <= row["occurred_at"] <= now + timedelta(days=1):
        raise Problem(
            f"occurred_at is more than {OLDEST.days} days old or in the future",
            "send feedback on the day it happens",
            code="FEEDBACK_TIME",
        )
    if products is not None and row["product_id"] not in products:
        raise Problem(
            "the product is not in the tenant's catalogue",
            "send the product_id that was shown",
            code="FEEDBACK_UNKNOWN_REF",
        )
    if (row["edition"] or 0) > newest:
        raise Problem(
            f"there is no edition {row['edition']} yet",
            "send the edition of the answer that was shown",
            code="FEEDBACK_UNKNOWN_REF",
        )
    if row["kind"] == FeedbackKind.PURCHASED and row["quantity"] == 0:
        raise Problem("a purchase has a quantity above 0", "correct it", code="VALUE_RANGE")
    digest = hashlib.sha256(orjson.dumps(event, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {**row, "digest": digest}


def _value(column: Column, value: Any) -> Any:
    """One field, as the universal schema says."""
    if value is None:
        if column.required:
            raise Problem(f"{column.name} is missing", "send it", code="VALUE_MISSING")
        return None
    if column.kind is Kind.NUMBER:
        return _number(column, value)
    if not isinstance(value, str):
        raise Problem(f"{column.name} is not text", "send a string", code="VALUE_TYPE")
    if column.kind is Kind.CHOICE and value not in column.choices:
        words = ", ".join(column.choices)
        raise Problem(f"{column.name} is none of {words}", "use one of them", code="VALUE_CHOICE")
    if column.kind is Kind.TIME:
        return _time(column, value)
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Problem(
            f"{column.name} is no whole text: half a character", "send UTF-8", code="TEXT_ENCODING"
        ) from error
    unfit = not 1 <= size <= ID_MAX_BYTES or re.search(CONTROL, value)
    if column.kind is Kind.ID and unfit:
        raise Problem(
            f"{column.name} is empty, longer than {ID_MAX_BYTES} bytes or holds control characters",
            "send the tenant's own id",
            code="ID",
        )
    return value


def _number(column: Column, value: Any) -> float:
    assert column.least is not None  # every number of FEEDBACK has a range
    assert column.most is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Problem(f"{column.name} is not a number", "send a number", code="VALUE_TYPE")
    if not column.least <= value <= column.most or (column.whole and value != int(value)):
        raise Problem(
            f"{column.name} is no {'whole ' * column.whole}number "
            f"from {column.least:g} to {column.most:g}",
            "correct it",
            code="VALUE_RANGE",
        )
    return int(value) if column.whole else value


def _time(column: Column, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Problem(
            f"{column.name} cannot be read", "use 2026-03-08T10:00:00Z", code="TIME_FORMAT"
        ) from error
    if moment.tzinfo is None:
        raise Problem(f"{column.name} has no zone", "use 2026-03-08T10:00:00Z", code="TIME_ZONE")
    return moment
