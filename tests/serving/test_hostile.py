"""Ids that are meant to do harm, in every place where an id may stand, over a real port."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from schema.names import Role
from tests.serving.morning import Night
from tests.serving.port import Port, heard, listening, status
from tests.world import ACME, World

_PLAIN = [
    *("..", ".", "../..", "../../etc/passwd", "..\\..\\etc\\passwd", "....//....//etc/passwd"),
    *("/etc/passwd", "//etc/passwd", "/", "//", "\\", "C:\\Windows\\win.ini", "file:///etc/passwd"),
    *("/proc/self/root/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "/dev/fd/0"),
    *("~", "~root", "$HOME", "${HOME}", "`id`", "$(id)", "| id", "; id", "& id", "-rf", "--help"),
    *("CON", "NUL", "AUX", "COM1", "LPT1", "CON.txt", "a.", "a ", " a", "a:b", "a::$DATA"),
    *("CURRENT", "editions", "../CURRENT", "ledger.db", "../../ledger.db", "t-uid-of-beta"),
    *("beta", "ACME", "Acme", "acme ", " acme", "acme.", "acme/", "acme\x00", "acme\n", "acme%00"),
    *(
        "acme/../beta",
        "acme/customers/C-0001/recs",
        "*",
        "?",
        "[a-z]*",
        "{a,b}",
        "#",
        "#frag",
        "a#b",
    ),
    *("a?b", "a&b", "a=b", "a;b", "a%b", "%", "%%", "%s", "%n" * 40, "%x%x%x", "%p", "{0}", "{}"),
    *("{0.__class__}", "{tenant}", "%(message)s", "${jndi:ldap://x/a}", "{{7*7}}", "<%= 7*7 %>"),
    *("\x00", "a\x00b", "\x00popular", "\x01", "\x1b[31m", "\x7f", "\x80", "\x9b31m", "\r\nX: y"),
    *(
        "a\nb",
        "a\rb",
        "a\r\nSet-Cookie: a=b",
        "\u2028",
        "\u2029",
        "\x85",
        "\t",
        "\x0b",
        "\x0c",
        " ",
    ),
    *("' OR 1=1 --", "'; DROP TABLE tenants; --", '" OR ""="', "1); DELETE FROM keys; --", "\\'"),
    *("' UNION SELECT digest FROM keys --", "a' AND SLEEP(9) --", "0x41", "NULL", "null", "None"),
    *("true", "NaN", "Infinity", "-1", "0", "1e309", "99999999999999999999", "__proto__"),
    *(
        "constructor",
        "__class__",
        "<script>alert(1)</script>",
        "<!--",
        "]]>",
        "javascript:alert(1)",
    ),
    *("é", "e\u0301", "ﬁ", "K", "ſ", "İ", "ı", "ß", "Ⅷ", "①", "ａｃｍｅ", "аcme", "acme\u200b"),
    *(
        "\u202eemca",
        "\u2066x\u2069",
        "\ufeff",
        "\u00ad",
        "\u200d",
        "\ufffd",
        "\uffff",
        "\U0010ffff",
    ),
    *("👩‍🔧", "客户", "ع" * 30, "\U000e0041", "Z̸̢̛a̷l̶g̷o̸", "\u0378", "\ue000", "🇩🇪"),
    *("a" * 64, "a" * 255, "a" * 256, "a" * 1000, "a" * 4096, "é" * 500, "/" * 500, "../" * 400),
    *("recs", "x/recs", "feedback", "customers", "health", "docs", "openapi.json", "metrics", ""),
    *("rf_", "rf_.", "rf_a.b", "Bearer", "rf_" + "a" * 500, "=cmd|' /C calc'!A0", "@SUM(1)", "+1"),
]
_WRITTEN = [  # as they stand in the address, already escaped, well or badly
    *(
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2f",
        "..%5c..%5c",
        "%252e%252e%252f",
    ),
    *("%c0%ae%c0%ae/", "%e0%80%ae", "%00", "a%00b", "%0d%0aX-Evil:%20y", "%0a", "%0d", "%1b%5b31m"),
    *(
        "%ff",
        "%fe%ff",
        "%ed%a0%80",
        "%ed%b0%80",
        "%f4%90%80%80",
        "%80",
        "%c3",
        "%zz",
        "%",
        "%2",
        "%u0041",
    ),
    *(
        "%2F",
        "%2f%2fetc",
        "%5c",
        "%23",
        "%3f",
        "%3b",
        "%26",
        "%7e",
        "%20",
        "%09",
        "+",
        "%2b",
        "%25",
    ),
    *(
        "/..",
        "/../..",
        "/./",
        "//",
        "/.",
        "x/../../..",
        ";a=b",
        "a;b/c",
        "...",
        "..;/",
        "%2e/",
        "./",
    ),
]
ADDRESSES = [*_WRITTEN, *(quote(text, safe="") for text in _PLAIN)]


@pytest.fixture(scope="module")
def port(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    world = night.world(tmp_path_factory.mktemp("hostile"))
    limits = world.config.serving.limits.model_copy(
        update=dict.fromkeys(("key_per_second", "key_burst", "tenant_per_second"), 1e6)
        | {"tenant_burst": 1e6}
    )
    serving = world.config.serving.model_copy(update={"limits": limits})
    config = world.config.model_copy(update={"serving": serving})
    with listening(World(config, world.stores, world.folder), night.keys) as made:
        yield made
    world.stores.engine.dispose()


_OPENED: list[str] = []
_HOOKED = False


def opened() -> list[str]:
    """Every path that Python opens from now on; the hook stays, as audit hooks do."""
    global _HOOKED
    if not _HOOKED:

        def hook(event: str, args: tuple[Any, ...]) -> None:
            watched = event in ("open", "os.listdir", "os.scandir") and args and args[0] is not None
            if watched and not str(args[0]).endswith("/revoked"):  # a thread of any server's looks
                _OPENED.append(str(args[0]))

        sys.addaudithook(hook)
        _HOOKED = True
    _OPENED.clear()
    return _OPENED


def outside(paths: list[str], home: Path) -> list[str]:
    """Those that are neither in the home nor code of the interpreter's own."""
    own = (str(home), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
    real = {os.path.realpath(path) for path in paths if not path.isdigit()}
    return sorted(path for path in real if not path.startswith(own))


def ask(
    line: Any, method: str, path: str, key: str, body: bytes = b"", header: bytes = b""
) -> bytes:
    line.sendall(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
        + b"Authorization: Bearer " + key.encode("utf-8", "replace") + b"\r\n" + header
        + (b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b"")
        + b"\r\n" + body
    )  # fmt: skip
    return heard(line)


def harmless(answer: bytes) -> None:
    """Answered, as ours, without a word of another tenant or of the machine."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert 200 <= status(answer) < 500, answer[:300]
    assert b"beta-" not in body
    assert b"root:" not in body
    assert b"x-evil" not in head.lower()
    assert b"set-cookie" not in head.lower()


PLACES = [
    ("GET", "/tenants/acme/customers/{}/recs"),
    ("GET", "/tenants/{}/customers/C-0001/recs"),
    ("GET", "/tenants/{}/mode"),
    ("POST", "/tenants/acme/models/{}/promote"),
    ("DELETE", "/tenants/acme/rules/{}"),
    ("PUT", "/tenants/acme/data/{}"),
    ("GET", "/tenants/acme/customers/C-0001/recs?bought={}"),
    ("GET", "/static-offline-docs/{}"),
    ("GET", "/{}"),
]


class TestAHostileId:
    @pytest.mark.parametrize(("method", "place"), PLACES)
    def test_in_an_address_opens_nothing_outside_and_breaks_nothing(
        self, method: str, place: str, port: Port
    ) -> None:
        key, paths = port.keys[ACME, Role.ADMIN], opened()
        line = port.connect()
        body = b'{"why": "a test"}' if method == "POST" else b""
        for written in ADDRESSES:
            answer = ask(line, method, place.format(written), key, body)
            harmless(answer)
            if b"connection: close" in answer.lower():
                line.close()
                line = port.connect()
        line.close()

        assert outside(paths, port.world.config.home) == []

    def test_of_a_customer_is_a_stranger(self, port: Port) -> None:
        key = port.keys[ACME, Role.SELLER]
        with port.connect() as line:
            for text in _PLAIN:
                if not text or (quote(text, safe="") == text and text in (".", "..")):
                    continue
                path = f"/tenants/acme/customers/{quote(text, safe='')}/recs"
                answer = json.loads(ask(line, "GET", path, key).partition(b"\r\n\r\n")[2])
                assert (answer["customer"], answer["source"]) == (text, "popular")

    @pytest.mark.parametrize("field", ["event_id", "customer_id", "product_id", "kind"])
    def test_in_feedback_is_stored_or_refused_on_its_own(self, field: str, port: Port) -> None:
        key, paths = port.keys[ACME, Role.SELLER], opened()
        with port.connect() as line:
            for number, text in enumerate([*_PLAIN, "\ud800", "\udfff\ud800", "a\udcff"]):
                good = {
                    "event_id": f"{field}-{number}",
                    "customer_id": "C-0001",
                    "product_id": "acme-P-01",
                    "kind": "shown",
                }
                events = [good, {**good, "event_id": f"{field}-{number}-b", field: text}]
                answer = ask(
                    line,
                    "POST",
                    "/tenants/acme/feedback",
                    key,
                    json.dumps({"events": events}).encode(),
                )
                harmless(answer)
                results = json.loads(answer.partition(b"\r\n\r\n")[2])["results"]
                assert results[0]["result"] in ("stored", "repeated")

        assert outside(paths, port.world.config.home) == []

    def test_in_a_rule_or_a_reason_is_kept_as_it_is_or_refused(self, port: Port) -> None:
        key, paths = port.keys[ACME, Role.ADMIN], opened()
        with port.connect() as line:
            for text in [*_PLAIN, "\ud800", "x" * 5000]:
                for path, body in (
                    ("/rules", {"action": "exclude", "product_id": text, "why": "a test"}),
                    ("/rules", {"action": "bury", "category": text, "value": 0.5, "why": "a test"}),
                    ("/rules", {"action": "exclude", "product_id": "x", "until": text, "why": "a"}),
                    ("/editions/99/activate", {"why": text}),
                ):
                    sent = json.dumps(body).encode()
                    harmless(ask(line, "POST", f"/tenants/acme{path}", key, sent))

        assert outside(paths, port.world.config.home) == []

    def test_as_a_key_opens_nothing(self, port: Port) -> None:
        paths = opened()
        for text in _PLAIN:
            if any(sign in text for sign in "\r\n\x00") or len(text) > 900:
                continue
            for key in (text, f"rf_{text}", f"rf_{text}.{text}"):
                with port.connect() as line:
                    answer = ask(line, "GET", "/tenants/acme/mode", key)
                assert status(answer) in (400, 401), text

        assert outside(paths, port.world.config.home) == []

    def test_as_a_request_id_is_not_sent_back(self, port: Port) -> None:
        for text in _PLAIN:
            sent = text.encode("utf-8", "replace")
            if b"\r" in sent or b"\n" in sent or b"\x00" in sent or len(sent) > 900:
                continue
            with port.connect() as line:
                answer = ask(
                    line, "GET", "/health/live", "x", header=b"X-Request-ID: " + sent + b"\r\n"
                )
            harmless(answer) if status(answer) != 400 else None
            assert answer.isascii()


def test_the_hook_would_see_a_path_outside(tmp_path: Path) -> None:
    paths = opened()
    (tmp_path / "x").write_text("x")

    assert outside(paths, Path("/nowhere")) == [str(tmp_path / "x")]
