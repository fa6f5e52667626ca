"""A line of the log: one, honest, and about somebody."""

import json
import logging
import sys
from typing import Any

import pytest

from schema.errors import Problem
from schema.logs import JsonLines, about
from tests.world import ACME, BETA, NIGHT

FORGED = [
    'x\n{"level": "INFO"}',
    "x\r\ny",
    "x\u2028y",
    "x\u2029y",
    "x\u0085y",
    "x\x0by\x0cz",
    "\x1b[31mred\x1b[0m",
    "\x9b31m",
    "x\x7fy",
    "x\x00y",
    '"}',
    "\ud800",
    "\u202eevil",
    "%s%n%d",
    "{0.__class__}",
    "x" * 10_000,
]


def written(message: str, *args: object, **more: Any) -> str:
    return JsonLines().format(
        logging.LogRecord("recfactory", logging.INFO, "", 0, message, args, more.get("exc"))
    )


class TestALine:
    @pytest.mark.parametrize("text", FORGED, ids=ascii)
    def test_cannot_be_forged(self, text: str) -> None:
        line = written("saw %s", text)

        assert line.splitlines() == [line]
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["message"] == f"saw {text}".strip()

    def test_says_when_how_grave_and_who(self) -> None:
        line = json.loads(written("hello"))

        assert set(line) == {"time", "level", "logger", "message"}
        assert line["time"].endswith("+00:00")

    def test_of_an_error_says_where_but_not_with_which_values(self) -> None:
        try:
            dict[str, str]()["C-0001"]
        except KeyError:
            line = written("failed", exc=sys.exc_info())

        assert json.loads(line)["error"] == "KeyError"
        assert "test_logs.py" in json.loads(line)["at"][-1]
        assert "C-0001" not in line

    def test_of_a_problem_says_it(self) -> None:
        try:
            raise Problem("the disk is full", "make room")
        except Problem:
            line = written("failed", exc=sys.exc_info())

        assert json.loads(line)["error"] == "Problem: the disk is full. Next: make room."

    def test_says_whose_night_and_stage_it_is_about(self) -> None:
        with about(tenant=ACME, night=NIGHT), about(stage="train"):
            line = json.loads(written("hello"))

        assert (line["tenant"], line["night"], line["stage"]) == ("acme", "2026-04-01", "train")
        assert "tenant" not in json.loads(written("hello"))

    def test_after_an_error_that_left_everything_is_about_nothing(self) -> None:
        with pytest.raises(KeyError), about(tenant=ACME), about(stage="rank"):
            raise KeyError
        line = json.loads(written("another"))

        assert not {"tenant", "stage"} & set(line)

    def test_of_an_error_caught_further_out_still_says_where_it_happened(self) -> None:
        with about(tenant=ACME, stage="validate"):
            with pytest.raises(KeyError), about(stage="rank"):
                raise KeyError
            line = json.loads(written("failed"))
        with about(tenant=BETA):
            after = json.loads(written("another"))

        assert (line["tenant"], line["stage"]) == ("acme", "rank")
        assert "stage" not in after
