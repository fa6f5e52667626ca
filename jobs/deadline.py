"""Who goes first when there is not time for everybody."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol, TypeVar

from schema.errors import Problem
from schema.names import TenantId

DEADLINE = "DEADLINE"


class _Task(Protocol):
    @property
    def tenant(self) -> TenantId: ...


_T = TypeVar("_T", bound=_Task)


def in_time(
    tasks: Sequence[_T],
    seconds: Mapping[TenantId, float],
    value: Mapping[TenantId, float],
    budget: float,
) -> tuple[list[_T], list[_T]]:
    """Those that fit into the time, and those that will hardly.

    Where all fit, their order stays. Else those worth most a second go first: the greedy answer
    to a knapsack, at most one night from the best there is.

    Args:
        seconds: of the last night; a tenant without one is taken for an average one.
        value: as the tenant's settings have it, or how many customers have lists.
        budget: seconds of all workers together.
    """
    usual, worth = _mean(seconds), _mean(value)
    needs = {task.tenant: max(seconds.get(task.tenant, usual), 1e-3) for task in tasks}
    if sum(needs.values()) <= budget:
        return list(tasks), []
    order = sorted(tasks, key=lambda task: -value.get(task.tenant, worth) / needs[task.tenant])
    used, fit = 0.0, 0
    while fit < len(order) and used + needs[order[fit].tenant] <= budget:
        used += needs[order[fit].tenant]
        fit += 1
    return order[:fit], order[fit:]


def late(minutes: float) -> Problem:
    """What is told of every night that was not done by the deadline."""
    return Problem(
        f"not done within {minutes:g} minutes of the run's beginning (nightly.deadline_minutes); "
        "the edition before is served",
        "nothing: its next night is due as ever; or run `recfactory night TENANT`",
        DEADLINE,
    )


def _mean(known: Mapping[TenantId, float]) -> float:
    return fmean(known.values()) if known else 0.0
