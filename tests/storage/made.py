"""Small lists and models with an answer known beforehand."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import orjson

from schema.names import Bought
from schema.records import ENTRY, Blend, Ids, Lists, Model, Product
from schema.settings import TenantSettings
from storage.durable import MANIFEST
from storage.editions import GROUNDS, SEGMENTS, Current, Editions
from storage.lists import Lines
from storage.models import EARLY, REST

NIGHT = date(2026, 4, 1)
AT = datetime(2026, 4, 1, 0, 5, tzinfo=UTC)
ONE, OTHER = "t-one", "t-other"
"""Two tenants' folders."""


def lists(
    customers: Sequence[str] = ("C-1", "C-2", "C-3"), products: int = 4, tag: str = "P"
) -> Lists:
    """Customer n likes product n best, then the ones after it; the last place is padding."""
    entries = np.zeros((len(customers), products), np.dtype(list(ENTRY)))
    entries["because"] = -1
    for row in range(len(customers)):
        entries["product"][row] = [*((row + place) % products for place in range(products - 1)), -1]
        entries["probability"][row] = [0.5 / (place + 1) for place in range(products)]
    popular = entries[0].copy() if len(customers) else np.zeros(products, entries.dtype)
    return Lists(
        customers=tuple(customers),
        entries=entries,
        popular=popular,
        products=tuple(
            Product(f"{tag}-{n}", f"product {n}", None, 1.0, "sellable") for n in range(products)
        ),
        segments=("farms", f"schools of {tag}"),
    )


def model(seed: int = 0, kind: str = "als") -> Model:
    """Three products, two factors, one coefficient each."""
    early, last = np.random.default_rng(seed).normal(size=(2, 3, 2)).astype(np.float32)
    return Model(
        kind=kind,
        products=Ids(("P-0", "P-1", "P-2")),
        factors=last,
        early_factors=early,
        blend=Blend(repeat={"intercept": 0.1 + seed}, fresh={"intercept": -1 / 3}),
        settings=TenantSettings(seed=seed),
        horizon_days=7,
        taught_from=20_516,
        trained_through=20_544,
        seed=seed,
        data_fingerprint="0123456789abcdef+0",
    )


def older_model(folder: Path) -> None:
    """Turn a sealed model into one of version 0.1: it knew neither formats nor early factors."""
    rest = orjson.loads((folder / REST).read_bytes())
    del rest["format"], rest["taught_from"]
    data = orjson.dumps(rest)
    (folder / REST).write_bytes(data)
    (folder / EARLY).unlink(missing_ok=True)  # a baseline has none
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    manifest["files"].pop(EARLY, None)
    manifest["files"][REST] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))


def older_edition(folder: Path) -> str:
    """Turn a sealed edition into one of version 0.1: no segments, no word about products bought
    before. Returns its manifest's new hash.
    """
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    del manifest["bought"]
    manifest["files"].pop(SEGMENTS, None)
    (folder / SEGMENTS).unlink(missing_ok=True)  # a tenant without segments has none
    data = orjson.dumps(manifest)
    (folder / MANIFEST).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def seal(
    editions: Editions,
    uid: str = ONE,
    taken: int = 0,
    made: Lists | None = None,
    *,
    model: int = 1,
    night: date = NIGHT,
    bought: Bought = Bought.INCLUDE,
    lines: Lines | None = None,
) -> tuple[int, str]:
    """Seal an edition; by default the first one of ``lists()``."""
    return editions.seal(
        uid,
        taken,
        made or lists(),
        model=model,
        night=night,
        horizon_days=7,
        bought=bought,
        lines=lines,
    )


def publish(
    editions: Editions, uid: str = ONE, taken: int = 0, *, model: int = 1, fence: int = 1
) -> Current:
    """Seal an edition after ``taken`` and serve it."""
    number, sha = seal(editions, uid, taken, model=model)
    current = Current(number, sha, fence, AT)
    editions.point(uid, current)
    return current


def without_grounds(editions: Editions, uid: str) -> None:
    """Turn the served edition into one of version 0.2, which could not be re-ranked."""
    current = editions.current(uid)
    assert current is not None
    folder = editions._folder(uid, current.edition)
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    del manifest["files"][GROUNDS]
    (folder / GROUNDS).unlink()
    data = orjson.dumps(manifest)
    (folder / MANIFEST).write_bytes(data)
    sha = hashlib.sha256(data).hexdigest()
    editions.point(uid, replace(current, manifest_sha256=sha))
