"""docs/button.md is pasted into a page, and a real browser opens it before a real server."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest

from schema.names import FeedbackKind, Mode, Role, TenantId
from tests.scenarios.test_http import Server, server
from tests.serving.morning import Night, until
from tests.world import ACME, BETA, World, open_world, tables

DOC = (Path(__file__).parents[2] / "docs" / "button.md").read_text()
[SNIPPET] = re.findall(r"```html\n(.*?)```", DOC, re.DOTALL)
[PYTHON] = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
HOSTILE = "<img src=x onerror=\"document.body.append('EXECUTED')\">"
CLICK = """<script type="module">
  const timer = setInterval(() => {
    const button = document.querySelector("[data-recs] button");
    if (button) { clearInterval(timer); button.click(); }
  }, 20);
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        assert os.environ.get("CI") != "true", "CI has no chromium: .ci/run installs it"
        pytest.skip("there is no chromium; `apt-get install chromium` brings it")
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """acme and beta after a night, every product's name a piece of HTML."""
    world = open_world(tmp_path_factory.mktemp("shop"))
    for name in (ACME, BETA):
        made = tables(name)
        products = made["products"]
        names = pa.array([f"{text} {HOSTILE}" for text in products["name"].to_pylist()])
        at = products.column_names.index("name")
        world.add(name)
        world.import_(name, {**made, "products": products.set_column(at, "name", names)})
        assert world.night(name).published
    keys: dict[tuple[TenantId | None, Role], str] = {
        (name, role): world.key(name, role)
        for name in (ACME, BETA)
        for role in (Role.SELLER, Role.ADMIN)
    }
    with server(world, Night(world.folder, keys)) as made_server:
        yield made_server
    world.stores.engine.dispose()


class Page(ThreadingHTTPServer):
    """The company's own web server: one page, and what is asked below /recfactory passed on."""

    daemon_threads = True

    def __init__(self, shop: Server, tenant: TenantId, html: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.html, self.to = html, f"http://127.0.0.1:{shop.port}/tenants/{tenant}"
        self.key = shop.night.keys[tenant, Role.SELLER]
        self.refuse_first = 0
        self.told = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        page = self.server
        assert isinstance(page, Page)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        below = self.path.removeprefix("/recfactory")
        if below == self.path:
            status, kind, content = 200, "text/html; charset=utf-8", page.html.encode()
        elif below == "/feedback" and page.told < page.refuse_first:
            page.told += 1
            status, kind, content = 503, "text/plain", b"away"
        else:
            headers = {"Authorization": f"Bearer {page.key}", "Content-Type": "application/json"}
            found = httpx2.request(
                self.command, page.to + below, content=body, headers=headers, timeout=20
            )
            status, kind, content = found.status_code, found.headers["content-type"], found.content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def page(shop: Server, tenant: TenantId, customer: str, more: str = "") -> Iterator[Page]:
    html = f"<!doctype html>{SNIPPET.replace('C-1042', customer)}{more}"
    made = Page(shop, tenant, html)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def opened(chromium: str, page: Page, folder: Path, milliseconds: int = 4000) -> str:
    """The page as it stands after so much of its own time."""
    done = subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={folder / 'browser'}",
            f"--virtual-time-budget={milliseconds}",
            "--dump-dom",
            f"http://127.0.0.1:{page.server_port}/",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "<section" in done.stdout, done.stderr[-2000:]
    return done.stdout


def told(world: World, tenant: TenantId, kind: FeedbackKind) -> list[dict[str, Any]]:
    soon = datetime.now(UTC) + timedelta(days=2)
    return world.stores.feedback.events(tenant, soon, [kind])


def of(customer: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["customer_id"] == customer]


class TestTheButton:
    def test_shows_the_list_and_tells_what_became_of_it(
        self, chromium: str, shop: Server, tmp_path: Path
    ) -> None:
        with page(shop, ACME, "C-0001", CLICK) as made:
            shown = opened(chromium, made, tmp_path)
            until(lambda: len(of("C-0001", told(shop.world, ACME, FeedbackKind.ACCEPTED))) == 1)
        lines = shop.recs("C-0001", ACME, "?limit=5")["recommendations"]
        assert '<section data-recs="C-0001">' in shown
        assert re.findall(r"<strong>(acme product \d+)", shown) == [
            line["name"].removesuffix(f" {HOSTILE}") for line in lines
        ]
        events = of("C-0001", told(shop.world, ACME, FeedbackKind.SHOWN))
        assert {(event["product_id"], event["rank"]) for event in events} == {
            (line["product_id"], line["rank"]) for line in lines
        }
        assert {event["edition"] for event in events} == {1}
        [accepted] = of("C-0001", told(shop.world, ACME, FeedbackKind.ACCEPTED))
        assert accepted["product_id"] == lines[0]["product_id"]
        assert of("C-0001", told(shop.world, BETA, FeedbackKind.SHOWN)) == []

    def test_runs_nothing_that_a_name_holds(
        self, chromium: str, shop: Server, tmp_path: Path
    ) -> None:
        with page(shop, BETA, "C-0002") as made:
            shown = opened(chromium, made, tmp_path)
        assert "EXECUTED')" in shown
        assert "EXECUTED<" not in shown
        assert "<img" not in shown
        assert shown.count("&lt;img") >= 5  # in names, and in reasons that name products

    def test_is_hidden_while_the_tenant_is_off(
        self, chromium: str, shop: Server, tmp_path: Path
    ) -> None:
        shop.switch(Mode.OFF)
        try:
            with page(shop, ACME, "C-0003") as made:
                shown = opened(chromium, made, tmp_path)
        finally:
            shop.switch(Mode.ON)
        assert 'data-recs="C-0003" hidden' in shown
        assert "<li>" not in shown
        assert of("C-0003", told(shop.world, ACME, FeedbackKind.SHOWN)) == []

    def test_tells_again_what_did_not_arrive(
        self, chromium: str, shop: Server, tmp_path: Path
    ) -> None:
        with page(shop, ACME, "C-0004") as made:
            made.refuse_first = 2
            opened(chromium, made, tmp_path, 15_000)
            until(lambda: len(of("C-0004", told(shop.world, ACME, FeedbackKind.SHOWN))) == 5)
            assert made.told == 2

    def test_never_holds_a_key(self) -> None:
        assert "Authorization" not in SNIPPET
        assert "rf_" not in SNIPPET


def test_the_python_example_runs(shop: Server) -> None:
    key = shop.night.keys[ACME, Role.SELLER]
    code = PYTHON.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{shop.port}")
    exec(compile(code, "button.md", "exec"), {"key": key})
    assert of("C-1042", told(shop.world, ACME, FeedbackKind.SHOWN))
