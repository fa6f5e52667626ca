"""docs/http.md lists every code that an answer may bear, and none that does not exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CELLS = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "docs" / "http.md").read_text(), re.MULTILINE)
LISTED = set(re.findall(r"`([A-Z_0-9]+)`", " ".join(CELLS)))

PLACE = {"Denied": 3, "_answer": 1, "Problem": 2, "Refused": 2, "NotThere": 2}
"""Where the code stands among the arguments of a call."""
FILES = {"inbox.py", "formats.py", "unpacked.py", "chunks.py", "delimited.py", "jsonlines.py"}
FILES |= {"columnar.py", "pages.py"}
ELSEWHERE = {"config.py", "settings.py", "mapping.py", "secret.py", "source.py", "address.py"}
ELSEWHERE |= {"leaving.py", "brakes.py", *FILES}
"""Of these only the command line is told: its start, its settings, its files, its source, tenants
that leave, the fleet's brake."""


def raised() -> Iterator[str]:
    for folder in ("serving", "tenants", "schema", "storage"):
        for file in (ROOT / folder).glob("*.py"):
            if file.name not in ELSEWHERE:
                for node in ast.walk(ast.parse(file.read_text())):
                    if isinstance(node, ast.Call):
                        yield from of(node)


def of(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    place = PLACE.get(name, 99)
    given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    for value in [*given, *call.args[place : place + 1]]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def test_every_code_is_listed() -> None:
    assert set(raised()) - LISTED == set()


def test_every_code_that_is_listed_exists() -> None:
    assert LISTED - set(raised()) == {"HTTP_404", "HTTP_405"}  # made of the status
