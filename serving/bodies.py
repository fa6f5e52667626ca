"""What travels over HTTP, as the API's documentation shows it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from schema.mapping import TenantMapping
from schema.names import Action, Bought, Delivered, Mode, Outcome, Role
from schema.tables import ID_MAX_BYTES


class _Body(BaseModel, extra="forbid"):
    pass


Whole = Annotated[str, StringConstraints(max_length=1000)]
"""Text that can be stored: a length is only taken of whole characters, so half a one is refused."""

Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["urn:recfactory:problem:NO_TENANT"])
    title: str
    status: int
    code: str = Field(examples=["NO_TENANT"])
    detail: str
    next_step: str


class FileProblem(Problem):
    """Of a delivery that was refused: also where in it, as far as that is known."""

    file: str | None = None
    line: int | None = None
    column: str | None = None


class DeliveryReport(BaseModel, extra="allow"):
    """What became of a delivery, table by table: read, accepted, quarantined, and every fault."""

    tenant: str
    batch: str = Field(description="made of the file's bytes: the same file is always called so")
    state: str = Field(
        description="accepted; held: a person has to release it; waiting: not imported yet"
    )
    dry_run: bool
    tables: list[dict[str, Any]]


class Why(BaseModel):
    """Why a product is on the list."""

    kind: Literal["reorder", "similar", "popular", "segment"]
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
    stale: bool | None = Field(
        description="the lists were made for a night more than `serving.stale_days` ago"
    )
    recommendations: list[Recommendation]


_Name = Annotated[str, StringConstraints(min_length=1, max_length=ID_MAX_BYTES)]


class Named(_Body):
    """Products, or whole categories, as the tenant's catalogue names them."""

    products: list[_Name] = Field([], max_length=50, examples=[["P-77"]])
    categories: list[_Name] = Field([], max_length=20, examples=[["Stout"]])


class Call(_Body):
    """What a customer said during the call. What was rejected is left out, and is no interest."""

    interested: Named = Named()
    rejected: Named = Named()

    @property
    def says_nothing(self) -> bool:
        return self.interested == self.rejected == Named()


class Understood(BaseModel):
    """What an answer made of it."""

    interested: Named
    rejected: Named
    reranked: bool = Field(
        description="whether interest moved the ranking: not where there was none, or where the "
        "model in force goes by popularity and own history alone"
    )


class Reranked(Recommendations):
    """The answer to a lookup, after what was said; ``understood`` is null while the tenant is off."""

    understood: Understood | None


class ModeState(BaseModel):
    """A tenant's switch."""

    tenant: str
    mode: Mode


class ModeChange(_Body):
    """Turn the switch; ``why`` is kept in the audit trail."""

    mode: Mode
    why: Sentence


class MappingState(BaseModel):
    """How the tenant's files look; only what was declared."""

    tenant: str
    mapping: dict[str, Any]


class MappingChange(_Body):
    """All of the mapping; docs/mapping.md shows the language. ``why`` is kept in the audit trail."""

    mapping: TenantMapping
    why: Sentence


class Because(_Body):
    """A reason, kept in the audit trail."""

    why: Sentence


class ImportLine(BaseModel):
    """One delivery; rows by table."""

    tenant: str
    batch: str
    imported_at: datetime
    state: Delivered
    read: dict[str, int]
    quarantined: dict[str, int]
    because: list[str] = Field(description="why it was held or refused")


class ImportReport(ImportLine):
    """The same with everything that was found: by rule code, column, count, share and samples."""

    reasons: list[dict[str, Any]]
    tables: list[dict[str, Any]]


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


class OutcomeLine(BaseModel):
    """What became of one edition's recommendations on one day, as the screens told it."""

    tenant: str
    day: date = Field(description="in the tenant's time zone")
    edition: int | None = Field(description="null: the events named none")
    shown: int
    clicked: int
    accepted: int
    dismissed: int
    bought: int = Field(description="purchases whose event names the edition it was shown from")
    revenue: float = Field(description="sum of their value, in the tenant's currency")
    without_value: int = Field(description="of those bought: told without a value, not in revenue")
    acceptance_rate: float | None = Field(
        description="accepted per shown; null where nothing was told as shown"
    )


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
    product_id: Whole | None = None
    category: Whole | None = None
    value: float | None = Field(
        None,
        description="places (pin a category), factor on the odds (boost, bury), amount, share or count",
    )
    until: Whole | None = Field(
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
    spooled: int = Field(
        description="of the stored ones: kept on the server's disk, as the ledger is away; they "
        "are counted when it is back, once"
    )
    results: list[FeedbackResult]


class Receipt(BaseModel):
    """What became of an erased customer's data; it does not say who that was."""

    tenant: str
    receipt: int
    state: Literal["pending", "done", "returned"]
    known: bool = Field(
        description="whether anything of that id was known; if not, check its spelling"
    )
    asked_by: str
    why: str
    asked_at: datetime
    done: list[str] = Field(examples=[["lookups", "imports", "new feedback"]])
    pending: list[str] = Field(description="what follows with the next night or upkeep")
    removed: dict[str, int] = Field(description="rows, files, mentions or editions, by store")
    finished_at: datetime | None
    returned_at: datetime | None = Field(description="when somebody let the customer come back")


Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class NewKey(_Body):
    """A key to be made."""

    role: Role = Role.SELLER
    label: Label = Field("", description="whose it is or what it is for")
    days: int | None = Field(None, ge=1, le=3650, description="ends after so many")


class NewKeyOfAnybody(NewKey):
    """A key to be made, and whose."""

    tenant: str | None = Field(None, description="none for an operator or auditor")


class Overlap(_Body):
    """How long the old key goes on beside the new one."""

    overlap_hours: float = Field(24, ge=0, le=30 * 24)


class KeyLine(BaseModel):
    """One key, never its secret."""

    key_id: str = Field(description="the public part, between rf_ and the dot")
    tenant: str | None
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute or so")


class ShownKey(KeyLine):
    """A key that was just made, this once with its secret."""

    key: str = Field(examples=["rf_0a1b2c3d4e5f.…"])


class NewTenant(_Body):
    """A tenant to be registered."""

    tenant: str = Field(description="1 to 63 of a-z, 0-9 and -", examples=["hill-brewery"])
    title: Label = Field("", description="what people call the company")
    timezone: str = Field("UTC", description="its nights begin at midnight there")


class TenantLine(BaseModel):
    """One tenant."""

    tenant: str
    title: str
    timezone: str
    mode: Mode


class FleetLine(BaseModel):
    """What one tenant serves, and what its last night came to."""

    tenant: str
    mode: Mode
    edition: int | None
    published_at: datetime | None
    age_hours: float | None
    problem: str | None = Field(description="a code, where what it serves cannot be read")
    night: date | None
    verdict: Outcome | None
    because: str | None


class Fleet(BaseModel):
    """Every tenant in one answer."""

    tenants: int
    modes: dict[Mode, int]
    verdicts: dict[Outcome, int] = Field(description="of each tenant's last night")
    without_edition: int
    lines: list[FleetLine]


class Health(BaseModel):
    """Whether this process lives, and whether lists can be served."""

    status: Literal["ok", "degraded", "not ready"]
