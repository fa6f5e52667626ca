"""A run's figures as Prometheus reads them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics import tell
from jobs.summary import Summary
from schema.config import Nightly
from schema.names import Again, Outcome, TenantId
from storage.durable import Disk
from tests.jobs.test_summary import END, broken, lost, night, told
from tests.world import ACME, BETA

WELL = told(night(memory=2**20), night(BETA, Outcome.TOO_SMALL))
ILL = told(night(), broken(), lost(code="FLEET_BRAKE"))


def written(folder: Path, summary: Summary = WELL) -> str:
    path = folder / "out" / "recfactory.prom"
    tell(Disk(), Nightly(metrics_file=str(path)), summary)
    return path.read_text()


def series(text: str) -> dict[tuple[str, str], float]:
    """By name and the one label's value."""
    return {
        (sample.name.removeprefix("recfactory_night_"), "".join(sample.labels.values())): float(
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestTheFile:
    def test_tells_when_the_run_ended_how_long_it_took_and_what_it_came_to(
        self, tmp_path: Path
    ) -> None:
        found = series(written(tmp_path))
        assert found["last_run_timestamp_seconds", ""] == END.timestamp()
        assert found["seconds", ""] == 30
        assert found["tenants", "promoted"] == 1
        assert found["tenants", "failed"] == 0
        assert found["stage_seconds", "train"] == 2
        assert found["largest_bytes", ""] == 2**20
        assert found["modes", "freeze"] == 1
        assert (found["exit_status", ""], found["braked", ""]) == (0, 0)

    def test_tells_failures_by_code_and_the_brake(self, tmp_path: Path) -> None:
        found = series(written(tmp_path, ILL))
        assert found["failures", "DATA_BROKEN"] == 1
        assert (found["exit_status", ""], found["braked", ""]) == (3, 1)

    def test_tells_dead_letters_apart_from_what_is_tried_again(self, tmp_path: Path) -> None:
        dead = replace(
            broken(), figures={"code": "WORKER_LOST", "again": Again.BY_HAND, "attempts": 2}
        )
        late = replace(
            broken(TenantId("late")), figures={"code": "DEADLINE", "again": Again.BY_HAND}
        )
        found = series(written(tmp_path, told(night(), dead, late, broken(TenantId("again")))))
        assert (found["given_up", ""], found["tenants", "failed"]) == (1, 3)

    def test_names_no_tenant_however_many_there_are(self, tmp_path: Path) -> None:
        some = written(tmp_path, told(*(broken(TenantId(f"t{n}")) for n in range(3))))
        many = written(tmp_path, told(*(broken(TenantId(f"t{n}")) for n in range(99))))
        assert len(series(some)) == len(series(many))
        assert ACME not in written(tmp_path, ILL)

    def test_is_replaced_whole_so_that_a_reader_never_sees_half_of_it(self, tmp_path: Path) -> None:
        path = tmp_path / "recfactory.prom"
        path.write_text("old")
        with path.open() as reader:
            tell(Disk(), Nightly(metrics_file=str(path)), WELL)
            assert reader.read() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["recfactory.prom"]

    def test_that_cannot_be_written_fails_no_night(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        tell(Disk(), Nightly(metrics_file=str(tmp_path / "file" / "x.prom")), WELL)
        assert "could not be told" in caplog.text


class TestTheDocs:
    def test_name_every_figure(self, tmp_path: Path) -> None:
        page = (Path(__file__).parents[2] / "docs" / "night.md").read_text()
        text = written(tmp_path, told(night(memory=1), broken()))
        assert [name for name, _ in series(text) if f"`{name}" not in page] == []


class TestThePushGateway:
    def test_gets_the_same_figures(self) -> None:
        with gateway() as (address, bodies):
            tell(Disk(), Nightly(metrics_push=address), WELL)
        [(path, body)] = bodies
        assert path == "/metrics/job/recfactory_night"
        assert series(body)["tenants", "promoted"] == 1

    def test_that_is_away_fails_no_night(self, caplog: pytest.LogCaptureFixture) -> None:
        with gateway() as (address, _):
            pass
        tell(Disk(), Nightly(metrics_push=address), WELL)
        assert "could not be told" in caplog.text


@contextmanager
def gateway() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A push gateway: its address, and what it was sent."""
    bodies: list[tuple[str, str]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            bodies.append((self.path, self.rfile.read(length).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()
