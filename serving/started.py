"""Work that is too much for the server: commands of ours in processes of their own."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from schema.config import Config


async def run_cli(args: Sequence[str], config: Config, *, by: str | None = None) -> tuple[int, Any]:
    """Run a command of ``recfactory`` that prints JSON (``--json``).

    Args:
        by: who asked for it, for the audit trail.

    Returns:
        Exit status and what it printed; None if that is no JSON.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from jobs.cli import main; main()", *args,
        env={**os.environ, "RECFACTORY_HOME": str(config.home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    printed, _ = await process.communicate()
    try:
        return process.returncode or 0, orjson.loads(printed)
    except orjson.JSONDecodeError:
        return process.returncode or 0, None
