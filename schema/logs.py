"""The log: one JSON object a line, which says whose night or which request it belongs to."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from schema.errors import Problem

ABOUT: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))
"""What every line from here on is about: {"tenant": …, "night": …, "stage": …}, or a request."""

WORDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""The form of a line where a person sits before it."""

_ROOT = Path(__file__).parents[1]


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Say on every line told inside what it is about.

    An error leaves it said: whoever catches it, inside an ``about`` of their own, tells where it
    happened. Where there is none around, it ends here: nothing later is about this.
    """
    outer = ABOUT.get()
    ABOUT.set({**outer, **fields})
    try:
        yield
    except BaseException:
        if not outer:
            ABOUT.set(outer)
        raise
    ABOUT.set(outer)


def start_log(level: int | str) -> None:
    """Write the log of this process to standard error: words on a terminal, else JSON lines.

    What has set the log up already is left alone.
    """
    lines = _StandardError()
    lines.setFormatter(logging.Formatter(WORDS) if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=level, handlers=[lines])


class _StandardError(logging.StreamHandler[Any]):
    """Looks for it at every line: a progress line puts itself in its place, to be written below."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class JsonLines(logging.Formatter):
    """One record, one line of ASCII: what is not a letter of it travels as an escape, so that
    neither a line break of any alphabet nor a terminal's command gets through.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().strip(),
            **ABOUT.get(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= _error(record.exc_info[1])
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def _error(error: BaseException) -> dict[str, Any]:
    """What went wrong and where. Not its text, unless that is ours or the system's: a database's
    holds the row, a KeyError the key.
    """
    ours = isinstance(error, Problem | OSError)
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": f"{type(error).__name__}: {error}" if ours else type(error).__name__,
        "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
    }


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name)
