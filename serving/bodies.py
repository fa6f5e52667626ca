"""What travels over HTTP, as the API's documentation shows it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from schema.names import Action, Bought, Mode


class _Body(BaseModel, extra="forbid"):
    pass


Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["urn:recfactory:problem:NO_TENANT"])
    title: str
    status: int
    code: str = Field(examples=["NO_TENANT"])
    detail: str
    next_step: str


class Why(BaseModel):
    """Why a product is on the list."""

    kind: Literal["reorder", "similar", "popular"]
    because: list[str] = Field(description="products that speak for it")
    text: str = Field(examples=["Bought 6 times, usually every 5 weeks, last 7 weeks ago"])


class Recommendation(BaseModel):
    """One place on the list."""

    rank: int
    product_id: str
    name: str | None
    category: str | None
    price: float | None
    probability: float = Field(description="of buying it within the model's horizon, 0 to 1")
    bought_before: bool
    reason: Why


class Recommendations(BaseModel):
    """The answer to a lookup. ``off`` shows no products, so that the button can hide itself."""

    tenant: str
    customer: str
    mode: Mode
    bought: Bought | None = Field(
        description="what was done with products bought before: as asked, else as the tenant has it"
    )
    source: Literal["personal", "popular"] | None = Field(
        description="popular: this customer has no list of their own"
    )
    edition: int | None
    model: int | None
    published_at: datetime | None
    recommendations: list[Recommendation]


class ModeState(BaseModel):
    """A tenant's switch."""

    tenant: str
    mode: Mode


class ModeChange(_Body):
    """Turn the switch; ``why`` is kept in the audit trail."""

    mode: Mode
    why: Sentence


class Because(_Body):
    """A reason, kept in the audit trail."""

    why: Sentence


class Night(BaseModel):
    """One night and what it came to."""

    tenant: str
    night: date
    state: str
    verdict: str | None
    because: str
    published: bool
    edition: int | None
    model: int | None
    started_at: datetime
    finished_at: datetime | None
    figures: dict[str, Any]


class ModelLine(BaseModel):
    """One model and the verdict it got."""

    tenant: str
    model: int
    night: date
    kind: str
    trained_through: date
    verdict: str
    because: str
    in_force: bool


class QualityLine(BaseModel):
    """One edition, held against the days its probabilities spoke of. Figures are absent where it
    could not be scored; ``because`` then says why.
    """

    tenant: str
    edition: int
    model: int
    night: date = Field(description="in which it was scored")
    starts: date
    ends: date = Field(description="the first day that no longer counts")
    lists: Literal["served", "model"] | None = Field(
        description="model: the lists had expired, NDCG and recall are of the model's own order"
    )
    customers: int | None = None
    pairs: int | None = None
    bought: int | None = None
    rmse: float | None = None
    mse: float | None = None
    mae: float | None = None
    skill: float | None = None
    ndcg_at_10: float | None = None
    recall_at_10: float | None = None
    calibration: float | None = None
    reliability: list[tuple[int, float, float]] | None = None
    foreseen_rmse: float | None = Field(
        None, description="the gate's RMSE, carried over to as many purchases as there were"
    )
    band: tuple[float, float] | None = Field(None, description="where the RMSE should lie")
    predicted: dict[str, Any] | None = Field(description="the same figures, of the gate")
    flagged: bool
    because: str


class TenantAct(BaseModel):
    """One line of the audit trail. ``hash`` seals it and, through ``prev``, all before it."""

    tenant: str | None
    number: int = Field(description="counts within the tenant's own chain")
    at: datetime
    actor: str
    act: str
    detail: dict[str, Any]
    prev: str
    hash: str


class InstallationAct(TenantAct):
    """The same, with its place among all tenants' lines; no tenant: the installation's own."""

    id: int


class EditionLine(BaseModel):
    """One edition; ``current`` is the one served."""

    tenant: str
    edition: int
    night: date
    model: int
    lists: int
    published_at: datetime
    current: bool


RuleState = Literal["in force", "expired", "removed"]


class NewRule(_Body):
    """A wish about the tenant's lists; ``why`` is kept in the audit trail.

    ``exclude``, ``pin``, ``boost`` and ``bury`` are about a product or a category; ``min_price``,
    ``min_margin`` and ``max_per_category`` about a category or, without one, everything.
    """

    action: Action
    product_id: str | None = None
    category: str | None = None
    value: float | None = Field(
        None,
        description="places (pin a category), factor on the odds (boost, bury), amount, share or count",
    )
    until: str | None = Field(
        None,
        description="the last day it holds, or a moment; in the tenant's zone unless it names one",
        examples=["2026-12-24", "2026-12-24T18:00"],
    )
    why: Sentence


class RuleLine(BaseModel):
    """One rule; times in the tenant's zone."""

    tenant: str
    rule: int
    action: Action
    product_id: str | None
    category: str | None
    value: float | None
    state: RuleState
    expires_at: datetime | None
    why: str
    created_by: str
    created_at: datetime


class FeedbackEvents(_Body):
    """1 to 1,000 events; each is judged on its own."""

    events: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=1000,
        examples=[
            [
                {
                    "event_id": "call-4711-1",
                    "customer_id": "C-1042",
                    "product_id": "P-77",
                    "kind": "accepted",
                    "edition": 31,
                    "rank": 1,
                }
            ]
        ],
    )


class FeedbackResult(BaseModel):
    """What became of one event."""

    event_id: str | None
    result: Literal["stored", "repeated", "refused"]
    code: str | None = None
    detail: str | None = None


class FeedbackReceipt(BaseModel):
    """Stored events are durable; a repeated one was counted before."""

    stored: int
    repeated: int
    refused: int
    results: list[FeedbackResult]


class Health(BaseModel):
    """Whether this process lives, and whether lists can be served."""

    status: Literal["ok", "degraded", "not ready"]
