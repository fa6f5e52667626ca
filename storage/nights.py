"""Nights, models and editions in the ledger: who may run, what came of it, what is in force.

Exactly one effective night per tenant and business date: a lease with a fencing token is taken at
the start, and checked again in the transaction that publishes.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from schema.errors import NotThere, Problem, Refused
from schema.names import Mode, Outcome, TenantId
from schema.records import (
    Choice,
    Conclusion,
    Lease,
    NewEdition,
    NewModel,
    NightReport,
    Realised,
    Tenant,
)
from storage.audit import note
from storage.database import reading
from storage.ledger import locked
from storage.rows import CHOICES, EDITIONS, MODELS, NIGHTS, REALISED, TENANTS

RUNNING, DONE = "running", "done"


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
        with self._engine.begin() as connection:
            known = locked(connection, tenant)
            row = connection.execute(_of_night(tenant, night)).first()
            if row is not None and row.state == DONE and not _again(row, known):
                return _report(row)
            if (
                row is not None
                and row.state == RUNNING
                and row.lease_until > now
                and alive(row.owner)
            ):
                raise Problem(
                    f"the night of {night} is running since {row.started_at:%H:%M} UTC ({row.owner})",
                    "wait for it; it is taken over when its process is gone",
                    code="NIGHT_RUNNING",
                )
            self._refuse_past(connection, tenant, night)
            fence = _raise_fence(connection, tenant)
            until = _feedback_until(row) or now
            values = {
                "state": RUNNING,
                "fence": fence,
                "owner": owner,
                "lease_until": now + lease,
                "attempts": row.attempts + 1 if row else 1,
                "started_at": now,
                "finished_at": None,
                "outcome": None,
                "because": None,
                "published": None,
                "edition": None,
                "model": None,
                "figures": {"feedback_until": until.isoformat()},
            }
            if row is None:
                connection.execute(insert(NIGHTS).values(tenant=tenant, night=night, **values))
            else:
                connection.execute(update(NIGHTS).where(*_is(tenant, night)).values(values))
        return Lease(tenant, night, fence, until)

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
        with self._engine.begin() as connection:
            tenant = locked(connection, lease.tenant)
            _check_fence(connection, lease)
            if not allowed(tenant.mode):
                conclusion = _withdrawn(tenant.mode, conclusion)
            edition = conclusion.edition
            held = tenant.held_until is not None and tenant.held_until > now
            published = edition is not None and point is not None and not held
            if edition is not None and published:
                assert point is not None
                point(edition)
            if held:  # the model of the edition that holds stays the incumbent
                conclusion = replace(conclusion, in_force=tenant.model)
            self._record(connection, lease, conclusion, published=published, now=now)
            row = connection.execute(_of_night(lease.tenant, lease.night)).one()
        return _report(row)

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

    def running(self, tenant: TenantId, alive: Callable[[str], bool], now: datetime) -> bool:
        """Whether a night of the tenant is at work; one whose process is gone is not."""
        query = select(NIGHTS).where(NIGHTS.c.tenant == tenant, NIGHTS.c.state == RUNNING)
        return any(row.lease_until > now and alive(row.owner) for row in self._rows(query))

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
        query = (
            select(REALISED)
            .where(REALISED.c.tenant == tenant)
            .order_by(REALISED.c.night.desc(), REALISED.c.starts.desc())
        )
        names = Realised.__slots__
        return [
            Realised(**{name: getattr(row, name) for name in names}) for row in self._rows(query)
        ]

    def choices(self, tenant: TenantId) -> list[Choice]:
        """The hyper-parameters chosen for a tenant, newest first: the first one holds."""
        query = select(CHOICES).where(CHOICES.c.tenant == tenant).order_by(CHOICES.c.night.desc())
        return [
            Choice(row.night, row.changes, row.because, row.figures) for row in self._rows(query)
        ]

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

    def taken(self, tenant: TenantId) -> tuple[int, int]:
        """The highest model and edition numbers on record; 0 where there is none."""
        with reading(self._engine) as connection:
            highest = [
                connection.execute(
                    select(func.max(number)).where(table.c.tenant == tenant)
                ).scalar()
                for table, number in ((MODELS, MODELS.c.model), (EDITIONS, EDITIONS.c.edition))
            ]
        return highest[0] or 0, highest[1] or 0

    def _record(
        self,
        connection: Connection,
        lease: Lease,
        conclusion: Conclusion,
        *,
        published: bool,
        now: datetime,
    ) -> None:
        tenant, edition = lease.tenant, conclusion.edition
        for model in conclusion.models:
            connection.execute(insert(MODELS).values(_model_row(lease, model, now)))
        if edition is not None:
            connection.execute(insert(EDITIONS).values(_edition_row(lease, edition, now)))
        if conclusion.realised is not None:
            _add_once(connection, tenant, conclusion.realised)
        if conclusion.choice is not None:
            _choose(connection, tenant, conclusion.choice)
        if conclusion.in_force is not None:
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(model=conclusion.in_force)
            )
        connection.execute(
            update(NIGHTS)
            .where(*_is(tenant, lease.night))
            .values(
                state=DONE,
                finished_at=now,
                outcome=conclusion.outcome.value,
                because=conclusion.because,
                published=published,
                edition=edition.number if edition else None,
                model=conclusion.in_force,
                figures=dict(conclusion.figures),
            )
        )

    def _refuse_past(self, connection: Connection, tenant: TenantId, night: date) -> None:
        later = connection.execute(
            select(NIGHTS.c.night).where(
                NIGHTS.c.tenant == tenant, NIGHTS.c.night > night, NIGHTS.c.edition.is_not(None)
            )
        ).first()
        if later is not None:
            raise Refused(
                f"the night of {later.night} was done already, {night} is before it",
                "replay history in a home of its own (RECFACTORY_HOME)",
                code="NIGHT_PAST",
            )

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


def _feedback_until(row: Row[Any] | None) -> datetime | None:
    """The mark of an earlier attempt."""
    found = (row.figures or {}).get("feedback_until") if row else None
    return datetime.fromisoformat(found) if found else None


def _raise_fence(connection: Connection, tenant: TenantId) -> int:
    connection.execute(
        update(TENANTS).where(TENANTS.c.tenant == tenant).values(fence=TENANTS.c.fence + 1)
    )
    return int(
        connection.execute(select(TENANTS.c.fence).where(TENANTS.c.tenant == tenant)).scalar_one()
    )


def _check_fence(connection: Connection, lease: Lease) -> None:
    fence = connection.execute(
        select(TENANTS.c.fence).where(TENANTS.c.tenant == lease.tenant)
    ).scalar_one()
    if fence != lease.fence:
        raise Problem(
            f"the night of {lease.night} was overtaken by a newer one, a rollback or a promotion",
            "repeat it, unless a later one was done: what it would have published is out of date",
            code="FENCED",
        )


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
    )
