"""Every route, with every kind of credential, about every kind of object.

Routes come from the application's own table, what should happen from its policy. A cell is one
question; it is right if exactly the listed answer comes, a refused one changed nothing, and no
answer holds a mark of a tenant that does not exist for the one who asked.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from schema.names import Action, Mode, Role, TenantId
from schema.records import Caller, Rule, Tenant
from serving.app import create_app
from serving.control import Switchboard
from serving.policy import POLICY, RECS
from tenants.access import make_key
from tests.serving.morning import Night, until
from tests.serving.sign_in import SignIn, confused, token
from tests.world import ACME, BETA, NOW, World

COLD, GONE = TenantId("cold"), TenantId("gone")
"""A tenant that is frozen, and one that is off."""

ABSENT, MALFORMED = "nobody", "..%00;beta"
ABSENT_ID = "0123456789ab"

BODIES: Mapping[str, Mapping[str, Any]] = {
    "/feedback": {"events": [{}]},
    "/data/mapping": {"mapping": {"currency": "EUR"}, "why": "a test"},
    "/mode": {"mode": "off", "why": "a test"},
    "/rules": {"action": "max_per_category", "value": 3, "why": "a test"},
    "/promote": {"why": "a test"},
    "/discard": {"why": "a test"},
    "/release": {"why": "a test"},
    "/activate": {"why": "a test"},
    "/tenants": {"tenant": "another"},
}
"""What a route wants to hear, by the end of its address; any other takes an empty object."""

Question = tuple[str, str, bytes | None, bytes]
"""Method, address, Authorization header, body."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody shows, and what it is worth."""

    name: str
    header: bytes | None
    tenant: TenantId | None = None
    role: Role | None = None
    """None: worth nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def code(self) -> str | None:
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found.get("code") if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class House:
    """A served world, everything that can be shown at its door, and what there is behind it."""

    client: TestClient
    ledger: Path
    credentials: tuple[Credential, ...]
    ids: Mapping[str, Mapping[TenantId, tuple[str, str]]]
    """By what an id is about and whose it is: one of theirs, and one that only another tenant has."""

    @property
    def api(self) -> FastAPI:
        """Behind the lookups: what has the routes."""
        found: FastAPI = self.client.app.api  # type: ignore[attr-defined]
        return found

    def ask(self, *questions: Question) -> list[Answer]:
        """Ask the application itself, address as it is written, in its own event loop."""
        assert self.client.portal is not None
        return [self.client.portal.call(_asked, self.client.app, each) for each in questions]

    def state(self) -> str:
        """Every byte of the ledger."""
        return hashlib.sha256(self.ledger.read_bytes()).hexdigest()


async def _asked(app: Any, question: Question) -> Answer:
    method, address, header, body = question
    path, _, query = address.partition("?")
    headers = [(b"host", b"test"), (b"content-type", b"application/json")]
    headers += [(b"content-length", str(len(body)).encode())]
    headers += [] if header is None else [(b"authorization", header)]
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    decoded = re.sub("%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": decoded, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": headers, "server": ("test", 80),
        "client": ("127.0.0.1", 1), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    told = [pair for pair in sent[0]["headers"] if pair[0] not in (b"date", b"x-request-id")]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], tuple(told), body)


def routes(app: Any) -> list[tuple[str, str]]:
    """(method, template) of the application's own table."""
    return sorted(
        (method, str(found.path_format))
        for found in iter_route_contexts(app.routes)
        for method in (found.methods or {"GET"}) - {"HEAD"}
    )


def address(template: str, tenant: str, ids: Mapping[str, str]) -> str:
    found = template.replace("{tenant}", tenant)
    return re.sub(r"{(\w+)}", lambda name: ids.get(name[1], "1"), found)


def kind_of(template: str) -> str:
    """Which thing an id in this address is about: rules and models both have numbers."""
    return template.partition("{tenant}/")[2].partition("/")[0] or template.split("/")[1]


def body_of(method: str, template: str) -> bytes:
    if method in ("GET", "DELETE"):
        return b""
    ends = (said for end, said in BODIES.items() if template.endswith(end))
    return json.dumps(next(ends, {})).encode()


def refusal(credential: Credential, line: tuple[str, str], tenant: str) -> tuple[int, str] | None:
    """The answer at the door, as the policy has it; None: come in."""
    if not POLICY[line]:
        return None
    if credential.role is None:
        return 401, "NO_KEY"
    names = {ACME, BETA, COLD, GONE} if credential.tenant is None else {credential.tenant}
    if "{tenant}" in line[1] and tenant not in names:
        return 404, "NO_TENANT"
    return None if credential.role in POLICY[line] else (403, "ROLE")


MARKS = {name: (f"{name}-P-".encode(), f"{name} Ltd".encode()) for name in (ACME, BETA)}


def foreign_mark(credential: Credential, answer: Answer) -> bool:
    """Whether an answer says something of a tenant that does not exist for who asked."""
    if credential.role is not None and credential.tenant is None:
        return False
    others = [marks for name, marks in MARKS.items() if name != credential.tenant]
    return any(mark in answer.body for marks in others for mark in marks)


def unexpected(house: House, lines: list[tuple[str, str]]) -> tuple[int, list[str]]:
    """How many cells there are, and a sentence for each that is wrong."""
    cells, wrong = 0, []
    for line, credential in product(lines, house.credentials):
        method, template = line
        own = credential.tenant or ACME
        other = BETA if own != BETA else ACME
        absent = ABSENT_ID if "{key}" in template else "9"
        ours, theirs = house.ids.get(kind_of(template), {}).get(own, ("1", absent))
        names = [own, other, ABSENT, MALFORMED] if "{tenant}" in template else [own]
        inner = [ours, theirs, absent] if re.search(r"{(number|key)}", template) else [ours]
        told: dict[tuple[str, str], Answer] = {}
        for name, id_ in product(names, inner):
            expected = refusal(credential, line, name)
            where = address(template, name, {"number": id_, "key": id_, "customer": "C-0001",
                                             "path": "swagger-ui.css"})  # fmt: skip
            before = house.state()
            bodies = [b"{"] if expected is None and id_ is ours else [body_of(method, template)]
            bodies += [b"{"] if expected else []
            for body in bodies:
                [answer] = house.ask((method, where, credential.header, body))
                cells += 1
                got = (answer.status, answer.code)
                right = got == expected if expected else _inside(answer, got, id_ is ours)
                right &= not foreign_mark(credential, answer)
                right &= expected is None or house.state() == before
                told[name, id_] = answer
                if not right:
                    wrong.append(f"{credential.name}: {method} {where} {got}, not {expected}")
        if credential.role is None or credential.tenant is not None:
            pairs = [((other, id_), (ABSENT, id_)) for name, id_ in told if name == other]
            pairs += [((own, theirs), (own, absent))] if (own, theirs) in told else []
            wrong += [
                f"{credential.name}: {line} tells {one} from {two}"
                for one, two in pairs
                if _without(told[one], one[1]) != _without(told[two], two[1])
            ]
    return cells, wrong


def _inside(answer: Answer, got: tuple[int, str | None], there: bool) -> bool:
    """Past the door: whatever it is, no door's answer, no defect; and what is not there is 404."""
    doors = answer.status == 401 or got in {(403, "ROLE"), (404, "NO_TENANT")}
    return not doors and answer.status < 500 and (there or answer.status in (200, 404, 422))


def _without(answer: Answer, id_: str) -> Answer:
    """An answer that repeats the id it was asked for, without it."""
    return replace(answer, body=re.sub(rb"\b%b\b" % id_.encode(), b"", answer.body))


@pytest.fixture
def house(night: Night, morning: World, sign_in: SignIn) -> Iterator[House]:
    """acme and beta after a night, one tenant that is frozen and one that is off."""
    for name, mode in ((COLD, Mode.FREEZE), (GONE, Mode.OFF)):
        morning.add(name)
        morning.switch(name, mode)
    for name, category in ((ACME, None), (BETA, None), (BETA, "even")):
        rule = Rule(0, Action.MAX_PER_CATEGORY, None, category, 9.0, "a test", "test", NOW, None)
        morning.stores.ledger.add_rule(name, rule, at=NOW)
    credentials = tuple(shown(morning, night))
    spare = {name: spare_key(morning, name) for name in (ACME, BETA)}
    ids = {
        "rules": {ACME: ("1", "2"), BETA: ("2", "3")},
        "keys": {ACME: (spare[ACME], spare[BETA]), BETA: (spare[BETA], spare[ACME])},
    }
    config = morning.config.model_copy(update={"oidc": sign_in.settings})
    with TestClient(create_app(config), raise_server_exceptions=False) as client:
        made = House(client, config.home / "ledger.db", credentials, ids)
        signed = ("GET", "/tenants/acme/customers/C-0001/recs", f"Bearer {token()}".encode(), b"")
        until(lambda: made.ask(signed)[0].status == 200)  # its keys are on their way
        yield made


def spare_key(world: World, name: TenantId) -> str:
    """A key that nobody uses, to be rotated and revoked."""
    key, _ = make_key(name, Role.SELLER, "spare", world.stores.pepper, at=datetime.now(UTC))
    world.stores.ledger.add_key(key, by="test")
    return key.key_id


def shown(world: World, night: Night) -> Iterator[Credential]:
    """Every kind of credential there is."""
    seller, operator = night.keys[ACME, Role.SELLER], night.keys[None, Role.OPERATOR]
    ledger, now = world.stores.ledger, datetime.now(UTC)
    slip = seller[:-1] + ("0" if seller[-1] != "0" else "1")

    def bearer(text: str) -> bytes:
        return f"Bearer {text}".encode()

    def key(tenant: TenantId | None, role: Role, **more: Any) -> tuple[str, str]:
        made, text = make_key(tenant, role, "", world.stores.pepper, at=now, **more)
        ledger.add_key(made, by="test")
        return made.key_id, text

    yield Credential("none", None)
    yield Credential("malformed header", b"Bearer")
    yield Credential("wrong scheme", f"Basic {seller}".encode())
    yield Credential("no scheme", seller.encode())
    yield Credential("random, well-formed", bearer("rf_0123456789ab." + "A" * 51))
    yield Credential("broken checksum", bearer(slip))
    yield Credential("only its id", bearer(seller.partition(".")[0] + "."))
    yield Credential("another's secret", bearer(seller.partition(".")[0] + "." + operator.partition(".")[2]))  # fmt: skip
    yield Credential("two at once", bearer(f"{seller} {operator}"))
    yield Credential("expired", bearer(key(ACME, Role.ADMIN, expires_at=now)[1]))
    revoked = key(ACME, Role.ADMIN)
    ledger.revoke_key(revoked[0], by="test", at=now)
    yield Credential("revoked", bearer(revoked[1]))
    stopped = key(None, Role.OPERATOR)
    world.stores.revoked.add(stopped[0])
    yield Credential("revoked while the ledger was away", bearer(stopped[1]))
    for tenant in (ACME, BETA):
        for role in (Role.SELLER, Role.ADMIN):
            yield Credential(f"{tenant}'s {role}", bearer(night.keys[tenant, role]), tenant, role)
    for tenant, word in ((COLD, "a frozen tenant's"), (GONE, "an off tenant's")):
        yield Credential(f"{word} admin", bearer(key(tenant, Role.ADMIN)[1]), tenant, Role.ADMIN)
    ending = key(ACME, Role.SELLER, expires_at=now + timedelta(days=1))[1]
    yield Credential("a seller's that will end", bearer(ending), ACME, Role.SELLER)
    yield Credential("operator", bearer(operator), None, Role.OPERATOR)
    yield Credential("auditor", bearer(key(None, Role.AUDITOR)[1]), None, Role.AUDITOR)
    yield Credential("token of a seller", bearer(token()), ACME, Role.SELLER)
    lead = token(tenant="beta", role="sales-lead")
    yield Credential("token of beta's admin", bearer(lead), BETA, Role.ADMIN)
    yield Credential("token, expired", bearer(token(exp=1)))
    yield Credential("token, signed with the public key", bearer(confused()))


@pytest.mark.slow
def test_every_cell_has_the_answer_the_policy_says(house: House) -> None:
    lines = routes(house.api)
    assert set(lines) == set(POLICY)

    cells, wrong = unexpected(house, lines)

    print(f"routes={len(lines)} credentials={len(house.credentials)} cells={cells} unexpected={len(wrong)}")  # noqa: T201  # fmt: skip
    assert wrong == []
    assert cells > 3000


class TestAKeyInTheQuery:
    def test_opens_nothing(self, house: House) -> None:
        for method, template in routes(house.api):
            if not POLICY[method, template]:
                continue
            for credential in house.credentials:
                if credential.role is None or credential.header is None:
                    continue
                text = credential.header.decode().removeprefix("Bearer ")
                where = address(template, credential.tenant or ACME, {})
                query = f"?key={text}&access_token={text}&Authorization=Bearer%20{text}"
                [answer] = house.ask((method, where + query, None, b"{"))
                assert (answer.status, answer.code) == (401, "NO_KEY"), (method, where)


STRANGE = ("HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW", "PROPFIND")


class TestAStrangeMethod:
    def test_opens_nothing(self, house: House) -> None:
        known = routes(house.api)
        keys = [each for each in house.credentials if each.role is not None]
        for template in sorted({path for line, path in known if POLICY[line, path]}):
            there = {method for method, path in known if path == template}
            for method in (*STRANGE, "GET", "POST", "PUT", "PATCH", "DELETE"):
                if method == "PUT" and template.endswith("/data/reports"):
                    continue  # read as /data/{table}, and refused as such: no table has this name
                for credential in keys if method not in there else ():
                    where = address(template, credential.tenant or ACME, {})
                    before = house.state()
                    [answer] = house.ask((method, where, credential.header, b"{}"))
                    assert answer.status == 405, (method, where)
                    assert house.state() == before


TRICKS = (
    "{}/", "/{}", "{};x=1", "{}%2f", "{}%00", "{}/.", "/.{}", "/x/..{}", "{}//", "{}.json", "{}%20",
)  # fmt: skip


class TestATrickWithTheAddress:
    def test_opens_nothing_to_who_may_not(self, house: House) -> None:
        for method, template in routes(house.api):
            for trick, credential in product(TRICKS, house.credentials):
                if refusal(credential, (method, template), ACME) is None:
                    continue
                where = trick.format(address(template, ACME, {"customer": "C-0001"}))
                [answer] = house.ask((method, where, credential.header, b"{}"))
                assert answer.status in (401, 403, 404, 405), (credential.name, method, where)

    def test_is_no_other_way_to_the_same_thing(self, house: House) -> None:
        admin = next(each for each in house.credentials if each.name == "acme's admin")
        for where in ("/tenants/acme/mode/", "//tenants/acme/mode", "/tenants//acme/mode",
                      "/tenants/acme//mode", "/TENANTS/acme/mode", "/tenants/acme;x/mode",
                      "/tenants/ACME/mode", "/tenants/acme%20/mode"):  # fmt: skip
            [answer] = house.ask(("GET", where, admin.header, b""))
            assert answer.status == 404, where


class TestAFieldTooMany:
    def test_changes_nothing(self, house: House) -> None:
        """Nobody sets what they may not by adding it to a body."""
        extra = {"tenant_id": "beta", "uid": "x", "state": "on", "version": 9, "revoked_at": None}
        for method, template in routes(house.api):
            for credential in house.credentials:
                if method in ("GET", "DELETE") or refusal(credential, (method, template), ACME):
                    continue
                said = json.loads(body_of(method, template))
                where, before = address(template, ACME, {}), house.state()
                for name, value in extra.items():
                    body = json.dumps({**said, name: value}).encode()
                    [answer] = house.ask((method, where, credential.header, body))
                    assert (answer.status, answer.code) == (422, "INVALID"), (where, name)
                assert house.state() == before


WATCHED = [("GET", RECS), ("PUT", "/tenants/{tenant}/mode"), ("GET", "/fleet")]


class TestThisTest:
    """Defects put in on purpose: each is seen."""

    @pytest.fixture(autouse=True)
    def _sound(self, house: House) -> None:
        assert unexpected(house, WATCHED)[1] == []

    def test_sees_that_the_tenant_is_not_checked(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("serving.control.sees", lambda caller, tenant: True)

        assert unexpected(house, WATCHED)[1]

    def test_sees_that_the_role_is_not_checked(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Switchboard, "allow", lambda *_: None)

        assert unexpected(house, WATCHED)[1]

    def test_sees_that_only_a_keys_id_is_compared(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tenants.access.hmac.compare_digest", lambda *_: True)

        assert unexpected(house, WATCHED)[1]

    def test_sees_that_another_tenant_is_used_than_was_checked(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = Switchboard.tenant

        def other(board: Switchboard, name: str, caller: Caller, roles: Any) -> Tenant:
            sound(board, name, caller, roles)
            return next(each for each in board.tenants if each.tenant == BETA)

        monkeypatch.setattr(Switchboard, "tenant", other)

        assert any("acme's seller" in line for line in unexpected(house, WATCHED)[1])

    def test_sees_that_foreign_and_absent_are_worded_differently(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = Switchboard.tenant

        def loud(board: Switchboard, name: str, caller: Caller, roles: Any) -> Tenant:
            try:
                return sound(board, name, caller, roles)
            except Exception as told:
                if any(each.tenant == name for each in board.tenants):
                    told.what += ", for you"  # type: ignore[attr-defined]
                raise

        monkeypatch.setattr(Switchboard, "tenant", loud)

        assert any("tells" in line for line in unexpected(house, WATCHED)[1])
