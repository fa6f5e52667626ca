"""What a tenant may tune. The defaults are the template every tenant starts from.

The fleet's defaults stand under ``template`` in config.yaml; a tenant's own choices are kept in
the ledger and laid over them.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from schema.errors import Refused
from schema.names import Event

Feature = Literal[
    "als", "neighbours", "category", "segment",
    "share", "recent_share", "season_share", "newcomers", "season_newcomers", "sales", "unsold",
    "on_sale", "category_share", "category_recent_share",
    "visits", "recent_visits", "silence", "variety", "basket", "discoveries", "visit_due",
    "times", "age", "decayed_short", "decayed_middle", "decayed_long", "due",
]  # fmt: skip
"""What the blend goes by (factory/blend.py)."""


Matching = Literal["exact", "folded", "ask"]
"""Whether ids that differ only by case, Unicode form or blanks at their ends are one. ``ask``: the
tenant has not said; they stay apart, and a delivery that has such ids waits for a person."""

Duplicates = Literal["drop", "keep"]
"""What becomes of an interaction that equals one before it, in the same file, in every column."""


class _Settings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    pass


class WindowSettings(_Settings):
    """How past, teach and judge are cut out of the history (factory/windows.py)."""

    days: tuple[Annotated[int, Field(ge=1)], ...] = Field((7, 14, 28, 56, 91), min_length=1)
    """Lengths to choose from; the smallest that holds enough purchases is taken."""
    min_pairs: int = Field(200, ge=1)
    """Bought (customer, product) pairs a judge window must hold."""
    max_share: float = Field(0.2, gt=0, le=0.25)
    """Longest window, as a share of the whole history."""


class AlsSettings(_Settings):
    """Alternating least squares (factory/als.py)."""

    factors: int = Field(32, ge=1, le=512)
    iterations: int = Field(15, ge=1, le=200)
    """Of a fit from nothing."""
    continued_iterations: int = Field(2, ge=0, le=200)
    """Iterations that carry factors on: from window to window, and from the incumbent's."""
    regularization: float = Field(10.0, ge=1e-4)
    """Not scaled by the number of purchases; a floor, because 0 makes the solver fail."""
    alpha: float = Field(5.0, gt=0)
    """How fast confidence grows with the weight of what was seen."""
    memory: float = Field(6.0, gt=0)
    """An interaction weighs half as much after this many windows."""


class BlendSettings(_Settings):
    """The two logistic regressions over the features of a pair (factory/blend.py)."""

    teach_windows: int = Field(4, ge=1, le=12)
    """Past windows the coefficients are taught on, if the history is long enough."""
    window_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a teach window, relative to the one after it."""
    customers: int = Field(800, ge=10)
    """Customers whose pairs teach, a window."""
    sample: int = Field(20_000, ge=1_000)
    """Not-bought pairs drawn for teaching, a window; weighted back to their full number."""
    ridge: float = Field(40.0, gt=0)
    """Pull towards the template's coefficients, in pseudo-observations."""
    without: tuple[Feature, ...] = ()
    """Features the tenant is better off without."""


class TuningSettings(_Settings):
    """When and how long a tenant's own hyper-parameters are looked for (factory/tune.py)."""

    core_seconds: float = Field(3.0, ge=0)
    """Of computing, for one search; 0 leaves the template's."""
    every_days: int = Field(28, ge=1)
    """Search again after so long."""
    drop: float = Field(0.2, gt=0, le=1)
    """Search again, after a week at least, where NDCG@10 fell by this share since the choice."""


class GateSettings(_Settings):
    """When a challenger may take over (factory/gate.py)."""

    max_ndcg_drop: float = Field(0.05, ge=0, le=1)
    """Relative loss of NDCG@10 that stops a promotion, unless the interval says it is noise."""
    min_coverage_share: float = Field(0.5, ge=0, le=1)
    """Products on the first ten places, against the incumbent's: below this the lists collapsed."""
    max_top_share: float = Field(0.9, gt=0, le=1)
    """Share of customers shown the same product first, where the incumbent stays below it."""
    too_good: float = Field(0.5, gt=0, le=1)
    """Relative gain in MSE over the incumbent that looks like a leak: held for a person."""
    too_good_ndcg: float = Field(0.3, gt=0, le=1)
    """The same for NDCG@10: the share of what the incumbent's lacks to 1."""


class RealisedSettings(_Settings):
    """When what really happened is a case for a person (factory/realised.py)."""

    max_rmse: float = Field(0.25, gt=0, le=1)
    """Realised RMSE above it is flagged, whatever was predicted."""
    first_band: float = Field(1.2, gt=1)
    """Factor up or down from the foreseen RMSE that is flagged, until there is a history."""
    least_history: int = Field(8, ge=3)
    """Points of the series from which on the tenant's own spread makes the band."""
    deviations: float = Field(5.0, gt=0)
    """Half width of that band, in robust standard deviations."""
    narrowest: float = Field(1.02, gt=1)
    """Smallest factor that a band may come to."""


class ListSettings(_Settings):
    """What a customer's list holds (factory/rank.py)."""

    length: int = Field(50, ge=1, le=1000)
    at_least_new: int = Field(20, ge=0)
    """Products the customer never bought, so that "only new" stays full."""
    at_least_bought: int = Field(20, ge=0)
    """Products the customer bought before, so that "only bought" stays full."""
    bought_before: Literal["auto", "include", "exclude"] = "auto"
    """What a lookup does with them unless it says so itself; auto: by how often customers buy the
    same again (factory/repeat.py)."""

    @model_validator(mode="after")
    def _holds_both(self) -> Self:
        if self.at_least_new + self.at_least_bought > self.length:
            raise ValueError("at_least_new and at_least_bought do not fit into length together")
        return self


class HoldSettings(_Settings):
    """When a delivery waits for a person (factory/drift.py).

    What is a share or a factor also has a floor in rows or ids, so that a small tenant, whose
    figures jump by themselves, is not held every week.
    """

    days: int = Field(28, ge=7, le=400)
    """Deliveries of so many days are what a new one is held against."""
    least_rows: int = Field(200, ge=0)
    """Where it is about fewer rows than this, too many or too few, nothing holds a delivery …"""
    least_ids: int = Field(10, ge=0)
    """… nor fewer customers or products."""
    late_days: int = Field(1, ge=0)
    """A delivery that adds may end so many days before the newest day that is there."""
    duplicates_share: float = Field(0.3, gt=0, le=1)
    """Rows that came before, in the same delivery or in an earlier one."""
    unknown_share: float = Field(0.2, gt=0, le=1)
    """Rows that name an unknown customer or product."""
    customer_share: float = Field(0.05, gt=0, le=1)
    """Rows of a single customer; more where there are few customers, or where it is usual."""
    shrink_share: float = Field(0.3, gt=0, le=1)
    """Customers or products that are gone at once."""
    shared_share: float = Field(0.5, gt=0, le=1)
    """Ids in force before that have to be there again, and mean the same."""
    volume_factor: float = Field(3.0, gt=1)
    """Rows a day, up or down."""
    spread_factor: float = Field(10.0, gt=1)
    """Quantities or values: as much alike, or as much larger or smaller, as this."""
    waiting: int = Field(7, ge=1)
    """Deliveries that wait at once; the oldest stay, further ones are refused."""


class IntakeSettings(_Settings):
    """What a delivery may be (jobs/intake.py)."""

    refuse_above_share: float = Field(0.01, ge=0, le=1)
    """A file with a larger share of rows that do not fit is refused whole …"""
    refuse_above_rows: int = Field(20, ge=0)
    """… unless there are no more than this many of them."""
    max_file_bytes: int = Field(4 * 2**30, ge=1)
    """Of one file, as it is delivered."""
    max_unpacked_bytes: int = Field(16 * 2**30, ge=1)
    """Of one file, unpacked; stopped there, whatever the file says of itself."""
    max_unpacked_ratio: float = Field(200.0, ge=1)
    """Unpacked bytes to delivered ones; counts from 64 MiB of unpacked ones on."""
    max_rows: int = Field(50_000_000, ge=1)
    """Of one file."""
    expected_hours: float = Field(0, ge=0)
    """A delivery is due so long after the last good one; 0: nobody waits for any."""
    max_customers: int = Field(2_000_000, ge=1)
    max_products: int = Field(2_000_000, ge=1)
    ids: Matching = "ask"
    """After a change to ``folded``, send the history again: what was accepted keeps its ids."""
    duplicates: Duplicates = "drop"
    """``keep`` is for shops whose repeated lines are quantities."""
    holds: HoldSettings = HoldSettings()


class SourceSettings(_Settings):
    """Who the tenant is in SalesCore's own database (jobs/pull.py)."""

    client: str = ""
    """Its id there, each tenant's own; empty: nothing is read from there."""

    @field_validator("client", mode="before")
    @classmethod
    def _id(cls, value: object) -> object:
        """`source.client=42` arrives as a number; 42.0 and 1e5 are no ids, and stay refused."""
        return str(value) if type(value) is int else value


class TenantSettings(_Settings):
    """Everything one tenant may tune."""

    intake: IntakeSettings = IntakeSettings()
    source: SourceSettings = SourceSettings()
    windows: WindowSettings = WindowSettings()
    als: AlsSettings = AlsSettings()
    blend: BlendSettings = BlendSettings()
    tuning: TuningSettings = TuningSettings()
    gate: GateSettings = GateSettings()
    realised: RealisedSettings = RealisedSettings()
    lists: ListSettings = ListSettings()
    bought_events: tuple[Event, ...] = Field((Event.PURCHASE, Event.RATING), min_length=1)
    """Events that count as "bought": what the model predicts."""
    interest_weights: dict[Event, Annotated[float, Field(gt=0, le=1)]] = {
        Event.VIEW: 0.05,
        Event.CLICK: 0.1,
        Event.ADD_TO_CART: 0.3,
    }
    """What other events add to a customer's taste, where a purchase adds 1."""
    frozen_lists: Literal["keep", "rerank"] = "keep"
    unchanged: Literal["keep", "retrain"] = "keep"
    """While frozen: keep the edition as it is, or re-rank with the frozen model."""
    value: float = Field(0, ge=0)
    """What the tenant's night is worth beside others', when there is not time for all
    (jobs/deadline.py); 0: how many customers have lists."""
    seed: int = Field(0, ge=0, lt=2**31)


def with_changes(settings: TenantSettings, changes: dict[str, Any]) -> TenantSettings:
    """Lay a tenant's own choices, as {"als.factors": 64}, over the settings.

    Raises:
        Refused: an unknown name or a value out of range; every fault is named.
    """
    if not changes:  # most of a fleet
        return settings
    tree = settings.model_dump()
    for name, value in changes.items():
        *path, last = name.split(".")
        branch = tree
        for step in path:
            branch = branch.get(step, {})
            if not isinstance(branch, dict):
                raise _unknown(name)
        if last not in branch:
            raise _unknown(name)
        both_groups = isinstance(branch[last], dict) and isinstance(value, dict)
        branch[last] = {**branch[last], **value} if both_groups else value
    try:
        return TenantSettings.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise Refused(
            f"these settings do not hold: {faults}", "correct the values", code="SETTINGS"
        ) from error


def _unknown(name: str) -> Refused:
    return Refused(
        f"there is no setting {name[:80]!r}",
        "see `recfactory tenant show TENANT` for all of them",
        code="SETTINGS",
    )
