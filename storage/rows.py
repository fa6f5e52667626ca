"""The ledger's tables. Every row but the installation's own carries its tenant."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from storage.database import Instant

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def _tenant(*, key: bool = True) -> Column[str]:
    return Column(
        "tenant", String(63), ForeignKey("tenants.tenant"), primary_key=key, nullable=False
    )


TENANTS = Table(
    "tenants",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("changes", JSON, nullable=False),
    Column("model", Integer),
    Column("held_until", Instant),
    Column("fence", _NUMBER, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("mapping", JSON(none_as_null=True)),
    Column("left_at", Instant),
    Column("deleted_at", Instant),
    Column("leaving", JSON(none_as_null=True)),
)
"""A tenant that left keeps its row for ever, emptied: its name is never given to another, whom its
audit trail would otherwise tell about it.
"""

REVISION = Table(
    "revision",
    METADATA,
    Column("one", Integer, primary_key=True),
    Column("number", _NUMBER, nullable=False),
)
"""One row; its number grows with every change that serving has to notice."""

KEYS = Table(
    "keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("tenant", String(63), ForeignKey("tenants.tenant")),
    Column("role", String(16), nullable=False),
    Column("label", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

KEY_USES = Table(
    "key_uses",
    METADATA,
    Column("key_id", String(32), ForeignKey("keys.key_id"), primary_key=True),
    Column("last_used_at", Instant, nullable=False),
)
"""Apart from the keys: it is written once a minute, and raises no revision."""

RULES = Table(
    "rules",
    METADATA,
    _tenant(),
    Column("rule", Integer, primary_key=True),
    Column("action", String(16), nullable=False),
    Column("product", String(128)),
    Column("category", Text),
    Column("value", Float),
    Column("why", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("removed_at", Instant),
)
"""A removed rule keeps its row, so that its number, which nights speak of, is never given again."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("tenant", String(63), index=True),
    Column("actor", Text, nullable=False),
    Column("act", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("number", _NUMBER, nullable=False),
    Column("prev", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
)
"""Triggers refuse to change or delete a line; no two lines can follow the same one (``prev``).

``number`` counts within one tenant's chain, ``id`` over all of them.
"""

BATCHES = Table(
    "batches",
    METADATA,
    _tenant(),
    Column("id", _NUMBER, primary_key=True),
    Column("batch", String(64), nullable=False),
    Column("imported_at", Instant, nullable=False),
    Column("report", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("files", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("profile", JSON, nullable=False),
    Column("settled_at", Instant),
)
"""Every delivery, in the order they came. ``settled_at``: when what waited for a person did no more."""

MARKS = Table(
    "marks",
    METADATA,
    _tenant(),
    Column("table_name", String(16), primary_key=True),
    Column("client", Text, nullable=False),
    Column("until", Instant, nullable=False),
)
"""How far a tenant's tables were read from the source."""

NIGHTS = Table(
    "nights",
    METADATA,
    _tenant(),
    Column("night", Date, primary_key=True),
    Column("state", String(8), nullable=False),
    Column("fence", _NUMBER, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", String(16)),
    Column("because", Text),
    Column("published", Boolean),
    Column("edition", Integer),
    Column("model", Integer),
    Column("figures", JSON),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("run", _NUMBER, primary_key=True, autoincrement=True),
    Column("begun_by", String(16), nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("summary", JSON, nullable=False),
)
"""Runs over many tenants' nights; ``whole``: over all that were due, not over some that were named."""

MODELS = Table(
    "models",
    METADATA,
    _tenant(),
    Column("model", Integer, primary_key=True),
    Column("night", Date, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("trained_through", Date, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("because", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

EDITIONS = Table(
    "editions",
    METADATA,
    _tenant(),
    Column("edition", Integer, primary_key=True),
    Column("night", Date, nullable=False),
    Column("model", Integer, nullable=False),
    Column("lists", Integer, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("published_at", Instant, nullable=False),
)

REALISED = Table(
    "realised",
    METADATA,
    _tenant(),
    Column("edition", Integer, primary_key=True),
    Column("starts", Date, primary_key=True),
    Column("ends", Date, nullable=False),
    Column("night", Date, nullable=False),
    Column("model", Integer, nullable=False),
    Column("lists", String(8)),
    Column("figures", JSON(none_as_null=True)),
    Column("predicted", JSON(none_as_null=True)),
    Column("flagged", Boolean, nullable=False),
    Column("because", Text, nullable=False),
)
"""What was served, after the fact: one point for each edition and the days it was held against."""

CHOICES = Table(
    "choices",
    METADATA,
    _tenant(),
    Column("night", Date, primary_key=True),
    Column("changes", JSON, nullable=False),
    Column("because", Text, nullable=False),
    Column("figures", JSON, nullable=False),
)
"""Hyper-parameters that a tenant's own data chose; the newest hold."""

FEEDBACK = Table(
    "feedback",
    METADATA,
    _tenant(),
    Column("event_id", String(128), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("customer_id", String(128), nullable=False),
    Column("product_id", String(128), nullable=False),
    Column("edition", Integer),
    Column("rank", Integer),
    Column("quantity", Float),
    Column("value", Float),
    Column("occurred_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
)

Index("ix_feedback_kind", FEEDBACK.c.tenant, FEEDBACK.c.kind, FEEDBACK.c.occurred_at)

BRAKES = Table(
    "brakes",
    METADATA,
    Column("brake", _NUMBER, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("wave", Integer, nullable=False),
    Column("sign", String(64), nullable=False),
    Column("because", Text, nullable=False),
    Column("released_at", Instant),
)
"""Each time the fleet was stopped (jobs/brake.py): the installation's, and about no single tenant."""

ERASURES = Table(
    "erasures",
    METADATA,
    _tenant(),
    Column("erasure", Integer, primary_key=True),
    Column("mark", String(32), nullable=False),
    Column("known", Boolean, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("removed", JSON, nullable=False),
    Column("finished_at", Instant),
    Column("returned_at", Instant),
)
"""Receipts; whom they are about is said by a keyed hash (``storage.erased``)."""
