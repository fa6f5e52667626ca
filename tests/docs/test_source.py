"""docs/source.md is true: its schema, its queries and its commands are run here, on a real PostgreSQL."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import pull
from storage import address, source
from tests.postgres import Cluster
from tests.salescore import SalesCore

PAGE = (Path(__file__).parents[2] / "docs" / "source.md").read_text()
ROWS = """
insert into customer values (4711, 'C-1', 'Inn', 'pub', 'north'), (4712, 'C-1', 'Bar', 'pub', 'south');
insert into article values (4711, 'P-1', 'Stout', 'beer', 2.50, true), (4711, 'P-2', 'Ale', 'beer', 3, false);
insert into order_line values
  (4711, 'C-1', 'P-1', 2, 5.00, '2026-03-01 10:00+01', now() - interval '1 day'),
  (4711, 'C-1', 'P-1', -1, -2.50, '2026-03-02 10:00+01', now() - interval '1 day'),
  (4711, 'C-1', 'P-2', 1, 3, '2026-03-03 10:00+01', now());
"""


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.slow
def test_what_the_page_says_works(cluster: Cluster, tmp_path: Path) -> None:
    database = SalesCore("postgresql", cluster.url(cluster.make()))
    database.do(block("sql") + ROWS)
    (tmp_path / "config.yaml").write_text(block("yaml"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        "RECFACTORY_HOME": str(tmp_path / "home"),
        "RECFACTORY_SOURCE__URL": database.url,
        "RECFACTORY_SOURCE__HOSTS": f'["127.0.0.1:{cluster.port}"]',
        "RECFACTORY_SOURCE__ALLOW_PRIVATE": '["127.0.0.1/32"]',
    }

    done = subprocess.run(
        ["bash", "-c", f"set -eux\n{block('sh')}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.password not in done.stdout + done.stderr
    [data] = (tmp_path / "home" / "tenants").glob("*/data")
    [file] = (data / "interactions").glob("*.parquet")
    lines = pq.read_table(file).select(["event", "quantity", "value"]).to_pylist()
    assert sorted(lines, key=str) == [
        {"event": "purchase", "quantity": 2.0, "value": 5.0},
        {"event": "return", "quantity": -1.0, "value": -2.5},
    ]


def test_every_code_is_on_the_page() -> None:
    raised = {
        code
        for module in (pull, address, source)
        for code in re.findall(r'"(SOURCE_[A-Z]+)"', Path(str(module.__file__)).read_text())
    }
    assert raised == set(re.findall(r"`(SOURCE_[A-Z]+)` \|", PAGE))
