"""A run's summary on one screen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from jobs.cli.progress import duration
from jobs.summary import Case, Compared, Summary

_NAMED = 12
"""Tenants named for one cause; `--json` names all."""

_REASONS = 12


def print_summary(summary: Summary) -> None:
    """Print it whole; what failed or waits goes to standard error as well as to the screen."""
    for line in lines(summary):
        click.echo(line)


def print_waiting(summary: Summary) -> None:
    """Print the deliveries that wait, which a table of nights does not show."""
    held = [case for case in summary.waiting if case.code == "DELIVERY_HELD"]
    for case in held:
        click.echo(f"{case.tenant}: {case.because}. Next: {case.next_step}", err=True)


def lines(summary: Summary) -> Iterator[str]:
    """Everything a person wants to know in the morning, the worst last, where the eye is."""
    nights = " and ".join(map(str, summary.nights)) or "no date"
    before = summary.tenants - summary.worked
    yield (
        f"Night of {nights}: {summary.tenants:,} tenants in {duration(summary.seconds)}, "
        f"{summary.per_minute:,.0f} a minute"
        + (f" ({before:,} were done before, or not run)" if before else "")
    )
    yield f"  came to    {_counted(summary.words)}; {summary.published:,} published"
    yield f"  switched   {_counted(summary.modes)}"
    yield f"  work       {_seconds(summary.stages)}"
    if summary.slowest:
        slowest = ", ".join(f"{one.tenant} {one.seconds:.1f} s" for one in summary.slowest)
        yield f"  slowest    {slowest}"
    if summary.largest:
        yield f"  memory     {summary.largest.memory / 2**20:,.0f} MiB at most ({summary.largest.tenant})"
    yield from _compared(summary.compared)
    yield "Why:"
    for reason in summary.reasons[:_REASONS]:
        like = "" if reason.tenants == 1 else "as "
        yield f"  {reason.tenants:>6,} {reason.word:9} {reason.because} ({like}{reason.tenant})"
    if len(summary.reasons) > _REASONS:
        yield f"  and {len(summary.reasons) - _REASONS} more reasons (--json has them)"
    for title, cases in (
        ("Failed:", summary.failures),
        ("A person has to look:", summary.waiting),
    ):
        if cases:
            yield title
            yield from _cases(cases)
    if summary.elsewhere:
        yield f"Another run is at {summary.elsewhere}"
    if summary.alarm:
        yield f"ALARM: {summary.alarm}"
    if not (summary.failures or summary.waiting or summary.alarm):
        yield "Nothing failed, and nothing waits for a person."


def _compared(compared: Compared) -> Iterator[str]:
    if not compared.tenants:
        yield "  before     none of them had a night before"
        return
    told = [f"{word} {number:+,}" for word, number in compared.words.items()]
    if compared.slower is not None:
        word = "slower" if compared.slower >= 0 else "faster"
        told.append(f"work {abs(compared.slower):.0%} {word}")
    yield f"  before     {', '.join(told) or 'the same'} (of {compared.tenants:,} with a night before)"
    if compared.newly_failing:
        yield f"  newly failing  {_names(compared.newly_failing)}"
    if compared.recovered:
        yield f"  recovered      {_names(compared.recovered)}"


def _cases(cases: Iterable[Case]) -> Iterator[str]:
    """By cause: those that failed alike are mended alike."""
    alike: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        step = case.next_step.replace(case.tenant, "TENANT")
        alike.setdefault((case.code, step), []).append(case)
    for (code, step), some in sorted(alike.items(), key=lambda row: -len(row[1])):
        one = some[0]
        if len(some) == 1:
            told = f": {_fact(one)}" if one.because else ""
            yield f"  {code}, {one.tenant}{told}"
            yield f"    Next: {one.next_step}."
        else:
            yield f"  {code}, {len(some):,} tenants: {_names([case.tenant for case in some])}"
            yield f"    Next: {step}."


def _fact(case: Case) -> str:
    """What happened, without whom it happened to and what to do, which stand beside it."""
    said = case.because.rpartition(" Next: ")[0] or case.because
    return said.removeprefix(f"{case.tenant}, ").removeprefix(f"{case.tenant}: ").rstrip(".")


def _names(tenants: Sequence[str]) -> str:
    more = len(tenants) - _NAMED
    shown = ", ".join(tenants[:_NAMED])
    return f"{shown} and {more:,} more (--json has them)" if more > 0 else shown


def _counted(words: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {number:,}" for word, number in words.items()) or "nothing"


def _seconds(stages: Mapping[str, float]) -> str:
    order = sorted(stages.items(), key=lambda row: -row[1])
    told = ", ".join(f"{stage} {seconds:,.1f}" for stage, seconds in order)
    return f"{sum(stages.values()):,.1f} s: {told}" if order else "nothing"
