"""The words of the product, one meaning each (the table is in README, "Words")."""

import re
from enum import StrEnum
from typing import NewType

from schema.errors import Refused

TenantId = NewType("TenantId", str)
"""A tenant's name as it appears in paths and logs; never a folder name on disk."""

CustomerId = NewType("CustomerId", str)
ProductId = NewType("ProductId", str)

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


def tenant_id(text: str) -> TenantId:
    """Read a tenant's name: 1 to 63 of a-z, 0-9 and "-", not starting with "-".

    Raises:
        Refused: anything else. One spelling only, so that no two names look alike.
    """
    if not _TENANT.match(text):
        raise Refused(
            f"{text[:80]!r} cannot be a tenant's name",
            "use 1 to 63 lower-case letters, digits and hyphens, starting with a letter or digit",
            code="TENANT_NAME",
        )
    return TenantId(text)


class Mode(StrEnum):
    """The tenant's own switch."""

    ON = "on"
    """Train, judge, maybe promote, publish."""
    FREEZE = "freeze"
    """Keep the model and the published edition exactly as they are."""
    OFF = "off"
    """Compute nothing, show nothing, delete nothing."""


class Again(StrEnum):
    """When a night that failed is tried again by itself; `recfactory night` does at any time."""

    SOON = "soon"
    """By a wave, after a pause."""
    DATA = "data"
    """By the first wave after other data came: on these it would fail again."""
    BY_HAND = "by_hand"
    """Never: it was given up."""


class Stage(StrEnum):
    """Where in a tenant's night (or day) something happened."""

    IMPORT = "import"
    VALIDATE = "validate"
    REALISED = "realised"
    TUNE = "tune"
    TRAIN = "train"
    JUDGE = "judge"
    GATE = "gate"
    RANK = "rank"
    PUBLISH = "publish"
    UPKEEP = "upkeep"


class Outcome(StrEnum):
    """What a night decided about the model; the word in every verdict."""

    PROMOTED = "promoted"
    """The challenger beat the incumbent and took over."""
    REJECTED = "rejected"
    """The incumbent stays; its lists were still refreshed."""
    HELD = "held"
    """A person has to look (too good to be true); the incumbent stays."""
    TOO_SMALL = "too_small"
    """Too few purchases to judge anything; the baseline serves."""
    UNCHANGED = "unchanged"
    """Nothing came since the lists in force were made: they stay."""
    FROZEN = "frozen"
    """The tenant's admin froze it: nothing was trained or judged."""
    OFF = "off"
    """The tenant's admin turned it off: nothing was computed."""
    FAILED = "failed"
    """Something went wrong; what was served stays served."""


class Delivered(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"
    """It counts from the next night on."""
    UNCHANGED = "unchanged"
    """The same files as before: nothing to do."""
    HELD = "held"
    """It waits for a person, kept aside as it came; nothing of it counts."""
    RELEASED = "released"
    """It was held, and counts since a person said so."""
    DISCARDED = "discarded"
    """It was held, and was removed when a person said so."""
    REFUSED = "refused"
    """It cannot be used, and was not kept."""


class Event(StrEnum):
    """What kind of interaction."""

    VIEW = "view"
    CLICK = "click"
    ADD_TO_CART = "add_to_cart"
    PURCHASE = "purchase"
    RETURN = "return"
    RATING = "rating"


class FeedbackKind(StrEnum):
    """What became of a recommendation."""

    SHOWN = "shown"
    CLICKED = "clicked"
    ACCEPTED = "accepted"
    DISMISSED = "dismissed"
    PURCHASED = "purchased"


class Status(StrEnum):
    """Whether a product can be sold now."""

    SELLABLE = "sellable"
    OUT_OF_STOCK = "out_of_stock"
    DISCONTINUED = "discontinued"


class CustomerStatus(StrEnum):
    """Whether a customer is still one."""

    ACTIVE = "active"
    CLOSED = "closed"


class Role(StrEnum):
    """What an API key may do. A key of a tenant sees that tenant only."""

    SELLER = "seller"
    """Look recommendations up, give feedback."""
    ADMIN = "admin"
    """Also: mode, nights, models, editions, rollback of the same tenant."""
    AUDITOR = "auditor"
    """Every tenant's record, to read; no customer's list, and nothing to change."""
    OPERATOR = "operator"
    """Every tenant, and the fleet."""


class Action(StrEnum):
    """What a tenant's rule does to the products it is about."""

    EXCLUDE = "exclude"
    """They are never shown."""
    PIN = "pin"
    """They stand first: the product itself, or a customer's best few of a category."""
    BOOST = "boost"
    """Their odds are multiplied by a number above 1, for the order only."""
    BURY = "bury"
    """Their odds are multiplied by a number below 1, for the order only."""
    MIN_PRICE = "min_price"
    """Those that are cheaper are not shown."""
    MIN_MARGIN = "min_margin"
    """Those whose (price - cost) / price is lower are not shown."""
    MAX_PER_CATEGORY = "max_per_category"
    """An answer holds at most so many of one category."""


class Bought(StrEnum):
    """What a lookup does with products the customer bought before."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    ONLY = "only"


class Reason(StrEnum):
    """Why a product is on a list."""

    REORDER = "reorder"
    SIMILAR = "similar"
    POPULAR = "popular"
    SEGMENT = "segment"


class Source(StrEnum):
    """Whose list an answer shows."""

    PERSONAL = "personal"
    POPULAR = "popular"
