"""A server that is not wholly configured does not start: no port opens, and it says what to do."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from schema.config import Config
from storage.durable import Disk
from storage.secret import make_demo_secret, make_secret

RECFACTORY = Path(sys.executable).with_name("recfactory")
Home = Callable[[Path], object]

OIDC = {
    "RECFACTORY_OIDC__ISSUER": "https://sign-in.example",
    "RECFACTORY_OIDC__AUDIENCE": "recfactory",
    "RECFACTORY_OIDC__JWKS_URL": "https://sign-in.example/jwks",
    "RECFACTORY_OIDC__ROLES": '{"sales": "seller"}',
}


def without(name: str, **other: str) -> dict[str, str]:
    return {key: value for key, value in OIDC.items() if not key.endswith(name)} | other


def nothing(home: Path) -> None:
    """A home nobody made."""


def whole(home: Path) -> None:
    make_secret(home, Disk())


def demo(home: Path) -> None:
    make_demo_secret(Config.model_construct(home=home), Disk())


def holding(content: str, mode: int = 0o600) -> Home:
    def made(home: Path) -> None:
        home.mkdir()
        (home / "pepper").write_text(content)
        (home / "pepper").chmod(mode)

    return made


def folder(home: Path) -> None:
    (home / "pepper").mkdir(parents=True)
    (home / "pepper").chmod(0o700)


HALF: Mapping[str, tuple[Home, dict[str, str]]] = {
    "no secret": (nothing, {}),
    "an empty one": (nothing, {"RECFACTORY_PEPPER": ""}),
    "a blank": (nothing, {"RECFACTORY_PEPPER": "  "}),
    "a word": (nothing, {"RECFACTORY_PEPPER": "changeme"}),
    "zeros": (nothing, {"RECFACTORY_PEPPER": "0" * 64}),
    "a word beside a good file": (whole, {"RECFACTORY_PEPPER": "changeme"}),
    "an empty file": (holding(""), {}),
    "a file for everybody": (holding(os.urandom(32).hex(), 0o644), {}),
    "a folder": (folder, {}),
    "a demo for everybody": (demo, {"RECFACTORY_SERVING__HOST": "0.0.0.0"}),
    "a sign-in without an audience": (whole, without("AUDIENCE")),
    "a sign-in without roles": (whole, without("ROLES")),
    "a sign-in whose keys anybody could send": (
        whole,
        without("", RECFACTORY_OIDC__JWKS_URL="http://sign-in.example/jwks"),
    ),
    "a sign-in without an issuer": (whole, without("ISSUER")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HALF)
def test_half_a_configuration_opens_nothing(name: str, tmp_path: Path) -> None:
    make, variables = HALF[name]
    make(tmp_path / "home")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    done = subprocess.run(
        [RECFACTORY, "serve"],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("RECFACTORY")},
            "RECFACTORY_HOME": str(tmp_path / "home"),
            "RECFACTORY_SERVING__PORT": str(port),
            **variables,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2, done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    for key, value in variables.items():
        assert key != "RECFACTORY_PEPPER" or not value.strip() or value not in done.stderr
