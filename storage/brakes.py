"""Whether the fleet's brake is on, in the ledger: every run and every driver obeys it.

It is the installation's, not a tenant's: it says how many tenants, never which.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Row, insert, select, update

from schema.errors import Refused
from storage.audit import note
from storage.database import patiently, reading
from storage.rows import BRAKES


@dataclass(frozen=True, slots=True)
class Braked:
    """One time that the fleet was stopped."""

    brake: int
    at: datetime
    wave: int
    sign: str
    because: str
    released_at: datetime | None


class Brakes:
    """Each time the fleet was stopped; the newest is on until a person releases it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def on(self) -> Braked | None:
        """The brake that is on.

        Raises:
            LedgerAway: for so long that waiting was given up.
        """
        return patiently(self._engine, lambda: next(iter(self.all(on=True)), None))

    def all(self, *, on: bool = False, limit: int = 20) -> list[Braked]:
        """Newest first.

        Args:
            on: only one that was not released.
        """
        query = select(BRAKES).order_by(BRAKES.c.brake.desc()).limit(limit)
        with reading(self._engine) as connection:
            rows = connection.execute(
                query.where(BRAKES.c.released_at.is_(None)) if on else query
            ).all()
        return [_braked(row) for row in rows]

    def pull(self, wave: int, sign: str, because: str, *, at: datetime) -> None:
        """Stop the fleet; where it was stopped by another driver meanwhile, that stands."""

        def pulled() -> None:
            with self._engine.begin() as connection:
                if connection.execute(_ON).first() is None:
                    detail = {"wave": wave, "sign": sign, "because": because}
                    connection.execute(insert(BRAKES).values(at=at, **detail))
                    note(connection, None, "recfactory", "fleet braked", detail, at)

        patiently(self._engine, pulled)

    def release(self, *, by: str, why: str, at: datetime) -> Braked:
        """Let nights be published again, on a person's word.

        Raises:
            Refused: it is not on (``NOT_BRAKED``).
        """
        with self._engine.begin() as connection:
            row = connection.execute(_ON.with_for_update()).first()
            if row is None:
                raise Refused(
                    "the fleet's brake is not on", "do nothing: nights are published", "NOT_BRAKED"
                )
            here = BRAKES.c.released_at.is_(None)  # two drivers may have stopped it at once
            connection.execute(update(BRAKES).where(here).values(released_at=at))
            detail = {"brake": row.brake, "because": row.because, "why": why}
            note(connection, None, by, "fleet released", detail, at)
        return _braked(row)


_ON = select(BRAKES).where(BRAKES.c.released_at.is_(None))


def _braked(row: Row[tuple[object, ...]]) -> Braked:
    return Braked(row.brake, row.at, row.wave, row.sign, row.because, row.released_at)
