"""Nights, models and editions in the ledger: who may run, what came of it, what is in force.

Exactly one effective night per tenant and business date: a lease with a fencing token is taken at
the start, and checked again in the transaction that publishes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from schema.errors import NotThere, Problem, Refused
from schema.names import Mode, Outcome, TenantId
from schema.records import (
    Before,
    Choice,
    Conclusion,
    EditionRow,
    Lease,
    NewEdition,
    NewModel,
    NightReport,
    Realised,
    Tenant,
)
from storage.audit import note
from storage.database import lease_time, patiently, reading
from storage.ledger import all_locked, every, locked, no_tenant
from storage.rows import CHOICES, EDITIONS, FEEDBACK, MODELS, NIGHTS, REALISED, TENANTS

_POINTERS = 8
"""Pointers swapped at once: each waits for the disk, and no tenant's waits for another's."""

RUNNING, DONE = "running", "done"

_PUBLISHED = 100
"""Published nights a night looks back on: they outlast every horizon."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a night came to, and how it is published: see ``Nights.conclude``."""

    lease: Lease
    conclusion: Conclusion
    point: Callable[[NewEdition], None] | None
    allowed: Callable[[Mode], bool]


class Nights:
    """The night's part of the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self,
        tenant: TenantId,
        night: date,
        *,
        owner: str,
        alive: Callable[[str], bool],
        now: datetime,
        lease: timedelta,
    ) -> Lease | NightReport:
        """Take the lease of one tenant's night.

        Args:
            owner: names this process; alive: tells whether another owner still runs.

        Returns:
            A lease; or the report, if the night was done before and has nothing left to do.

        Raises:
            Problem: somebody else is at it (``NIGHT_RUNNING``).
            Refused: a later night was done already (``NIGHT_PAST``): time only goes forward.
        """
        [begun] = self.begin_all([(tenant, night)], owner=owner, alive=alive, now=now, lease=lease)
        if isinstance(begun, Problem):
            raise begun
        return begun

    def begin_all(
        self,
        asks: Sequence[tuple[TenantId, date]],
        *,
        owner: str,
        alive: Callable[[str], bool],
        now: datetime,
        lease: timedelta,
    ) -> list[Lease | NightReport | Problem]:
        """Take the leases of many tenants' nights in one transaction: as ``begin``, in their order.

        Args:
            asks: (tenant, night); every tenant once.
        """
        return patiently(self._engine, lambda: self._begun(asks, owner, alive, now, lease))

    def _begun(
        self,
        asks: Sequence[tuple[TenantId, date]],
        owner: str,
        alive: Callable[[str], bool],
        now: datetime,
        lease: timedelta,
    ) -> list[Lease | NightReport | Problem]:
        names = [tenant for tenant, _ in asks]
        with self._engine.begin() as connection:
            known = all_locked(connection, names)
            clock = lease_time(connection, now)
            rows = _rows_of(connection, asks)
            later = _latest_published(connection, names)
            mine = {ask for ask, row in rows.items() if _same_begin(row, owner, now)}
            refusals = {
                tenant: None
                if (tenant, night) in mine
                else _not_now(
                    tenant, night, known.get(tenant), rows.get((tenant, night)), later, alive, clock
                )
                for tenant, night in asks
            }
            granted = [ask for ask in asks if refusals[ask[0]] is None]
            fences = _raise_fences(connection, [tenant for tenant, _ in granted])
            leases = {}
            fresh: list[dict[str, Any]] = []
            again: list[dict[str, Any]] = []
            for tenant, night in granted:
                row = rows.get((tenant, night))
                mark = _feedback_until(row) or now
                failed = row.attempts if row else 0
                leases[tenant] = Lease(tenant, night, fences[tenant], mark, failed)
                values = _running(leases[tenant], owner, now, clock + lease)
                (again if row else fresh).append(values)
            if fresh:
                connection.execute(insert(NIGHTS), fresh)
            _update_nights(connection, again)
        return [refusals[tenant] or leases[tenant] for tenant in names]

    def before(self, names: Sequence[TenantId]) -> dict[TenantId, Before]:
        """What a night has to know of each tenant; a handful of queries, however many they are."""
        return patiently(self._engine, lambda: self._before(names))

    def _before(self, names: Sequence[TenantId]) -> dict[TenantId, Before]:
        with reading(self._engine) as connection:
            known, heard = every(connection, names), _heard(connection, names)
            found = {
                table: _by_tenant(connection, query)
                for table, query in (
                    (CHOICES, _newest(CHOICES, CHOICES.c.night, names, 1)),
                    (
                        NIGHTS,
                        _newest(NIGHTS, NIGHTS.c.night, names, _PUBLISHED, NIGHTS.c.published),
                    ),
                    (REALISED, _series(names)),
                    (EDITIONS, _newest(EDITIONS, EDITIONS.c.edition, names)),
                    (MODELS, _newest(MODELS, MODELS.c.model, names, 1)),
                )
            }
        return {
            tenant: Before(
                tenant=known[tenant],
                choice=next(map(_choice, found[CHOICES].get(tenant, ())), None),
                published=tuple(map(_report, found[NIGHTS].get(tenant, ()))),
                series=tuple(map(_realised, found[REALISED].get(tenant, ()))),
                editions=tuple(
                    EditionRow(row.edition, row.model, row.manifest_sha256, row.published_at)
                    for row in found[EDITIONS].get(tenant, ())
                ),
                model_taken=next((row.model for row in found[MODELS].get(tenant, ())), 0),
                edition_taken=next((row.edition for row in found[EDITIONS].get(tenant, ())), 0),
                heard=tenant in heard,
            )
            for tenant in names
            if tenant in known
        }

    def conclude(
        self,
        lease: Lease,
        conclusion: Conclusion,
        point: Callable[[NewEdition], None] | None,
        *,
        allowed: Callable[[Mode], bool],
        now: datetime,
    ) -> NightReport:
        """Record what a night came to and, in the same breath, publish its edition.

        The pointer on disk is swapped while the tenant's row is locked: a mode or a rollback that
        was acknowledged before is seen here, one that comes later finds the new edition.

        Args:
            point: makes the edition the one that is served; left out while a rollback holds.
            allowed: whether a mode lets this night's work stand; read again under the lock.

        Raises:
            Problem: a newer night or a rollback has taken over (``FENCED``).
        """
        end = Ending(lease, conclusion, point, allowed)
        [report] = self.conclude_all([end], now=now)
        if isinstance(report, Exception):
            raise report
        return report

    def conclude_all(
        self, endings: Sequence[Ending], *, now: datetime
    ) -> list[NightReport | Exception]:
        """Record what many nights came to in one transaction: as ``conclude``, in their order.

        What goes wrong with one of them undoes that one, and is returned in its place. Done again
        it changes nothing: so it is, where the ledger was away or took its commit without a word.

        Args:
            endings: of every tenant one.

        Raises:
            LedgerAway: for so long that waiting was given up.
        """
        try:
            return patiently(self._engine, lambda: self._concluded(endings, now))
        except SQLAlchemyError as error:  # one of them cannot be recorded, which undid them all
            if len(endings) == 1:
                return [error]
            return [self.conclude_all([ending], now=now)[0] for ending in endings]

    def _concluded(self, endings: Sequence[Ending], now: datetime) -> list[NightReport | Exception]:
        names = [ending.lease.tenant for ending in endings]
        asks = [(ending.lease.tenant, ending.lease.night) for ending in endings]
        with self._engine.begin() as connection:
            known, fences = all_locked(connection, names), _fences(connection, names)
            rows = _rows_of(connection, asks)

            def published(ending: Ending) -> _Entry | Exception | None:
                """None where it was recorded before, and word of it was lost."""
                name, night = ending.lease.tenant, ending.lease.night
                row = rows.get((name, night))
                try:
                    if row is None:
                        raise no_tenant(name)
                    if row.state == DONE and row.fence == ending.lease.fence:
                        return None
                    return _published(ending, known[name], fences[name], now)
                except Exception as error:
                    return error

            with ThreadPoolExecutor(_POINTERS) as pool:
                side_by_side = pool.map if len(endings) > 1 else map
                made = [*side_by_side(published, endings)]
            _record(connection, [entry for entry in made if isinstance(entry, _Entry)], now)
            rows = _rows_of(connection, asks)
        return [
            entry if isinstance(entry, Exception) else _report(rows[ask])
            for ask, entry in zip(asks, made, strict=True)
        ]

    def extend(self, leases: Sequence[Lease], lease: timedelta, *, now: datetime) -> None:
        """Keep the leases of nights that wait for their turn; one that was taken over stays lost."""
        held = [(one.tenant, one.night, one.fence) for one in leases]
        columns = tuple_(NIGHTS.c.tenant, NIGHTS.c.night, NIGHTS.c.fence)
        query = update(NIGHTS).where(columns.in_(held), NIGHTS.c.state == RUNNING)

        def extended() -> None:
            with self._engine.begin() as connection:
                all_locked(connection, [one.tenant for one in leases])  # in the one order
                until = lease_time(connection, now) + lease
                connection.execute(query.values(lease_until=until))

        if held:
            patiently(self._engine, extended)

    def activate(
        self,
        tenant: TenantId,
        number: int,
        point: Callable[[Row[Any], int], None],
        *,
        hold: timedelta,
        by: str,
        why: str,
        now: datetime,
    ) -> None:
        """Go back (or forward) to an edition; its model is in force again, and the hold begins.

        Args:
            point: makes the edition (its row, the new fence) the one that is served.

        Raises:
            NotThere: the tenant has no such edition.
        """
        with self._engine.begin() as connection:
            locked(connection, tenant)
            row = connection.execute(
                select(EDITIONS).where(EDITIONS.c.tenant == tenant, EDITIONS.c.edition == number)
            ).first()
            if row is None:
                raise NotThere(
                    f"there is no edition {number}",
                    f"see `recfactory edition list {tenant}`",
                    code="NO_EDITION",
                )
            fence = _raise_fence(connection, tenant)
            point(row, fence)
            connection.execute(
                update(TENANTS)
                .where(TENANTS.c.tenant == tenant)
                .values(model=row.model, held_until=now + hold)
            )
            detail = {"edition": number, "model": row.model, "why": why}
            note(connection, tenant, by, "activate", detail, now)

    def resealed(self, tenant: TenantId, old: int, new: NewEdition) -> None:
        """Note an edition that is another one without somebody: of the same night, made as early."""
        with self._engine.begin() as connection:
            locked(connection, tenant)
            here = (EDITIONS.c.tenant == tenant, EDITIONS.c.edition == old)
            row = connection.execute(select(EDITIONS).where(*here)).one()
            told = {**row._mapping, "edition": new.number, "lists": new.lists}
            told["manifest_sha256"] = new.manifest_sha256
            connection.execute(insert(EDITIONS).values(told))
            connection.execute(
                update(NIGHTS)
                .where(NIGHTS.c.tenant == tenant, NIGHTS.c.edition == old)
                .values(edition=new.number)
            )

    def undisturbed(self, tenant: TenantId, act: Callable[[], None]) -> None:
        """Do something while no night and nobody else publishes for the tenant."""
        with self._engine.begin() as connection:
            locked(connection, tenant)
            act()

    def unless_overtaken(self, lease: Lease, act: Callable[[], None]) -> None:
        """Do something about what a night left, unless anything has begun since."""
        with self._engine.begin() as connection:
            locked(connection, lease.tenant)
            if _fences(connection, [lease.tenant])[lease.tenant] == lease.fence:
                act()

    def running(self, tenant: TenantId, alive: Callable[[str], bool], now: datetime) -> bool:
        """Whether a night of the tenant is at work; one whose process is gone is not."""
        query = select(NIGHTS).where(NIGHTS.c.tenant == tenant, NIGHTS.c.state == RUNNING)
        with reading(self._engine) as connection:
            clock, rows = lease_time(connection, now), connection.execute(query).all()
        return any(row.lease_until > clock and alive(row.owner) for row in rows)

    def promote(
        self,
        tenant: TenantId,
        number: int,
        check: Callable[[], None],
        *,
        by: str,
        why: str,
        now: datetime,
    ) -> None:
        """Put a held model in force, on a person's word; the next night judges and ranks with it.

        A night that is running is overtaken: it began with the model before.

        Args:
            check: raises where the model's files cannot be used.

        Raises:
            NotThere, Refused: it is not a held model that is newer than the one in force, or the
                tenant is not on.
        """
        with self._engine.begin() as connection:
            was = _waiting(connection, tenant, number)
            check()
            _raise_fence(connection, tenant)
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(model=number)
            )
            note(
                connection,
                tenant,
                by,
                "promote",
                {"model": number, "was": was.model, "why": why},
                now,
            )

    def discard(
        self,
        tenant: TenantId,
        number: int,
        remove: Callable[[], None],
        *,
        by: str,
        why: str,
        now: datetime,
    ) -> None:
        """Give up a held model, on a person's word; its verdict stays.

        Args:
            remove: throws the model's files away.

        Raises:
            NotThere, Refused: as ``promote``; or an edition was ranked with it (``MODEL_USED``).
        """
        with self._engine.begin() as connection:
            _waiting(connection, tenant, number)
            _refuse_used(connection, tenant, number)
            remove()
            note(connection, tenant, by, "discard", {"model": number, "why": why}, now)

    def night(self, tenant: TenantId, night: date) -> NightReport | None:
        """The night of one date; None where there was none."""
        for row in self._rows(_of_night(tenant, night)):
            return _report(row)
        return None

    def nights(self, tenant: TenantId, limit: int = 60) -> list[NightReport]:
        """A tenant's nights, newest first."""
        query = (
            select(NIGHTS)
            .where(NIGHTS.c.tenant == tenant)
            .order_by(NIGHTS.c.night.desc())
            .limit(limit)
        )
        return [_report(row) for row in self._rows(query)]

    def published(self, tenant: TenantId, limit: int = 100) -> list[NightReport]:
        """The nights whose edition was served, newest first; a hundred outlast every horizon."""
        query = (
            select(NIGHTS)
            .where(NIGHTS.c.tenant == tenant, NIGHTS.c.published)
            .order_by(NIGHTS.c.night.desc())
            .limit(limit)
        )
        return [_report(row) for row in self._rows(query)]

    def realised(self, tenant: TenantId) -> list[Realised]:
        """The series of what was served against what really happened, newest first."""
        return [_realised(row) for row in self._rows(_series([tenant]))]

    def choices(self, tenant: TenantId) -> list[Choice]:
        """The hyper-parameters chosen for a tenant, newest first: the first one holds."""
        query = select(CHOICES).where(CHOICES.c.tenant == tenant).order_by(CHOICES.c.night.desc())
        return [_choice(row) for row in self._rows(query)]

    def last_nights(self) -> dict[TenantId, NightReport]:
        """Every tenant's newest night; tenants without one are left out."""
        newest = (
            select(NIGHTS.c.tenant, func.max(NIGHTS.c.night).label("night"))
            .group_by(NIGHTS.c.tenant)
            .subquery()
        )
        query = select(NIGHTS).join(
            newest, (NIGHTS.c.tenant == newest.c.tenant) & (NIGHTS.c.night == newest.c.night)
        )
        return {TenantId(row.tenant): _report(row) for row in self._rows(query)}

    def outcomes(self) -> dict[str, int]:
        """How many tenants' newest night came to what; one that is running counts by its state."""
        newest = select(NIGHTS.c.tenant, func.max(NIGHTS.c.night).label("night"))
        last = newest.group_by(NIGHTS.c.tenant).subquery()
        word = func.coalesce(NIGHTS.c.outcome, NIGHTS.c.state).label("word")
        query = (
            select(word, func.count().label("tenants"))
            .join(last, (NIGHTS.c.tenant == last.c.tenant) & (NIGHTS.c.night == last.c.night))
            .group_by(word)
        )
        return {row.word: row.tenants for row in self._rows(query)}

    def models(self, tenant: TenantId) -> list[dict[str, Any]]:
        """A tenant's models, newest first, with the verdict each got."""
        rows = self._listed(MODELS, tenant, MODELS.c.model)
        return [{**row, "verdict": row.pop("outcome")} for row in rows]

    def model(self, tenant: TenantId, number: int | None) -> dict[str, Any]:
        """One model with the verdict it got, as in ``models``.

        Raises:
            NotThere: the tenant has no such model.
        """
        for row in self.models(tenant):
            if row["model"] == number:
                return row
        raise no_model(tenant, number)

    def editions(self, tenant: TenantId) -> list[dict[str, Any]]:
        """A tenant's editions, newest first."""
        return self._listed(EDITIONS, tenant, EDITIONS.c.edition)

    def _listed(self, table: Any, tenant: TenantId, order: Any) -> list[dict[str, Any]]:
        query = select(table).where(table.c.tenant == tenant).order_by(order.desc())
        return [dict(row._mapping) for row in self._rows(query)]

    def _rows(self, query: Any) -> Iterable[Row[Any]]:
        with reading(self._engine) as connection:
            return connection.execute(query).all()


def _is(tenant: TenantId, night: date) -> tuple[Any, Any]:
    return NIGHTS.c.tenant == tenant, NIGHTS.c.night == night


def _of_night(tenant: TenantId, night: date) -> Any:
    return select(NIGHTS).where(*_is(tenant, night))


def _again(row: Row[Any], tenant: Tenant) -> bool:
    """A night that failed, or that a mode prevented which has changed since, may run again."""
    prevented = {Outcome.FROZEN.value: Mode.FREEZE, Outcome.OFF.value: Mode.OFF}
    if row.outcome in prevented:
        return tenant.mode is not prevented[row.outcome]
    return bool(row.outcome == Outcome.FAILED.value)


def _not_now(
    tenant: TenantId,
    night: date,
    known: Tenant | None,
    row: Row[Any] | None,
    later: Mapping[str, date],
    alive: Callable[[str], bool],
    now: datetime,
) -> NightReport | Problem | None:
    """Why a lease is not given: it was done, or must not be done now; None where it is given."""
    if known is None:
        return no_tenant(tenant)
    if row is not None and row.state == DONE and not _again(row, known):
        return _report(row)
    if row is not None and row.state == RUNNING and row.lease_until > now and alive(row.owner):
        return Problem(
            f"the night of {night} is running since {row.started_at:%H:%M} UTC ({row.owner})",
            "wait for it; it is taken over when its process is gone",
            code="NIGHT_RUNNING",
        )
    if tenant in later and later[tenant] > night:
        return Refused(
            f"the night of {later[tenant]} was done already, {night} is before it",
            "replay history in a home of its own (RECFACTORY_HOME)",
            code="NIGHT_PAST",
        )
    return None


def _running(lease: Lease, owner: str, now: datetime, until: datetime) -> dict[str, Any]:
    """The row of a night that begins, or begins again."""
    return {
        "tenant": lease.tenant,
        "night": lease.night,
        "state": RUNNING,
        "fence": lease.fence,
        "owner": owner,
        "lease_until": until,
        "attempts": lease.attempts,
        "started_at": now,
        "finished_at": None,
        "outcome": None,
        "because": None,
        "published": None,
        "edition": None,
        "model": None,
        "figures": {"feedback_until": lease.feedback_until.isoformat()},
    }


def _heard(connection: Connection, names: Sequence[TenantId]) -> set[str]:
    """Those who gave any feedback at all; a look at the first line of each."""
    any_line = exists().where(FEEDBACK.c.tenant == TENANTS.c.tenant)
    query = select(TENANTS.c.tenant).where(TENANTS.c.tenant.in_(names), any_line)
    return {row.tenant for row in connection.execute(query)}


def _same_begin(row: Row[Any], owner: str, now: datetime) -> bool:
    """Whether this very begin was recorded before, and only word of it was lost."""
    return bool(row.state == RUNNING and row.owner == owner and row.started_at == now)


def _rows_of(
    connection: Connection, asks: Sequence[tuple[TenantId, date]]
) -> dict[tuple[TenantId, date], Row[Any]]:
    """The rows of these nights; a night that was never begun has none."""
    query = select(NIGHTS).where(tuple_(NIGHTS.c.tenant, NIGHTS.c.night).in_(asks))
    return {(TenantId(row.tenant), row.night): row for row in connection.execute(query)}


def _update_nights(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write these columns of many nights; every row has the same ones."""
    named = [{**row, "of_tenant": row["tenant"], "of_night": row["night"]} for row in rows]
    if named:
        its = NIGHTS.c.tenant == bindparam("of_tenant"), NIGHTS.c.night == bindparam("of_night")
        connection.execute(update(NIGHTS).where(*its), named)


def _latest_published(connection: Connection, names: Sequence[TenantId]) -> dict[str, date]:
    """By tenant, its newest night that made an edition."""
    query = (
        select(NIGHTS.c.tenant, func.max(NIGHTS.c.night).label("night"))
        .where(NIGHTS.c.tenant.in_(names), NIGHTS.c.edition.is_not(None))
        .group_by(NIGHTS.c.tenant)
    )
    return {row.tenant: row.night for row in connection.execute(query)}


def _raise_fences(connection: Connection, names: Sequence[TenantId]) -> dict[str, int]:
    connection.execute(
        update(TENANTS).where(TENANTS.c.tenant.in_(names)).values(fence=TENANTS.c.fence + 1)
    )
    return _fences(connection, names)


def _fences(connection: Connection, names: Sequence[TenantId]) -> dict[str, int]:
    query = select(TENANTS.c.tenant, TENANTS.c.fence).where(TENANTS.c.tenant.in_(names))
    return {row.tenant: row.fence for row in connection.execute(query)}


def _newest(
    table: Table,
    order: Column[Any],
    names: Sequence[TenantId],
    most: int | None = None,
    *where: Any,
) -> Any:
    """Rows of these tenants, newest first; of each at most so many."""
    rows = select(table).where(table.c.tenant.in_(names), *where)
    if most is None:
        return rows.order_by(order.desc())
    place = func.row_number().over(partition_by=table.c.tenant, order_by=order.desc())
    ranked = rows.add_columns(place.label("place")).subquery()
    return select(ranked).where(ranked.c.place <= most).order_by(ranked.c.place)


def _series(names: Sequence[TenantId]) -> Any:
    return (
        select(REALISED)
        .where(REALISED.c.tenant.in_(names))
        .order_by(REALISED.c.night.desc(), REALISED.c.starts.desc())
    )


def _by_tenant(connection: Connection, query: Any) -> dict[str, list[Row[Any]]]:
    rows: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.tenant, []).append(row)
    return rows


def _realised(row: Row[Any]) -> Realised:
    return Realised(**{name: getattr(row, name) for name in Realised.__slots__})


def _choice(row: Row[Any]) -> Choice:
    return Choice(row.night, row.changes, row.because, row.figures)


def _feedback_until(row: Row[Any] | None) -> datetime | None:
    """The mark of an earlier attempt."""
    found = (row.figures or {}).get("feedback_until") if row else None
    return datetime.fromisoformat(found) if found else None


def _raise_fence(connection: Connection, tenant: TenantId) -> int:
    return _raise_fences(connection, [tenant])[tenant]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is recorded of a night: its conclusion as it stands now, and whether it is served."""

    lease: Lease
    conclusion: Conclusion
    published: bool


def _published(ending: Ending, tenant: Tenant, fence: int, now: datetime) -> _Entry:
    """Swap the pointer, unless the tenant's mode or a rollback forbids it."""
    lease, conclusion, point = ending.lease, ending.conclusion, ending.point
    if fence != lease.fence:
        raise Problem(
            f"the night of {lease.night} was overtaken by a newer one, a rollback or a promotion",
            "repeat it, unless a later one was done: what it would have published is out of date",
            code="FENCED",
        )
    if not ending.allowed(tenant.mode):
        conclusion = _withdrawn(tenant.mode, conclusion)
    held = tenant.held_until is not None and tenant.held_until > now
    published = conclusion.edition is not None and point is not None and not held
    if conclusion.edition is not None and point is not None and not held:
        point(conclusion.edition)
    if held:  # the model of the edition that holds stays the incumbent
        conclusion = replace(conclusion, in_force=tenant.model)
    return _Entry(lease, conclusion, published)


def _record(connection: Connection, entries: Sequence[_Entry], now: datetime) -> None:
    """Write everything that these nights came to; one statement a table, however many they are."""
    made = [(entry.lease, entry.conclusion) for entry in entries]
    for table, rows in (
        (MODELS, [_model_row(lease, model, now) for lease, end in made for model in end.models]),
        (EDITIONS, [_edition_row(lease, end.edition, now) for lease, end in made if end.edition]),
    ):
        if rows:
            connection.execute(insert(table), rows)
    for lease, end in made:
        if end.realised is not None:
            _add_once(connection, lease.tenant, end.realised)
        if end.choice is not None:
            _choose(connection, lease.tenant, end.choice)
    in_force = [
        {"of_tenant": lease.tenant, "model": end.in_force}
        for lease, end in made
        if end.in_force is not None
    ]
    if in_force:
        its = TENANTS.c.tenant == bindparam("of_tenant")
        connection.execute(update(TENANTS).where(its), in_force)
    _update_nights(connection, [_done_row(entry, now) for entry in entries])


def _done_row(entry: _Entry, now: datetime) -> dict[str, Any]:
    lease, conclusion = entry.lease, entry.conclusion
    return {
        "tenant": lease.tenant,
        "night": lease.night,
        "state": DONE,
        "attempts": conclusion.figures.get("attempts", lease.attempts),
        "finished_at": now,
        "outcome": conclusion.outcome.value,
        "because": conclusion.because,
        "published": entry.published,
        "edition": conclusion.edition.number if conclusion.edition else None,
        "model": conclusion.in_force,
        "figures": dict(conclusion.figures),
    }


def _waiting(connection: Connection, tenant: TenantId, number: int) -> Tenant:
    """The tenant, locked, whose held model a person may still decide about."""
    known = locked(connection, tenant)
    row = connection.execute(
        select(MODELS).where(MODELS.c.tenant == tenant, MODELS.c.model == number)
    ).first()
    if row is None:
        raise no_model(tenant, number)
    if row.outcome != Outcome.HELD.value:
        raise Refused(
            f"model {number} is not held: the verdict on it was {row.outcome!r}",
            f"see `recfactory model list {tenant}`; only the gate promotes what is not held",
            code="MODEL_NOT_HELD",
        )
    if known.model is not None and number <= known.model:
        passed = (
            "is in force already" if number == known.model else "is older than the model in force"
        )
        raise Refused(
            f"model {number} {passed}",
            "do nothing, or go back with `recfactory edition activate`",
            code="MODEL_PASSED",
        )
    if known.mode is not Mode.ON:
        raise Refused(
            f"{tenant} is switched to {known.mode}: its models stay as they are",
            f"turn it on first: `recfactory tenant mode {tenant} on --why …`",
            code="MODE",
        )
    return known


def _refuse_used(connection: Connection, tenant: TenantId, number: int) -> None:
    used = connection.execute(
        select(EDITIONS.c.edition).where(EDITIONS.c.tenant == tenant, EDITIONS.c.model == number)
    ).first()
    if used is not None:
        raise Refused(
            f"edition {used.edition} was ranked with model {number}",
            "leave it: going back to that edition needs its files",
            code="MODEL_USED",
        )


def no_model(tenant: TenantId, number: int | None) -> NotThere:
    which = "model in force yet" if number is None else f"model {number}"
    return NotThere(
        f"{tenant} has no {which}", f"see `recfactory model list {tenant}`", code="NO_MODEL"
    )


def _withdrawn(mode: Mode, conclusion: Conclusion) -> Conclusion:
    outcome = Outcome.OFF if mode is Mode.OFF else Outcome.FROZEN
    because = f"switched to {mode} while the night was running: nothing was published"
    return Conclusion(outcome, because, conclusion.figures, realised=conclusion.realised)


def _add_once(connection: Connection, tenant: TenantId, point: Realised) -> None:
    """A night that runs again tells the point it made before."""
    known = select(REALISED.c.night).where(
        REALISED.c.tenant == tenant,
        REALISED.c.edition == point.edition,
        REALISED.c.starts == point.starts,
    )
    if connection.execute(known).first() is None:
        row = {name: getattr(point, name) for name in Realised.__slots__}
        connection.execute(insert(REALISED).values(tenant=tenant, **row))


def _choose(connection: Connection, tenant: TenantId, choice: Choice) -> None:
    """A night that runs again may choose again: its last word holds."""
    connection.execute(
        delete(CHOICES).where(CHOICES.c.tenant == tenant, CHOICES.c.night == choice.night)
    )
    row = {name: getattr(choice, name) for name in Choice.__slots__}
    connection.execute(insert(CHOICES).values(tenant=tenant, **row))


def _model_row(lease: Lease, model: NewModel, now: datetime) -> dict[str, Any]:
    return {
        "tenant": lease.tenant,
        "model": model.number,
        "night": lease.night,
        "kind": model.kind,
        "trained_through": model.trained_through,
        "outcome": model.outcome.value,
        "because": model.because,
        "created_at": now,
    }


def _edition_row(lease: Lease, edition: NewEdition, now: datetime) -> dict[str, Any]:
    return {
        "tenant": lease.tenant,
        "edition": edition.number,
        "night": lease.night,
        "model": edition.model,
        "lists": edition.lists,
        "manifest_sha256": edition.manifest_sha256,
        "published_at": now,
    }


def _report(row: Row[Any]) -> NightReport:
    return NightReport(
        tenant=TenantId(row.tenant),
        night=row.night,
        state=row.state,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        because=row.because or "",
        published=bool(row.published),
        edition=row.edition,
        model=row.model,
        figures=row.figures or {},
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempts=row.attempts,
    )
