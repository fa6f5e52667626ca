"""The frozen values that cross floors. Arrays are read-only by agreement: nobody writes into them."""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from schema.names import Action, Mode, Outcome, ProductId, Role, TenantId
from schema.settings import TenantSettings

if TYPE_CHECKING:  # floor 0 stays light: serving starts without numpy's weight where it can
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Flags = NDArray[np.bool_]

ENTRY = (
    ("product", "<i4"),  # row in Lists.products; -1 pads a short list
    ("because", "<i4"),  # the product a SIMILAR reason names, the segment of a SEGMENT one; or -1
    ("probability", "<f4"),  # of buying within the model's horizon, 0..1
    ("times", "<u2"),  # days on which the customer bought it; 0 means never
    ("days_ago", "<u2"),  # since the last of them, as of the night
    ("every_days", "<u2"),  # usual days between them; 0 where unknown
    ("reason", "<u2"),  # place in schema.names.Reason
)
"""One place on a list, packed little-endian: written as a numpy array, read with struct."""

PACKED = struct.Struct("<" + "".join({"<i4": "i", "<f4": "f", "<u2": "H"}[c] for _, c in ENTRY))

CELL = (
    ("product", "<i4"),  # a product the customer bought or looked at
    ("weight", "<f4"),  # of all that, faded: what customers are folded in from
    ("standing", "<f4"),  # its logit but for the ALS score, where it was bought
    ("habit", "<f4"),  # its purchases, faded slowly
    ("times", "<u2"),  # as in ENTRY; 0 means only looked at
    ("days_ago", "<u2"),
    ("every_days", "<u2"),
)
"""What one customer did with one product, as re-ranking during a call needs it."""


class Entry(NamedTuple):
    """One place on a list; fields as in ENTRY."""

    product: int
    because: int
    probability: float
    times: int
    days_ago: int
    every_days: int
    reason: int


def entries(body: bytes) -> list[Entry]:
    """A packed list, best first."""
    return [Entry._make(fields) for fields in PACKED.iter_unpack(body)]


LINES_FORM = 1
"""What the lines of an answer look like. Whoever changes their text by so much as a comma counts it
up: editions that were written before are then put together anew at each lookup.
"""


def packed_lines(products: Sequence[int], lines: bytes) -> bytes:
    """The first lines of an answer as an edition keeps them: their form, how many, of which products."""
    return struct.pack(f"<BB{len(products)}i", LINES_FORM, len(products), *products) + lines


def unpacked_lines(body: bytes) -> tuple[tuple[int, ...], bytes] | None:
    """Products and text of ``packed_lines``; None where the lines are of another form."""
    if body[0] != LINES_FORM:
        return None
    count = body[1]
    return struct.unpack_from(f"<{count}i", body, 2), body[2 + 4 * count :]


class Ids:
    """External ids and their row numbers, both ways; never changes."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    @cached_property
    def rows(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class History:
    """What happened, one row per (customer, product, local day), sorted in that order.

    Attributes:
        sellable: (P,) which products of the catalogue can be recommended.
        customer, product: (n,) row numbers in ``customers`` and ``products``.
        day: (n,) days since 1970-01-01 in the tenant's zone.
        bought: (n,) whether the day holds a bought event, not only interest.
        weight: (n,) summed event weights of the day, > 0; a purchase weighs 1.
        categories, segments: names of the product groups, of the customer groups.
        category: (P,) row number in ``categories``, -1 for none; segment: (C,) likewise.
    """

    customers: Ids
    products: Ids
    sellable: "Flags"
    customer: "Ints"
    product: "Ints"
    day: "Ints"
    bought: "Flags"
    weight: "Floats"
    categories: Ids
    category: "Ints"
    segments: Ids
    segment: "Ints"


@dataclass(frozen=True, slots=True)
class Windows:
    """Cuts of the history, as day numbers: rows of ``[start, start + days)`` form a window.

    Attributes:
        days: length H of each window.
        tonight: T, the first day nobody knows yet; the judge window is [judge, tonight).
        teach: starts of the teach windows, oldest first; the last one ends at ``judge``.
    """

    days: int
    tonight: int
    teach: tuple[int, ...]

    @property
    def judge(self) -> int:
        return self.tonight - self.days


@dataclass(frozen=True, slots=True)
class Blend:
    """Two logistic regressions: will a customer buy again what they know; discover what they do not.

    Attributes:
        repeat, fresh: coefficients by feature name, intercept included.
    """

    repeat: Mapping[str, float]
    fresh: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Model:
    """Item factors and the blend over them: everything needed to score any pair, immutable.

    Customers are not part of it: their vectors are folded in from the newest history.

    Attributes:
        kind: "als", or "baseline" (no factors: popularity, recency, own history).
        products: the products ``factors`` has rows for.
        factors: (P, k) float32, as of ``trained_through``; k is 0 in a baseline.
        early_factors: (P, k) float32, as of ``taught_from``: a later fit may carry on from them
            without having seen what its blend is taught.
        horizon_days: H, the length of window its probabilities speak of.
        taught_from: day number; start of the first teach window.
        trained_through: day number; nothing from that day on was seen.
        data_fingerprint: of the accepted data it was trained on.
    """

    kind: str
    products: Ids
    factors: "Floats"
    early_factors: "Floats"
    blend: Blend
    settings: TenantSettings
    horizon_days: int
    taught_from: int
    trained_through: int
    seed: int
    data_fingerprint: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How one model did on the judge window. All measures on the same pairs for both models.

    Attributes:
        pairs: judged (customer, product) pairs; bought: those with y = 1.
        rmse: sqrt(mean((y - p)²)), p the purchase probability; 0..1.
        skill: 1 - MSE / MSE of popularity: the share of buyers in the window before, for everybody.
        coverage: share of the sellable products that stand on somebody's first ten places.
        top_share: share of customers who have the most frequent first product.
        calibration: mean |observed - predicted| share over ten bins, weighted by pairs.
        reliability: per bin (pairs, mean predicted, observed share).
        squared_errors, pair_counts, ndcgs: (C,) by customer, for the paired bootstrap; ndcgs is
            NaN where a customer bought nothing.
    """

    customers: int
    pairs: int
    bought: int
    rmse: float
    mae: float
    skill: float
    ndcg_at_10: float
    ndcg_new_at_10: float
    recall_at_10: float
    map_at_10: float
    hit_rate_at_10: float
    coverage: float
    top_share: float
    calibration: float
    reliability: tuple[tuple[int, float, float], ...]
    squared_errors: "Doubles"
    pair_counts: "Doubles"
    ndcgs: "Doubles"

    def figures(self) -> dict[str, Any]:
        """The numbers without the per-customer arrays, ready for JSON; None for one that is none."""
        arrays = {"squared_errors", "pair_counts", "ndcgs"}
        return {
            name: _number_or_none(getattr(self, name))
            for name in self.__slots__
            if name not in arrays
        }


def _number_or_none(value: Any) -> Any:
    """JSON has no NaN: a database or an answer that met one would fail far from its cause."""
    if isinstance(value, tuple):
        return tuple(map(_number_or_none, value))
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Guard:
    """One of the gate's questions beside RMSE, and its answer; kept whether or not it objected.

    Attributes:
        name: one word per question, for programs.
        figure: what was measured; limit: beyond it the guard may object.
        objected: whether it did.
        because: one sentence with both numbers, shown to the tenant's admin as it stands.
    """

    name: str
    figure: float
    limit: float
    objected: bool
    because: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said and why.

    Attributes:
        because: one sentence with its figures, shown to the tenant's admin as it stands.
        rmse_interval: 95 % bootstrap interval of challenger minus incumbent RMSE.
        ndcg_interval: the same for NDCG@10.
        guards: every one that was asked; none where nothing was compared.
    """

    outcome: Outcome
    because: str
    rmse_interval: tuple[float, float] | None = None
    ndcg_interval: tuple[float, float] | None = None
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    """One product as an edition shows it; ``cost`` is for the tenant's rules and never shown."""

    product_id: str
    name: str | None
    category: str | None
    price: float | None
    status: str
    cost: float | None = None


class Catalogue(Sequence[Product]):
    """An edition's products, kept as columns and made when they are asked for: a server holds
    hundreds of editions, and a million small objects would cost it memory and long pauses.

    Args:
        rows: by product, its fields in their order; later fields may be missing.
    """

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._columns = tuple(zip(*rows, strict=True))

    @property
    def ids(self) -> tuple[str, ...]:
        return self._columns[0] if self._columns else ()

    @property
    def categories(self) -> tuple[str | None, ...]:
        return self._columns[2] if self._columns else ()

    @property
    def statuses(self) -> tuple[str, ...]:
        return self._columns[4] if self._columns else ()

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Product: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Product, ...]: ...
    def __getitem__(self, place: int | slice) -> Product | tuple[Product, ...]:
        if isinstance(place, slice):
            return tuple(self[n] for n in range(*place.indices(len(self))))
        return Product(*(column[place] for column in self._columns))

    def __iter__(self) -> Iterator[Product]:
        return (Product(*row) for row in zip(*self._columns, strict=True))


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an edition's lists were ranked on: all it takes to rank one customer's anew.

    C customers, and behind them, in ``starts``, ``bias`` and ``segment``, a stranger of whom nothing
    is known. P products as in the edition, n cells, S segments, G categories, N
    customers that all others are compared with. Everything is of the edition's day.

    Attributes:
        customers: (C,) ids in UTF-8, ascending.
        starts: (C + 2,) slices of ``cells`` by customer.
        cells: (n,) structured array of CELL, by customer, then product.
        bias: (C + 1,) what a customer brings to the logit of any product they never bought.
        segment: (C + 1,) row in ``appeal`` and ``liked``; 0 for none.
        factors: (P, k); gram: (k, k) what the fold-in of all customers shares.
        appeal: (S + 1, P) what a product brings to the logit of a segment's customers.
        liked: (S + 1, P) products that a segment buys clearly more than all do.
        group: (P,) category, 0 for none; usual: (G,) share of each in all purchases; (0,) where
            nobody has one.
        compared: (N,) rows of customers; compared_starts: (N + 1,) slices of the next two.
        compared_products, compared_shares: what each of them ever bought, and its share lately.
        als, als_again: coefficients of the score, for products new to the customer and for others.
        neighbours, category: coefficients of these affinities, for products new to the customer.
        average: bias of the average customer.
        alpha: see AlsSettings.
        asked: weight of having asked about a product.
    """

    customers: "NDArray[np.bytes_]"
    starts: "NDArray[np.int64]"
    cells: "NDArray[np.void]"
    bias: "Floats"
    segment: "Ints"
    factors: "Floats"
    gram: "Floats"
    appeal: "Floats"
    liked: "Flags"
    group: "Ints"
    usual: "Floats"
    compared: "Ints"
    compared_starts: "NDArray[np.int64]"
    compared_products: "Ints"
    compared_shares: "Floats"
    als: "np.float32"
    als_again: "np.float32"
    neighbours: "np.float32"
    category: "np.float32"
    average: "np.float32"
    alpha: "np.float32"
    asked: "np.float32"


@dataclass(frozen=True, slots=True)
class Said:
    """What a customer said during a call, in the product numbers of an edition.

    Attributes:
        products: asked about.
        categories: asked about, each with its products.
        rejected: not to be shown; never among the others.
    """

    products: frozenset[int] = frozenset()
    categories: Mapping[str, frozenset[int]] = field(default_factory=dict)
    rejected: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Lists:
    """The ranked lists of one tenant and night.

    Attributes:
        customers: ids of the customers with a list of their own, in row order.
        entries: (C, L) structured array of ENTRY; rows are padded with product -1 at the end.
        popular: (L,) the same, for a customer without a list.
        products, segments: what the row numbers in ``entries`` mean.
        missed: (P,) how many customers would have had a product among their first ten, had it been
            allowed; 0 for those that are. For the night's report; not part of an edition.
        grounds: what they were ranked on; None where nothing shall be re-ranked.
    """

    customers: tuple[str, ...]
    entries: "NDArray[np.void]"
    popular: "NDArray[np.void]"
    products: tuple[Product, ...]
    segments: tuple[str, ...]
    missed: "NDArray[np.int64] | None" = None
    grounds: Grounds | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One wish of a tenant about its lists (schema/rules.py says what each action does).

    Attributes:
        number: counts up within the tenant; never given twice.
        product, category: what it is about; both None means everything.
        value: a factor on the odds, an amount, a share or a count, as the action has it.
        expires_at: from then on it does nothing; None: until it is removed.
    """

    number: int
    action: Action
    product: ProductId | None
    category: str | None
    value: float | None
    why: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant as the ledger knows it.

    Attributes:
        uid: names its folder; made by us, never the tenant's text.
        changes: its own settings, as {"als.factors": 64}, over the template.
        model: the model in force; None before the first night.
        held_until: a rollback holds the served edition until then.
        rules: by number, expired ones too; removed ones are gone.
        mapping: how its files look (schema/mapping.py); empty where they are in the universal form.
    """

    tenant: TenantId
    uid: str
    title: str
    timezone: str
    mode: Mode
    changes: Mapping[str, Any]
    model: int | None
    held_until: datetime | None
    rules: tuple[Rule, ...] = ()
    mapping: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it is kept: never the secret itself.

    Attributes:
        key_id: the public part, in front of the dot.
        tenant: None for an operator or auditor.
        digest: HMAC-SHA256 of the secret under the installation's pepper, hex.
        last_used_at: to the minute or so.
    """

    key_id: str
    tenant: TenantId | None
    role: Role
    label: str
    digest: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, once they have shown that they are.

    Attributes:
        actor: as the audit trail and the log name them: "key 0a1b2c3d4e5f", never a secret.
        tenant: the only one that exists for them; None: every one does.
    """

    actor: str
    tenant: TenantId | None
    role: Role


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what, when and why."""

    id: int
    """Its place among all lines of the installation; no tenant is told."""
    tenant: TenantId | None
    """Whose chain it is in; None for the installation's."""
    number: int
    """Its place in that chain, from 1."""
    at: datetime
    actor: str
    act: str
    detail: Mapping[str, Any]
    prev: str
    """The hash of the line before it."""
    hash: str

    def as_json(self) -> dict[str, Any]:
        """As its tenant may see it."""
        return {
            "tenant": self.tenant,
            "number": self.number,
            "at": self.at,
            "actor": self.actor,
            "act": self.act,
            "detail": dict(self.detail),
            "prev": self.prev,
            "hash": self.hash,
        }


@dataclass(frozen=True, slots=True)
class Chain:
    """What a check of one chain of the audit trail found."""

    tenant: str | None
    number: int
    """Of the newest line; 0 where there is none."""
    head: str
    """The newest line's hash."""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """What serving has to know to answer: who may ask, and what each tenant chose.

    Attributes:
        revision: grows with every change; equal revisions mean equal content.
    """

    revision: int
    tenants: Mapping[str, Tenant]
    keys: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one tenant's night; the fence tells it from every later one."""

    tenant: TenantId
    night: date
    fence: int
    feedback_until: datetime
    """Feedback that reached the ledger later waits for the next night, also when this one is
    repeated: it may well have occurred before (a spool delivers late)."""
    attempts: int = 0
    """How often this date's night has failed before."""


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model as the ledger remembers it, whether or not its files were kept."""

    number: int
    kind: str
    trained_through: date
    outcome: Outcome
    because: str


@dataclass(frozen=True, slots=True)
class NewEdition:
    """An edition as the ledger remembers it."""

    number: int
    model: int
    lists: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Realised:
    """One edition after the fact: what really happened beside what the gate had predicted.

    Attributes:
        night: in which it was scored.
        starts, ends: the days it was held against, [starts, ends).
        lists: "served" where NDCG and recall are those of the very lists; "model" where these had
            expired, and the model's own order stands for them; None where it was not scored.
        figures: see ``factory.realised.FIGURES``; None where it could not be scored.
        predicted: the same of the gate; None where it had not judged the model.
        flagged: a person should look; because: one sentence, shown as it stands.
    """

    edition: int
    model: int
    night: date
    starts: date
    ends: date
    lists: str | None
    figures: Mapping[str, Any] | None
    predicted: Mapping[str, Any] | None
    flagged: bool
    because: str

    def as_json(self) -> dict[str, Any]:
        """Flat: the realised figures by name, those of the gate under "predicted"."""
        return {
            "edition": self.edition,
            "model": self.model,
            "night": self.night.isoformat(),
            "starts": self.starts.isoformat(),
            "ends": self.ends.isoformat(),
            "lists": self.lists,
            **(self.figures or {}),
            "predicted": self.predicted,
            "flagged": self.flagged,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True)
class DayOutcomes:
    """What became of one edition's recommendations on one local day, as the screens told it.

    Attributes:
        day: of ``occurred_at``, in the tenant's time zone.
        edition: the one the events name; None for those that name none.
        bought: purchases from recommendations: events "purchased" that name the edition the
            product was shown from. A purchase that names none was sold without our help, and is
            not counted here.
        revenue: the sum of their ``value``, in the tenant's currency; a purchase told without one
            adds nothing to it and is counted in ``without_value``.
    """

    day: date
    edition: int | None
    shown: int = 0
    clicked: int = 0
    accepted: int = 0
    dismissed: int = 0
    bought: int = 0
    revenue: float = 0.0
    without_value: int = 0

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted per shown; None where nothing was told as shown."""
        return self.accepted / self.shown if self.shown else None

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "day": self.day.isoformat(),
            "acceptance_rate": self.acceptance_rate,
        }


@dataclass(frozen=True, slots=True)
class Left:
    """A tenant that left.

    Attributes:
        told: what there was of it and who removed it; after the deletion, the certificate.
    """

    tenant: TenantId
    uid: str
    left_at: datetime
    deleted_at: datetime | None
    told: Mapping[str, Any]


FORGOTTEN = (
    "customers",
    "interactions",
    "quarantine",
    "delivered_files",
    "feedback",
    "spool",
    "reports",
    "editions",
)
"""Where an erased customer is looked for; the words of a receipt (docs/erasure.md has each)."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt for one customer who was erased; it does not say who that was.

    Attributes:
        mark: a keyed hash of the customer's id (``storage.erased``).
        known: whether anything of that id was known: a slip of the pen finds nobody.
        removed: how much was found, by FORGOTTEN: rows, files, mentions or editions.
        returned_at: when somebody allowed the customer to come back.
    """

    tenant: TenantId
    receipt: int
    mark: str
    known: bool
    asked_by: str
    why: str
    asked_at: datetime
    removed: Mapping[str, int]
    finished_at: datetime | None = None
    returned_at: datetime | None = None

    @property
    def pending(self) -> tuple[str, ...]:
        return () if self.finished_at else FORGOTTEN

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "receipt": self.receipt,
            "state": "returned" if self.returned_at else "done" if self.finished_at else "pending",
            "known": self.known,
            "asked_by": self.asked_by,
            "why": self.why,
            "asked_at": self.asked_at,
            "done": ["lookups", "imports", "new feedback", *([] if self.pending else FORGOTTEN)],
            "pending": [*self.pending],
            "removed": dict(self.removed),
            "finished_at": self.finished_at,
            "returned_at": self.returned_at,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Hyper-parameters that a tenant's own data chose (factory/tune.py).

    Attributes:
        night: in which they were chosen; they hold until the next choice.
        changes: over the template, as {"als.factors": 64}; empty where it is as good as any.
        because: one sentence, shown to the tenant's admin as it stands.
        figures: what was tried and how it did, ready for JSON.
    """

    night: date
    changes: Mapping[str, Any]
    because: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a night came to, before it is recorded.

    Attributes:
        in_force: the model that is the incumbent from now on.
        figures: everything else worth keeping, ready for JSON.
        realised: a point to add to the series of what was served.
        choice: the hyper-parameters that hold from tonight on, where they were tuned.
    """

    outcome: Outcome
    because: str
    figures: Mapping[str, Any]
    models: tuple[NewModel, ...] = ()
    in_force: int | None = None
    edition: NewEdition | None = None
    realised: Realised | None = None
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class NightReport:
    """One night of one tenant, as recorded."""

    tenant: TenantId
    night: date
    state: str
    outcome: Outcome | None
    because: str
    published: bool
    edition: int | None
    model: int | None
    figures: Mapping[str, Any]
    started_at: datetime
    finished_at: datetime | None
    attempts: int = 0
    """How often it has failed."""

    @property
    def seconds(self) -> float:
        """Of work, over all stages."""
        return float(sum(self.figures.get("seconds", {}).values()))

    @property
    def likely_seconds(self) -> float:
        """What the next night may take: as this one, or as the one it had no need to repeat."""
        return self.seconds or float(self.figures.get("spared", 0))


class EditionRow(NamedTuple):
    """An edition on record."""

    edition: int
    model: int
    manifest_sha256: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """What the ledger knows of a tenant as its night begins.

    Attributes:
        choice: the hyper-parameters that tuning chose last.
        published: nights whose edition was served, newest first; a hundred outlast every horizon.
        series: what was served against what really happened, newest first.
        editions: every edition's number, model, manifest and time of publishing, newest first.
        model_taken, edition_taken: the highest numbers on record; 0 where there is none.
        heard: whether there is any feedback.
    """

    tenant: Tenant
    choice: Choice | None
    published: tuple[NightReport, ...]
    series: tuple[Realised, ...]
    editions: tuple[EditionRow, ...]
    model_taken: int
    edition_taken: int
    heard: bool
