import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr

from schema.config import Config, Serving
from schema.errors import Refused
from storage.durable import Disk
from storage.secret import is_demo, make_demo_secret, make_secret, pepper, refuse_open_demo

GIVEN = hashlib.sha256(b"given").digest()


def config(home: Path, given: str = "", host: str = "127.0.0.1") -> Config:
    return Config.model_construct(home=home, pepper=SecretStr(given), serving=Serving(host=host))


def refusal(made: Config) -> Refused:
    with pytest.raises(Refused) as told:
        pepper(made)
    return told.value


class TestTheSecret:
    def test_is_the_one_that_was_given(self, tmp_path: Path) -> None:
        make_secret(tmp_path, Disk())

        assert pepper(config(tmp_path, GIVEN.hex())) == GIVEN

    def test_is_else_the_homes_own_which_never_changes(self, tmp_path: Path) -> None:
        file = make_secret(tmp_path, Disk())
        first = pepper(config(tmp_path))

        assert make_secret(tmp_path, Disk()) == file
        assert pepper(config(tmp_path)) == first == bytes.fromhex(file.read_text())

    def test_opens_the_same_keys_as_a_variable_and_as_a_file(self, tmp_path: Path) -> None:
        file = make_secret(tmp_path / "one", Disk())

        assert pepper(config(tmp_path / "two", file.read_text())) == pepper(
            config(tmp_path / "one")
        )

    def test_is_never_made_by_the_way(self, tmp_path: Path) -> None:
        told = refusal(config(tmp_path))

        assert told.code == "NO_SECRET"
        assert "recfactory init" in told.next_step
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "given",
        [" ", "changeme", "0" * 64, "ab" * 32, "0123456789abcdef" * 4, GIVEN.hex()[1:]],
        ids=["blank", "word", "zeros", "one byte", "pattern", "63 digits"],
    )
    def test_that_could_be_guessed_is_none_and_is_not_shown(
        self, given: str, tmp_path: Path
    ) -> None:
        told = refusal(config(tmp_path, given))

        assert told.code == "SECRET"
        assert given.strip() == "" or given not in str(told)

    def test_that_everybody_can_read_is_none(self, tmp_path: Path) -> None:
        make_secret(tmp_path, Disk()).chmod(0o644)

        assert "chmod 600" in refusal(config(tmp_path)).next_step

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"secret"])
    def test_in_a_file_that_holds_none_is_none(self, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "pepper"
        file.write_bytes(content)
        file.chmod(0o600)

        assert refusal(config(tmp_path)).code == "SECRET"


class TestADemo:
    def test_has_a_secret_of_its_own(self, tmp_path: Path) -> None:
        make_demo_secret(config(tmp_path), Disk())

        assert is_demo(config(tmp_path))
        assert len(pepper(config(tmp_path))) == 32

    def test_is_none_where_an_operator_gave_a_secret(self, tmp_path: Path) -> None:
        make_secret(tmp_path, Disk())
        make_demo_secret(config(tmp_path), Disk())

        assert not (tmp_path / "demo").exists()
        assert not is_demo(config(tmp_path))

    def test_stays_one(self, tmp_path: Path) -> None:
        """Another secret would end its keys, and break the trail sealed under the first."""
        make_demo_secret(config(tmp_path), Disk())

        make_secret(tmp_path, Disk())

        assert is_demo(config(tmp_path))

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
    def test_is_served_to_this_machine(self, host: str, tmp_path: Path) -> None:
        made = config(tmp_path, host=host)
        make_demo_secret(made, Disk())

        refuse_open_demo(made)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "localhost.example"])
    def test_is_served_to_nobody_else(self, host: str, tmp_path: Path) -> None:
        made = config(tmp_path, host=host)
        make_demo_secret(made, Disk())

        with pytest.raises(Refused) as told:
            refuse_open_demo(made)
        assert told.value.code == "DEMO"

    def test_holds_back_nobody_with_a_secret(self, tmp_path: Path) -> None:
        make_demo_secret(config(tmp_path), Disk())

        refuse_open_demo(config(tmp_path, GIVEN.hex(), "0.0.0.0"))
