"""The operator's secret: API keys are worth something only under it. Given, never made by the way.

It comes from ``RECFACTORY_PEPPER``, else from the file ``pepper`` in the home, which
``recfactory init`` makes. A home made by ``recfactory demo`` has one of its own, ``demo/pepper``,
that opens a server on the loopback interface and nowhere else.
"""

import ipaddress
from pathlib import Path

from schema.config import Config
from schema.errors import Refused
from storage import durable
from storage.durable import Disk

_BYTES = 32


def pepper(config: Config) -> bytes:
    """The secret in force.

    Raises:
        Refused: there is none (``NO_SECRET``), or it is none (``SECRET``); never shows it.
    """
    given = config.pepper.get_secret_value()
    if given:
        return _read(given, "RECFACTORY_PEPPER")
    file = _demos(config.home) if is_demo(config) else _own(config.home)
    try:
        if file.stat().st_mode & 0o007:
            raise Refused(
                f"{file} can be read by everybody on this machine",
                f"make another secret if somebody may have; then `chmod 600 {file}`",
                code="SECRET",
            )
        return _read(file.read_text(), str(file))
    except FileNotFoundError:
        raise Refused(
            "there is no operator's secret, under which API keys are kept",
            "run `recfactory init` once, or set RECFACTORY_PEPPER to what `openssl rand -hex 32` prints",
            code="NO_SECRET",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{file} cannot be read: {type(error).__name__}",
            "give this program's user the file that `recfactory init` made",
            code="SECRET",
        ) from None


def is_demo(config: Config) -> bool:
    """Whether the only secret is the demo's own."""
    home = config.home
    return not (config.pepper.get_secret_value() or _own(home).exists()) and _demos(home).exists()


def refuse_open_demo(config: Config) -> None:
    """A demo's key is printed on the screen and its secret was nobody's decision.

    Raises:
        Refused: the demo's secret, and a host that others can reach (``DEMO``).
    """
    if is_demo(config) and not _loopback(config.serving.host):
        raise Refused(
            f"this home was made by `recfactory demo`, and {config.serving.host!r} is open to others",
            "serve it on 127.0.0.1, or make a home of your own with `recfactory init`",
            code="DEMO",
        )


def make_secret(home: Path, disk: Disk) -> Path:
    """Make a home's secret, once; one that it has stays, the demo's own too.

    Returns:
        The file that holds it.
    """
    file = _demos(home) if _demos(home).exists() and not _own(home).exists() else _own(home)
    durable.secret(disk, file)
    return file


def make_demo_secret(config: Config, disk: Disk) -> None:
    """Make the demo's own where there is no other."""
    if not (config.pepper.get_secret_value() or _own(config.home).exists()):
        durable.secret(disk, _demos(config.home))


def _own(home: Path) -> Path:
    return home / "pepper"


def _demos(home: Path) -> Path:
    return home / "demo" / "pepper"


def _read(text: str, where: str) -> bytes:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != _BYTES or len(set(secret)) < _BYTES // 2:  # random ones have 28 at least
        raise Refused(
            f"{where} is not {2 * _BYTES} random hexadecimal digits",
            "set it to what `openssl rand -hex 32` prints",
            code="SECRET",
        )
    return secret


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
