"""Trained models: kept bit by bit, checked before use, one tenant's own."""

import hashlib
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from schema.errors import Problem
from schema.records import Ids
from schema.settings import TenantSettings
from storage.durable import Disk
from storage.models import EARLY, FACTORS, FORMAT, REST, Models
from tests.storage.made import ONE, OTHER, model, older_model


def nowhere(number: int) -> bool:
    return False


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path, Disk())


class TestModels:
    def test_a_model_comes_back_bit_by_bit(self, models: Models) -> None:
        made = model()
        found = models.load(ONE, models.seal(ONE, 0, made, nowhere))
        assert found.factors.tobytes() == made.factors.tobytes()
        assert found.early_factors.tobytes() == made.early_factors.tobytes()
        assert found.factors.tobytes() != found.early_factors.tobytes()
        assert found.factors.dtype == found.early_factors.dtype == np.float32
        assert found.products.names == made.products.names
        same = {name: getattr(made, name) for name in ("factors", "early_factors", "products")}
        assert replace(found, **same) == made

    def test_a_baseline_without_factors_comes_back_too(self, models: Models) -> None:
        none = np.zeros((3, 0), np.float32)
        made = replace(model(kind="baseline"), factors=none, early_factors=none)
        found = models.load(ONE, models.seal(ONE, 0, made, nowhere))
        assert (found.kind, found.factors.shape) == ("baseline", (3, 0))
        assert found.early_factors.shape == (3, 0)

    def test_a_baseline_costs_the_disk_no_file_of_factors(
        self, models: Models, tmp_path: Path
    ) -> None:
        none = np.zeros((3, 0), np.float32)
        made = replace(model(kind="baseline"), factors=none, early_factors=none)
        models.seal(ONE, 0, made, nowhere)
        kept = {path.name for path in (tmp_path / ONE / "models/v000001").iterdir()}
        assert kept == {REST, "MANIFEST.json"}

    def test_one_that_has_files_of_no_factors_is_read_as_ever(
        self, models: Models, tmp_path: Path
    ) -> None:
        """As version 0.4 wrote every baseline."""
        empty = io.BytesIO()
        np.save(empty, np.zeros((3, 0), np.float32))
        models.seal(ONE, 0, model(kind="baseline"), nowhere)
        folder = tmp_path / ONE / "models/v000001"
        manifest = orjson.loads((folder / "MANIFEST.json").read_bytes())
        for name in (FACTORS, EARLY):
            data = empty.getvalue()
            (folder / name).write_bytes(data)
            sha = hashlib.sha256(data).hexdigest()
            manifest["files"][name] = {"bytes": len(data), "sha256": sha}
        (folder / "MANIFEST.json").write_bytes(orjson.dumps(manifest))
        found = models.load(ONE, 1)
        assert found.factors.shape == found.early_factors.shape == (3, 0)

    def test_nobody_can_write_into_a_loaded_model(self, models: Models) -> None:
        found = models.load(ONE, models.seal(ONE, 0, model(), nowhere))
        for array in (found.factors, found.early_factors):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 1

    def test_the_same_model_gives_the_same_bytes(self, models: Models, tmp_path: Path) -> None:
        fortran = replace(model(), factors=np.asfortranarray(model().factors))
        Models(tmp_path / "a", Disk()).seal(ONE, 0, model(), nowhere)
        Models(tmp_path / "b", Disk()).seal(ONE, 0, fortran, nowhere)
        for name in (FACTORS, EARLY, REST, "MANIFEST.json"):
            one, two = (tmp_path / home / ONE / "models/v000001" / name for home in "ab")
            assert one.read_bytes() == two.read_bytes()

    def test_numbers_grow_and_a_number_in_use_is_left_alone(self, models: Models) -> None:
        assert models.seal(ONE, 0, model(0), nowhere) == 1
        assert models.seal(ONE, 1, model(1), nowhere) == 2
        assert models.seal(ONE, 1, model(2), lambda number: number == 2) == 3
        assert models.seal(ONE, 2, model(3), nowhere) == 3
        assert models.numbers(ONE) == [1, 2, 3]
        assert [models.load(ONE, number).seed for number in (1, 2, 3)] == [0, 1, 3]

    @pytest.mark.parametrize("name", [FACTORS, EARLY, REST])
    def test_a_changed_file_is_refused(self, models: Models, tmp_path: Path, name: str) -> None:
        models.seal(ONE, 0, model(), nowhere)
        path = tmp_path / ONE / "models/v000001" / name
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(Problem) as refused:
            models.load(ONE, 1)
        assert refused.value.code == "SEALED_BROKEN"

    @pytest.mark.parametrize("version", [FORMAT - 1, FORMAT + 1])
    def test_one_of_another_version_is_known_as_such(
        self, models: Models, version: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.models.FORMAT", version)
        models.seal(ONE, 0, model(), nowhere)
        monkeypatch.undo()
        with pytest.raises(Problem, match="made by another version") as refused:
            models.load(ONE, 1)
        assert refused.value.code == "MODEL_VERSION"

    def test_one_of_version_0_1_is_known_as_such_too(self, models: Models, tmp_path: Path) -> None:
        models.seal(ONE, 0, model(), nowhere)
        older_model(tmp_path / ONE / "models/v000001")
        with pytest.raises(Problem) as refused:
            models.load(ONE, 1)
        assert refused.value.code == "MODEL_VERSION"

    def test_a_setting_that_was_given_up_since_is_left_out(
        self, models: Models, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A patch release may drop one; the model is scored as it was judged all the same."""
        made = model()
        told = made.settings.model_dump(mode="json")
        older = {**told, "gone": 1, "als": {**told["als"], "gone": 2}}
        monkeypatch.setattr(TenantSettings, "model_dump", lambda *_, **__: older)
        models.seal(ONE, 0, made, nowhere)
        monkeypatch.undo()
        assert models.load(ONE, 1).settings == made.settings

    def test_a_missing_one_is_refused(self, models: Models) -> None:
        with pytest.raises(Problem):
            models.load(ONE, 7)

    def test_no_pickle_is_ever_read(self, models: Models, tmp_path: Path) -> None:
        evil = replace(model(), factors=np.array([[print]], object))
        with pytest.raises(ValueError, match="allow_pickle"):
            models.seal(ONE, 0, evil, nowhere)
        assert models.numbers(ONE) == []

    def test_another_tenants_model_copied_under_this_one_is_refused(
        self, models: Models, tmp_path: Path
    ) -> None:
        models.seal(OTHER, 0, replace(model(), products=Ids(("theirs",) * 3)), nowhere)
        shutil.copytree(tmp_path / OTHER, tmp_path / ONE)
        with pytest.raises(Problem) as refused:
            models.load(ONE, 1)
        assert refused.value.code == "TENANT_MISMATCH"

    def test_discard_removes_one_and_leaves_the_others(self, models: Models) -> None:
        for number in range(3):
            models.seal(ONE, number, model(number), nowhere)
        models.discard(ONE, 2)
        assert models.numbers(ONE) == [1, 3]
        assert models.load(ONE, 3).seed == 2

    def test_a_tenant_without_models_has_none(self, models: Models) -> None:
        models.seal(OTHER, 0, model(), nowhere)
        assert models.numbers(ONE) == []
