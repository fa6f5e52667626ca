"""Trained models: immutable folders of plain arrays and JSON, no pickle anywhere."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel

from schema.errors import Problem
from schema.records import Blend, Ids, Model
from schema.settings import TenantSettings
from storage import durable
from storage.durable import Disk
from storage.objects import AT_HOME, Objects, folders, get_folder, put_folder, remove_folder

FACTORS, EARLY, REST = "factors.npy", "early_factors.npy", "model.json"

FORMAT = 2
"""Grows when older models can no longer be scored as they were judged: other features, say."""


class Models:
    """All models under one root, numbered by tenant."""

    def __init__(self, root: Path, disk: Disk, objects: Objects = AT_HOME) -> None:
        self._root, self._disk, self._objects = root, disk, objects

    def seal(
        self,
        uid: str,
        taken: int,
        model: Model,
        in_use: Callable[[int], bool],
        *,
        fence: int = 0,
    ) -> int:
        """Keep a model under the first free number after ``taken``; never changes again.

        Args:
            fence: of the night that made it: of two machines that gave one number, the newer counts.
        """
        rest = {
            "format": FORMAT,
            "kind": model.kind,
            "products": model.products.names,
            "blend": {"repeat": model.blend.repeat, "fresh": model.blend.fresh},
            "settings": model.settings.model_dump(mode="json"),
            "horizon_days": model.horizon_days,
            "taught_from": model.taught_from,
            "trained_through": model.trained_through,
            "seed": model.seed,
            "data_fingerprint": model.data_fingerprint,
        }
        number, sha = durable.sealed_after(
            self._disk,
            taken,
            lambda number: self._folder(uid, number),
            in_use,
            {"tenant_uid": uid, "kind": model.kind},
            {
                **{
                    name: durable.content(_array_bytes(factors))
                    for name, factors in ((FACTORS, model.factors), (EARLY, model.early_factors))
                    if factors.shape[1]  # a baseline has none, and most of a fleet is baselines
                },
                REST: durable.content(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)),
            },
        )
        place = f"models/{_name(number)}-{fence:012d}-{sha[:16]}"
        put_folder(self._objects, uid, place, self._folder(uid, number))
        return number

    def load(self, uid: str, number: int) -> Model:
        """Read a model back, bit by bit what was sealed.

        Raises:
            Problem: missing or changed; the gate then keeps what is served.
        """
        folder = self._here(uid, number)
        manifest = durable.unsealed(folder)
        if manifest["tenant_uid"] != uid:
            raise Problem(
                f"model {number} belongs to another tenant",
                "restore this tenant's own files",
                code="TENANT_MISMATCH",
            )
        rest = orjson.loads((folder / REST).read_bytes())
        if rest.get("format") != FORMAT:
            raise Problem(
                f"model {number} was made by another version, and cannot be used by this one",
                "nothing is lost: while the tenant is on, its next night starts again",
                code="MODEL_VERSION",
            )
        products = Ids(rest["products"])
        none = np.zeros((len(products), 0), np.float32)
        factors, early = (
            _array(folder / name) if name in manifest["files"] else none  # type: ignore[operator]
            for name in (FACTORS, EARLY)
        )
        return Model(
            kind=rest["kind"],
            products=products,
            factors=factors,
            early_factors=early,
            blend=Blend(**rest["blend"]),
            settings=TenantSettings.model_validate(_known(rest["settings"], TenantSettings)),
            horizon_days=rest["horizon_days"],
            taught_from=rest["taught_from"],
            trained_through=rest["trained_through"],
            seed=rest["seed"],
            data_fingerprint=rest["data_fingerprint"],
        )

    def size(self, uid: str, number: int) -> int:
        """Bytes on disk."""
        return durable.size(self._folder(uid, number))

    def numbers(self, uid: str) -> list[int]:
        """Models that are kept, here or on any machine, oldest first."""
        here = (self._root / uid / "models").glob("v[0-9]*")
        kept = {path.name for path in here} | {*folders(self._objects, uid, "models")}
        return sorted({int(name[1:7]) for name in kept})

    def discard(self, uid: str, number: int) -> None:
        for place in self._places(uid, number):
            remove_folder(self._objects, uid, place)
        folder = self._folder(uid, number)
        if folder.exists():
            with durable.locked(folder.parent):
                durable.discard(self._disk, folder)

    def sweep(self, uid: str) -> None:
        """Clear what a killed night left; only under the tenant's lease."""
        parent = self._root / uid / "models"
        if parent.is_dir():
            with durable.locked(parent):  # a person may be discarding a held model
                durable.sweep(self._disk, parent)

    def _here(self, uid: str, number: int) -> Path:
        """A model's folder, brought here where another machine made it."""
        folder = self._folder(uid, number)
        if not folder.exists() and (places := self._places(uid, number)):
            get_folder(self._objects, self._disk, uid, places[-1], folder)
        return folder

    def _places(self, uid: str, number: int) -> list[str]:
        """Where it is shared, the newest fence last."""
        kept = folders(self._objects, uid, "models")
        return [f"models/{name}" for name in kept if name.startswith(f"{_name(number)}-")]

    def _folder(self, uid: str, number: int) -> Path:
        return self._root / uid / "models" / _name(number)


def _name(number: int) -> str:
    return f"v{number:06d}"


def _known(told: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """What was kept, without settings that have been given up since."""
    kept = {}
    for name, field in model.model_fields.items():
        if name in told:
            group = field.annotation
            nested = isinstance(group, type) and issubclass(group, BaseModel)
            kept[name] = _known(told[name], group) if nested else told[name]  # type: ignore[arg-type]
    return kept


def _array(path: Path) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(path, allow_pickle=False)
    array.setflags(write=False)
    return array


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
