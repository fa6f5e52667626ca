"""The lookup against floors, its latency at half capacity, during swaps, and with every tenant.

    python -m benchmarks.day [--tenants 4000] [--seconds 2] [--rounds 5] [--json]

Capacity is measured with ``wrk`` (Debian's package), closed-loop, one server process and one load
process at a time, floors and lookup in turn; each ratio is paired within its round. Latency is
measured open-loop (``openloop``). The lookup is the real one, by ``recfactory serve``: with
authentication, mode, a rule, limits, over 2,000 customers in turn.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.day.made import Size, build, customer, name
from benchmarks.day.openloop import Latencies, get, measure
from benchmarks.day.served import Served, free_port, served
from benchmarks.day.swaps import swapping

ROOT = Path(__file__).parents[2]
FIRST = Size(tenants=1, customers=2000, products=500)
FLOORS = {
    "bare ASGI function": "benchmarks.day.floors:bare",
    "Starlette route, LMDB read": "benchmarks.day.floors:starlette",
    "FastAPI route, same bytes": "benchmarks.day.floors:fastapi",
    "FastAPI route, models": "benchmarks.day.floors:models",
}
LOOKUP = "the lookup"
OPENINGS = 200
"""Tenants a second that are asked for when all are opened, one after the other."""
UNLIMITED = {
    f"RECFACTORY_SERVING__LIMITS__{key}": "1000000000"
    for key in ("KEY_PER_SECOND", "KEY_BURST", "TENANT_PER_SECOND", "TENANT_BURST")
}
"""Limits are checked, and never reached."""


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tenants", type=int, default=4000)
    arguments.add_argument(
        "--seconds", type=float, default=2.0, help="of one measurement; wrk knows whole ones"
    )
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: `apt-get install wrk`")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        key = build(home, FIRST, Size(asked.tenants, customers=50, products=100))
        found = run(home, key, asked.tenants, asked.seconds, asked.rounds)
    if asked.json:
        print(json.dumps(found))
    else:
        show(found)


def run(home: Path, key: str, tenants: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Everything, in one run."""
    env = {"RECFACTORY_HOME": str(home), "RECFACTORY_SERVING__OPEN_TENANTS": str(tenants + 1)}
    with ExitStack() as stack:
        lookup = stack.enter_context(serve(env))
        floors = _floors(stack, home, key, lookup)
        capacity = _capacity({**floors, LOOKUP: lookup}, key, seconds, rounds)
        rate = statistics.median(capacity[LOOKUP]) / 2
        quiet, swapped, swaps = _while_swapping(home, key, lookup, rate, tenants, seconds, rounds)
    with serve(env) as all_of_them:
        before = all_of_them.megabytes
        requests = [_recs(n % (tenants + 1), n, key) for n in range(1, 2 * tenants)]
        wide = measure(all_of_them.port, requests, rate=OPENINGS, seconds=2 * tenants / OPENINGS)
        after = all_of_them.megabytes, all_of_them.descriptors
    return {
        "requests_per_second": {what: statistics.median(r) for what, r in capacity.items()},
        "share_of_bare": {
            what: statistics.median(
                r / bare for r, bare in zip(rates, capacity["bare ASGI function"], strict=True)
            )
            for what, rates in capacity.items()
        },
        "open_loop": {"rate": rate, **_told(quiet)},
        "while_swapping": {"swaps_per_minute": swaps, **_told(swapped)},
        "p99_ratio": statistics.median(
            s.milliseconds(99) / q.milliseconds(99) for q, s in zip(quiet, swapped, strict=True)
        ),
        "all_tenants": {
            "tenants": tenants,
            **_told([wide]),
            "megabytes_before": before,
            "megabytes_after": after[0],
            "descriptors": after[1],
        },
        "ready_after_seconds": lookup.ready_after,
    }


def serve(env: Mapping[str, str]) -> Any:
    """The real service."""
    port = free_port()
    more = {**env, **UNLIMITED, "RECFACTORY_SERVING__PORT": str(port)}
    return served(["recfactory", "serve"], port, more)


def _floors(stack: ExitStack, home: Path, key: str, lookup: Served) -> dict[str, Served]:
    answer = home / "answer.json"
    address = f"http://127.0.0.1:{lookup.port}/tenants/{name(0)}/customers/{customer(0)}/recs"
    header = f"Authorization: Bearer {key}"
    subprocess.run(["curl", "-sfo", answer, "-H", header, address], check=True)
    env = {
        "FLOOR_LISTS": str(home / "tenants/b00000/editions/e000002/lists.lmdb"),
        "FLOOR_ANSWER": str(answer),
    }
    found = {}
    for what, app in FLOORS.items():
        port = free_port()
        words = ["uvicorn", app, f"--app-dir={ROOT}", f"--port={port}"]
        words += ["--no-access-log", "--log-level=error"]
        factory = [] if app.endswith(":bare") else ["--factory"]
        found[what] = stack.enter_context(served([*words, *factory], port, env))
    return found


def _capacity(
    servers: Mapping[str, Served], key: str, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Requests per second by server and round."""
    found: dict[str, list[float]] = {what: [] for what in servers}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            "local n = 0\nrequest = function()\n  n = n + 7919\n  return wrk.format('GET', "
            f"string.format('/tenants/{name(0)}/customers/C-%05d/recs', n % {FIRST.customers}))\nend\n"
        )
        script.flush()
        for _ in range(rounds):
            for what, server in servers.items():
                words = ["wrk", "-t1", "-c16", f"-d{max(1, round(seconds))}s", "-s", script.name]
                words += ["-H", f"Authorization: Bearer {key}", f"http://127.0.0.1:{server.port}/"]
                told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
                if "Non-2xx" in told:
                    raise SystemExit(f"{what} answered with errors:\n{told}")
                rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
                assert rate is not None
                found[what].append(float(rate[1]))
    return found


def _while_swapping(
    home: Path, key: str, server: Served, rate: float, tenants: int, seconds: float, rounds: int
) -> tuple[list[Latencies], list[Latencies], float]:
    """In turn: quiet, and with a thousand editions swapped a minute among the asked tenants."""
    most = min(tenants, 200)
    requests = [_recs(n % (most + 1), n, key) for n in range(20_000)]
    measure(server.port, requests, rate=rate / 4, seconds=1)  # everybody's edition is open
    quiet, swapped, swaps = [], [], []
    for _ in range(rounds):
        quiet.append(measure(server.port, requests, rate=rate, seconds=seconds))
        with swapping(home, most) as count:
            begin, had = time.perf_counter(), count.value
            swapped.append(measure(server.port, requests, rate=rate, seconds=seconds))
            swaps.append((count.value - had) / (time.perf_counter() - begin) * 60)
    return quiet, swapped, statistics.median(swaps)


def _recs(tenant: int, number: int, key: str) -> bytes:
    most = FIRST.customers if tenant == 0 else 50
    return get(f"/tenants/{name(tenant)}/customers/{customer(number % most)}/recs", key)


def _told(runs: list[Latencies]) -> dict[str, Any]:
    at = {
        f"p{percent:g}_ms": statistics.median(run.milliseconds(percent) for run in runs)
        for percent in (50, 99, 99.9)
    }
    return {
        **at,
        "asked": sum(run.asked for run in runs),
        "errors": sum(run.errors for run in runs),
        "mixed": sum(run.mixed for run in runs),
    }


def show(found: Mapping[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    table = Table(title="Capacity of one process (wrk, medians)")
    for head in ("what", "requests/s", "of bare"):
        table.add_column(head, justify="left" if head == "what" else "right")
    for what, rate in found["requests_per_second"].items():
        table.add_row(what, f"{rate:,.0f}", f"{found['share_of_bare'][what]:.0%}")
    console.print(table)
    table = Table(title=f"Latency, open-loop at {found['open_loop']['rate']:,.0f} requests/s")
    for head in ("when", "p50 ms", "p99 ms", "p99.9 ms", "asked", "errors", "mixed"):
        table.add_column(head, justify="left" if head == "when" else "right")
    tenants = found["all_tenants"]
    for what, row in {
        "quiet": found["open_loop"],
        f"{found['while_swapping']['swaps_per_minute']:,.0f} swaps a minute": found[
            "while_swapping"
        ],
        f"{tenants['tenants']:,} tenants, each opened, {OPENINGS} a second": tenants,
    }.items():
        at = [f"{row[f'p{percent}_ms']:.2f}" for percent in ("50", "99", "99.9")]
        table.add_row(what, *at, f"{row['asked']:,}", str(row["errors"]), str(row["mixed"]))
    console.print(table)
    console.print(
        f"p99 while swapping: {found['p99_ratio']:.2f} × quiet. "
        f"Ready {found['ready_after_seconds']:.2f} s after the start. "
        f"{tenants['tenants']:,} editions open: {tenants['megabytes_before']:.0f} -> "
        f"{tenants['megabytes_after']:.0f} MB, {tenants['descriptors']:,} descriptors."
    )


if __name__ == "__main__":
    main()
