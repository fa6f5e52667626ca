"""Which address a connection to the source may go to: the operator's lists, and no way around them.

A name is resolved once, every address it has is checked, and the connection is made to the very
address that was checked. So a name that means something else a moment later leads nowhere new.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import URL

from schema.errors import Refused
from schema.source import SourceDatabase, named, plain

Resolve = Callable[[str, int], Sequence[str]]
"""A name and a port to addresses, as text."""

PORT = 5432
TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""What may stand after the ? of a URL: everything else could lead elsewhere."""

_PUBLIC_6 = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: any of the addresses, which all belong to the host."""

    host: str
    addresses: tuple[str, ...]
    port: int


def resolved(host: str, port: int) -> list[str]:
    """Ask the system, once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused(
            f"the source's host {host} has no address ({error.strerror})",
            "check source.url, and the name service of this machine",
            code="SOURCE_HOST",
        ) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def place_of(url: URL, source: SourceDatabase, resolve: Resolve = resolved) -> Place:
    """Where a PostgreSQL URL leads.

    Raises:
        Refused: not to one host and port of ``source.hosts``, written plainly; or to an address
            that is not public and in no network of ``source.allow_private``; or the URL has
            parameters beside those of TLS (``SOURCE_HOST``, ``SOURCE_URL``).
    """
    odd = sorted(set(url.query) - set(TLS))
    if odd or any(not isinstance(value, str) for value in url.query.values()):
        raise Refused(
            f"the source's URL has the parameter {(odd or sorted(url.query))[0][:40]!r}",
            f"leave away all but one each of {', '.join(TLS)}",
            code="SOURCE_URL",
        )
    if not url.database or any(sign in url.database for sign in "=/ "):
        raise Refused(
            "the source's URL names no database, or an odd one",
            "write postgresql://user:password@host:port/database",
            code="SOURCE_URL",
        )
    host, port = url.host or "", url.port or PORT
    if not plain(host):
        raise Refused(
            "the source's URL has no host, several, a socket, or one in an odd spelling",
            "write one host: its name in lower case, or its address in the usual form",
            code="SOURCE_HOST",
        )
    name = named(host, port)
    if name not in source.hosts:
        raise Refused(
            f"{name} is not among the hosts that the source may be on",
            "add it to source.hosts if it is SalesCore's database",
            code="SOURCE_HOST",
        )
    addresses = [host] if _is_address(host) else resolve(host, port)
    for address in addresses:
        if not _allowed(address, source):
            raise Refused(
                f"{name} leads to {address}, which is not a public address",
                "add its network to source.allow_private if that is SalesCore's database",
                code="SOURCE_HOST",
            )
    return Place(host, tuple(addresses), port)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _allowed(text: str, source: SourceDatabase) -> bool:
    address = ipaddress.ip_address(text)
    if any(address in network for network in source.allow_private):
        return True
    if address.version == 4:
        return address.is_global and not address.is_multicast
    # Beyond 2000::/3 lie the mapped and translated forms of IPv4; within it, its tunnels.
    tunnel = address.sixtofour or address.teredo
    return address.is_global and address in _PUBLIC_6 and not tunnel
