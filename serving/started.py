"""Work that is too much for the server: commands of ours in processes of their own."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from schema.config import ACTOR, Config

log = logging.getLogger("recfactory.serving")

_LEAVE_SECONDS = 5


async def run_cli(args: Sequence[str], config: Config, *, by: str | None = None) -> tuple[int, Any]:
    """Run a command of ``recfactory`` that prints JSON (``--json``), within the limits of an import.

    It has a session of its own, so that Ctrl-C reaches the server alone. It is stopped when its time is
    over or whoever waits for it is cancelled; commands stand being stopped anywhere.

    Args:
        by: who asked for it, for the audit trail.

    Returns:
        Exit status (negative: the signal that ended it) and what it printed; None if that is no
        JSON. A refusal prints its code, message, file, line, column and fix.
    """
    seconds = config.deliveries.import_minutes * 60
    limits = (f"{config.deliveries.import_bytes}", f"{seconds:.0f}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jobs.limited", *limits, *args,
        env={**os.environ, "RECFACTORY_HOME": str(config.home), **({ACTOR: by} if by else {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            printed, said = await process.communicate()
    except TimeoutError:
        printed, said = b"", b"stopped: its time was over"
    finally:
        await _stopped(process)
    status = process.returncode or 0
    if status not in (0, 2, 3):
        log.error("recfactory %s ended with %d: %s", " ".join(args), status, said.decode()[-2000:])
    try:
        return status, orjson.loads(printed)
    except orjson.JSONDecodeError:
        return status, None


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and end it where it does not."""
    for stop in (process.terminate, process.kill):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                stop()
                await asyncio.wait_for(process.wait(), _LEAVE_SECONDS)
