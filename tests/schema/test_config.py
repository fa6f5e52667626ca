from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from schema.config import SHIPPED, Config, read_config
from schema.errors import Refused

SECRET = "postgresql://keeper:hunter2@db.example/ledger"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of one's own, named by the environment."""
    file = folder / "own.yaml"
    file.write_text(text)
    monkeypatch.setenv("RECFACTORY_CONFIG", str(file))
    return file


def defaults() -> dict[str, Any]:
    """The model's own defaults; no file is read."""
    return Config.model_construct().model_dump(mode="json")


def lines(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from lines(value, f"{path}.{name}" if path else name)
    else:
        yield path, tree


def shipped() -> dict[str, Any]:
    return dict(lines(yaml.safe_load(SHIPPED.read_text())))


def refusal() -> Refused:
    with pytest.raises(Refused) as told:
        read_config()
    assert told.value.code == "CONFIG"
    return told.value


class TestTheShippedFile:
    def test_has_every_key_of_the_model(self) -> None:
        assert set(dict(lines(defaults()))) - set(shipped()) == set()

    def test_has_no_key_the_model_does_not_know(self) -> None:
        assert set(shipped()) - set(dict(lines(defaults()))) == set()

    def test_states_the_defaults_as_they_are(self) -> None:
        assert shipped() == dict(lines(defaults()))

    def test_says_nothing_about_any_tenant(self) -> None:
        assert set(yaml.safe_load(SHIPPED.read_text())) == {
            "home", "pepper", "ledger", "objects", "nightly", "publishing", "deliveries", "leaving", "serving",
            "oidc", "source", "template",
        }  # fmt: skip

    def test_is_read_where_no_other_is_found(self) -> None:
        assert read_config().serving.port == 8000


class TestReading:
    def test_takes_the_file_of_the_current_folder(self) -> None:
        Path("config.yaml").write_text("serving: {port: 8123}")

        assert read_config().serving.port == 8123

    def test_takes_the_file_the_environment_names_before_that(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("config.yaml").write_text("serving: {port: 8123}")
        written(tmp_path, "serving: {port: 8124}", monkeypatch)

        assert read_config().serving.port == 8124

    def test_lets_the_environment_overrule_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("config.yaml").write_text("serving: {port: 8123, host: 0.0.0.0}")
        monkeypatch.setenv("RECFACTORY_SERVING__PORT", "8999")

        serving = read_config().serving

        assert (serving.port, serving.host) == (8999, "0.0.0.0")

    def test_lets_the_environment_overrule_the_template_deep_inside(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_TEMPLATE__ALS__FACTORS", "9")

        template = read_config().template

        assert (template.als.factors, template.als.iterations) == (9, 15)

    def test_makes_the_home_absolute_so_that_a_change_of_folder_does_not_move_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_HOME", "somewhere")

        assert read_config().home == tmp_path / "somewhere"

    def test_gives_something_that_cannot_be_changed(self) -> None:
        config = read_config()

        with pytest.raises(ValueError, match="frozen"):
            config.home = Path("/")  # type: ignore[misc]

    def test_leaves_the_defaults_where_the_file_is_empty(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path, "", monkeypatch)

        assert read_config().serving.port == 8000


class TestARefusal:
    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("servng: {port: 1}", "servng"),
            ("serving: {prot: 1}", "serving.prot"),
            ("template: {als: {factor: 1}}", "template.als.factor"),
            ("tenants: {acme: {}}", "tenants"),
        ],
    )
    def test_names_the_unknown_key_of_the_file(
        self, text: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path, text, monkeypatch)

        assert key in refusal().what

    def test_names_the_unknown_key_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_SERVING__PROT", "1")

        assert "serving.prot" in refusal().what.lower()

    @pytest.mark.parametrize(
        ("variable", "value", "key"),
        [
            ("RECFACTORY_SERVING__PORT", "65536", "serving.port"),
            ("RECFACTORY_SERVING__PORT", "http", "serving.port"),
            ("RECFACTORY_NIGHTLY__EXECUTOR", "spark", "nightly.executor"),
            ("RECFACTORY_NIGHTLY__RAY__ADDRESS", "ray://head:10001", "nightly.ray.address"),
            (
                "RECFACTORY_TEMPLATE__INTAKE__REFUSE_ABOVE_SHARE",
                "2",
                "template.intake.refuse_above_share",
            ),
            ("RECFACTORY_PUBLISHING__KEEP_EDITIONS", "1", "publishing.keep_editions"),
            ("RECFACTORY_TEMPLATE__ALS__FACTORS", "0", "template.als.factors"),
        ],
    )
    def test_names_the_value_out_of_range(
        self, variable: str, value: str, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, value)

        assert key in refusal().what

    def test_names_the_file_that_does_not_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RECFACTORY_CONFIG", "nowhere.yaml")

        assert "nowhere.yaml does not exist" in refusal().what

    @pytest.mark.parametrize("text", ["serving: {port: [", "- 1", "5", "a: \t- b", "a: \x00"])
    def test_names_the_file_that_is_no_table_of_keys(
        self, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = written(tmp_path, text, monkeypatch)

        assert file.name in refusal().what

    def test_names_a_folder_where_a_file_should_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_CONFIG", str(tmp_path))

        assert str(tmp_path) in refusal().what

    def test_names_the_variable_that_overrules_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_SERVNG__PORT", "1")

        assert "servng" in refusal().what.lower()

    def test_names_the_file_that_is_not_text(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path, "", monkeypatch).write_bytes(b'home: "\xff\xfe"')

        assert "own.yaml" in refusal().what


class TestTheLedgersAddress:
    """It may hold a password."""

    @pytest.fixture
    def config(self, monkeypatch: pytest.MonkeyPatch) -> Config:
        monkeypatch.setenv("RECFACTORY_LEDGER__URL", SECRET)
        return read_config()

    def test_is_read(self, config: Config) -> None:
        assert config.ledger.url.get_secret_value() == SECRET

    def test_is_never_printed(self, config: Config) -> None:
        printed = [str(config), repr(config), f"{config.ledger}", config.model_dump_json()]

        assert [text for text in printed if "hunter2" in text] == []

    @pytest.mark.parametrize("variable", ["RECFACTORY_LEDGER", "RECFACTORY_LEDGER__URI"])
    def test_is_not_printed_by_a_refusal_either(
        self, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, SECRET)

        assert "hunter2" not in str(refusal())

    def test_is_not_printed_by_a_refusal_of_something_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_LEDGER__URL", SECRET)
        monkeypatch.setenv("RECFACTORY_SERVING__PORT", "x")

        assert "hunter2" not in str(refusal())


def test_every_part_of_the_configuration_refuses_unknown_keys() -> None:
    def parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        yield model
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from parts(field.annotation)

    lax = [part.__name__ for part in parts(Config) if part.model_config.get("extra") != "forbid"]
    assert lax == []
