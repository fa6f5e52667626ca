"""JSON that means one thing only: what two readers could take differently is refused."""

import json
import math
from typing import Any, NoReturn

from serving.control import Denied


def check(body: bytes) -> None:
    r"""Refuse what Python's reader, and FastAPI with it, would let pass.

    That is NaN and Infinity, numbers beyond a double, whole ones of more than 4,300 digits, a name
    that comes twice in one object, another encoding than UTF-8, and nesting beyond the
    interpreter's limit (about a thousand). Half a character (``"\ud800"``) and a whole number that
    is merely large are left to whoever reads that field: one such event must not cost the others
    of its letter. Linear in the body's length.

    Raises:
        Denied: 422 (``JSON``), with what is wrong.
    """
    try:
        _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise _denied("it is not UTF-8") from None
    except RecursionError:
        raise _denied("it is nested too deeply") from None
    except ValueError as error:
        raise _denied(str(error)[:200]) from None


def _denied(why: str) -> Denied:
    return Denied(
        422, f"the body is not the JSON it should be: {why}", "send RFC 8259 JSON in UTF-8", "JSON"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return made


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_constant, parse_float=_float)
