"""The morning after: a world whose tenants had a night, and an application that serves it."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from schema.config import Serving
from schema.names import Role, TenantId
from serving.app import create_app
from tenants.access import EVERY_TENANT
from tests.world import ACME, BETA, World, open_world, two_tenants

SOON = Serving(refresh_seconds=0.02)
"""Changes are noticed after a fiftieth of a second, so that tests need not wait."""

Keys = Mapping[tuple[TenantId | None, Role], str]


@dataclass(frozen=True, slots=True)
class Night:
    """A home as one night left it, to be copied, and a key of every kind for it."""

    folder: Path
    keys: Keys

    def world(self, folder: Path) -> World:
        """A world of its own with a copy of everything."""
        shutil.copytree(self.folder / "home", folder / "home")
        return open_world(folder, serving=SOON)


def one_night(folder: Path) -> Night:
    """acme and beta after one night: edition 1 of each is served."""
    world = two_tenants(folder)
    for name in (ACME, BETA):
        report = world.night(name)
        assert report.published, report.because
    keys: dict[tuple[TenantId | None, Role], str] = {
        (name, role): world.key(name, role)
        for name in (ACME, BETA)
        for role in (Role.SELLER, Role.ADMIN)
    }
    keys |= {(None, role): world.key(None, role) for role in (Role.OPERATOR, Role.AUDITOR)}
    world.stores.engine.dispose()
    return Night(folder, keys)


@dataclass(frozen=True, slots=True)
class Served:
    """A world and the application that serves it, asked with a key of one's choice."""

    world: World
    client: TestClient
    keys: Keys

    @property
    def state(self) -> Any:
        """What lives as long as the process."""
        return self.client.app.api.state  # type: ignore[attr-defined]

    def ask(
        self,
        method: str,
        path: str,
        tenant: TenantId = ACME,
        *,
        key: TenantId | None = None,
        role: Role = Role.ADMIN,
        **more: Any,
    ) -> Response:
        """Ask below a tenant's address, with a key of that tenant unless another is named."""
        owner = None if role in EVERY_TENANT else key or tenant
        headers = {"Authorization": f"Bearer {self.keys[owner, role]}", "X-Request-ID": "a-test"}
        if "content" in more:
            headers["Content-Type"] = "application/json"
        return self.client.request(method, f"/tenants/{tenant}{path}", headers=headers, **more)

    def recs(
        self, customer: str = "C-0001", tenant: TenantId = ACME, **params: Any
    ) -> dict[str, Any]:
        """The answer to a lookup."""
        found = self.ask(
            "GET", f"/customers/{customer}/recs", tenant, role=Role.SELLER, params=params
        )
        assert found.status_code == 200, found.text
        body: dict[str, Any] = found.json()
        return body

    def tell(self, *events: Any, tenant: TenantId = ACME) -> dict[str, Any]:
        """The receipt for feedback."""
        found = self.ask(
            "POST", "/feedback", tenant, role=Role.SELLER, json={"events": list(events)}
        )
        assert found.status_code == 200, found.text
        body: dict[str, Any] = found.json()
        return body


@contextmanager
def serving(world: World, keys: Keys) -> Iterator[Served]:
    """Serve a world; what goes wrong inside comes back as an answer, as over a real wire."""
    with TestClient(create_app(world.config), raise_server_exceptions=False) as client:
        yield Served(world, client, keys)


def ids(body: Mapping[str, Any]) -> list[str]:
    """The products of an answer."""
    return [line["product_id"] for line in body["recommendations"]]


def problem(found: Response, status: int, code: str) -> dict[str, Any]:
    """A problem document with this status and code."""
    assert (found.status_code, found.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), found.text
    body: dict[str, Any] = found.json()
    assert set(body) == {"type", "title", "status", "code", "detail", "next_step"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:recfactory:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    return body


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
