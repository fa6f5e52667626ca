"""What a person has to act on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def printable(text: str) -> str:
    r"""Text whose characters all show: others, line ends too, as Python writes them (``\x1b``)."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(names: Sequence[str]) -> str:
    """Names that a tenant gave, as far as a message shows them: 80 characters of all of them."""
    told = printable(", ".join(name[:80] for name in names[:40]))
    return told if len(names) <= 40 and len(told) <= 80 else f"{told[:80]} …"


class Problem(Exception):
    """A fact that stops the work, told by code that does not know whose work it is.

    All values go to ``args`` by position, or the error would not survive the way back from a
    worker process.

    Args:
        what: one sentence without a full stop.
        next_step: what the reader should do, as an imperative.
        code: stable and upper case; programs may depend on it.
    """

    def __init__(self, what: str, next_step: str, code: str = "PROBLEM") -> None:
        super().__init__(what, next_step, code)
        self.what, self.next_step, self.code = what, next_step, code

    def __str__(self) -> str:
        # What a tenant or a library wrote stands in it: it must not forge a line or steer a terminal.
        return printable(f"{self.what}. Next: {self.next_step}.")


class Refused(Problem):
    """Input that was not accepted: exit status 2 on the command line, a 4xx over HTTP.

    Attributes:
        file, line, column: where, as far as that is known.
    """

    file: str | None = None
    line: int | None = None
    column: str | None = None


def as_json(problem: Problem, file: str | None = None) -> dict[str, Any]:
    """A problem for programs: what is wrong, where, as far as that is known, and what to do.

    Args:
        file: where the problem itself names none.
    """
    where = problem if isinstance(problem, Refused) else Refused
    return {
        "code": problem.code,
        "message": problem.what,
        "file": where.file or file,
        "line": where.line,
        "column": where.column,
        "fix": problem.next_step,
    }


class NotThere(Refused):
    """Something was named that does not exist (for the one who asks): 404 over HTTP."""


class FactoryError(Exception):
    """A problem with its address. Rendered once at each door: log, HTTP, command line."""

    def __init__(self, problem: Problem, tenant: str, stage: str) -> None:
        super().__init__(problem, tenant, stage)
        self.problem, self.tenant, self.stage = problem, tenant, stage

    def __str__(self) -> str:
        return f"{self.tenant}, {self.stage}: {self.problem}"


@contextmanager
def about(file: str) -> Iterator[None]:
    """Say in any refusal told inside which file it is about."""
    try:
        yield
    except Refused as refused:
        refused.file = file
        if file not in refused.what:
            refused.what = f"{file}: {refused.what}"
            refused.args = (refused.what, *refused.args[1:])
        raise


@contextmanager
def during(stage: str, tenant: str) -> Iterator[None]:
    """Put the address on any problem told inside."""
    try:
        yield
    except Problem as problem:
        raise FactoryError(problem, tenant, stage) from problem
