"""Why a tenant did or did not get a new model or edition, in sentences for one screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from textwrap import wrap
from typing import Any

from jobs.again import outlook
from jobs.results import flagged, word_of
from jobs.summary import Case, next_step_of
from schema.names import Delivered, Mode, Outcome
from schema.records import NightReport, Tenant
from storage.editions import Current
from storage.imports import Import

_EARLIER = 3
"""Nights told in a line each, beside the last one."""

_RULES = 2
_LABEL = 11


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of a tenant's nights.

    Attributes:
        served: the edition that lookups show.
        nights: newest first.
        deliveries: the newest, of any state, first; waiting: those held for a person, newest first.
        left_out: by the last run over all tenants, before anything of its night was recorded.
        today: its business date.
    """

    tenant: Tenant
    served: Current | None
    nights: Sequence[NightReport]
    deliveries: Sequence[Import]
    waiting: Sequence[Import]
    left_out: Case | None
    today: date
    now: datetime


def screen(facts: Facts, rules: Sequence[str], width: int) -> list[str]:
    """At most 24 lines of 80 columns.

    Args:
        rules: what each of the tenant's rules did, in words.
    """
    tenant, nights = facts.tenant, facts.nights
    told = [*_cut(f"{tenant.tenant} is {tenant.mode} and {serves(facts)}.", width, 2)]
    if nights:
        night = nights[0]
        told += _cut(f"Last night, {night.night}: {word_of(night)}, {night.because}", width, 4)
    told += _labelled("model", model(facts), width)
    told += _labelled("edition", edition(facts), width)
    told += _labelled("data", data(facts), width)
    if nights and (realised := nights[0].figures.get("realised")):
        word = "flagged" if realised["flagged"] else "realised"
        told += _labelled(word, realised["because"], width)
    for line in rules[:_RULES]:
        told += _cut(f"  {line}", width, 1)
    if len(rules) > _RULES:
        told[-1:] = [f"  and {len(rules) - _RULES + 1} more rules acted"]
    if len(nights) > 1:
        told.append("Before:")
    for night in nights[1 : 1 + _EARLIER]:
        told += _cut(f"  {night.night}  {word_of(night):10} {night.because}", width, 1)
    return [*told, *_cut(f"Next: {advice(facts)}", width, 4)]


def serves(facts: Facts) -> str:
    """What lookups show."""
    if facts.served is None:
        return "serves nothing yet"
    if facts.tenant.mode is Mode.OFF:
        return f"shows nothing (edition {facts.served.edition} is kept)"
    return (
        f"serves edition {facts.served.edition} (model {facts.tenant.model}), published "
        f"{facts.served.published_at:%Y-%m-%d %H:%M} UTC, {age(facts.now - facts.served.published_at)} ago"
    )


def model(facts: Facts) -> str:
    """Whether the last night brought a new model, and why not."""
    if not facts.nights:
        return "none yet: no night has run"
    night, number = facts.nights[0], facts.tenant.model
    stays = "there is none yet" if number is None else f"model {number} stays in force"
    if night.outcome is Outcome.PROMOTED and night.model == number:
        return f"new: model {number}"
    if night.outcome is Outcome.PROMOTED:
        return f"model {night.model} won; since then a person put model {number} in force"
    return {
        Outcome.REJECTED: f"not new: the challenger did not win, {stays}",
        Outcome.HELD: f"not new: the challenger waits for a person, {stays}",
        Outcome.UNCHANGED: f"not new: nothing came since the last one, {stays}",
        Outcome.TOO_SMALL: f"not judged: too few purchases, {stays}",
        Outcome.FROZEN: f"not new: it was frozen, {stays}",
        Outcome.OFF: f"not new: it was turned off, {stays}",
        Outcome.FAILED: f"not new: the night failed, {stays}",
        None: f"not yet: the night is running since {night.started_at:%H:%M} UTC, {stays}",
    }[night.outcome]


def edition(facts: Facts) -> str:
    """Whether the last night brought a new edition, and why not."""
    if facts.left_out is not None:
        return f"not new: the run of {facts.left_out.night} came to nothing here ({facts.left_out.code})"
    if not facts.nights:
        return "none yet: no night has run"
    night, served = facts.nights[0], facts.served
    stays = f"edition {served.edition} stays" if served else "there is none yet"
    if night.published and served and served.edition == night.edition:
        made = f"new: edition {night.edition}, {night.figures.get('lists', 0):,} lists"
        return f"{made}; none since, {age_in_nights(facts)}" if facts.today > night.night else made
    if night.published:
        return f"edition {night.edition} was published; since then a person went elsewhere, {stays}"
    if night.edition is not None:
        return f"edition {night.edition} was made, not published: a rollback held, {stays}"
    if night.outcome is None:
        return f"not yet: the night is running, {stays}"
    because = {
        Outcome.UNCHANGED: "nothing came since the last one",
        Outcome.FROZEN: "it was frozen",
        Outcome.OFF: "it was turned off",
    }
    return f"not new: {because.get(night.outcome, 'the night failed')}, {stays}"


def data(facts: Facts) -> str:
    """When something came last, what became of it, and what is held."""
    if not facts.deliveries:
        return "nothing was delivered yet"
    last = facts.deliveries[0]
    rows = sum(table["accepted"] for table in last.report["tables"])
    told = f"last delivery {last.imported_at:%Y-%m-%d %H:%M} UTC, {last.state}"
    if last.state in (Delivered.ACCEPTED, Delivered.RELEASED):
        told += f", {rows:,} rows"
    if last.state is Delivered.REFUSED and last.reasons:
        told += f": {last.reasons[0]['sentence']}"
    if facts.waiting:
        reasons = "; ".join(reason["sentence"] for reason in facts.waiting[0].reasons)
        told += f"; {len(facts.waiting)} held: {reasons}"
    return told


def advice(facts: Facts) -> str:
    """The one thing to do next."""
    tenant, name = facts.tenant, facts.tenant.tenant
    if facts.waiting:
        batch = facts.waiting[-1].batch
        return (
            f"`recfactory data release {name} {batch} --why …` where the data are right, "
            f"`recfactory data discard {name} {batch} --why …` where they are not"
        )
    if tenant.mode is Mode.OFF:
        return f"nothing; `recfactory tenant mode {name} on --why …` starts it again"
    if tenant.mode is Mode.FREEZE:
        return "nothing; the frozen edition is served until the tenant is on again"
    if tenant.held_until is not None and tenant.held_until > facts.now:
        until = f"{tenant.held_until:%Y-%m-%d %H:%M} UTC"
        return f"a rollback holds until {until}; `recfactory edition release {name}` ends it"
    if facts.left_out is not None:
        return facts.left_out.next_step
    if not facts.nights:
        first = "run" if facts.deliveries else "import data, then run"
        return f"{first} `recfactory night {name}`"
    night = facts.nights[0]
    if night.outcome is Outcome.FAILED:
        known = "again" in night.figures  # nights before 0.5 do not say
        return outlook(night) if known else next_step_of(night.because, name)
    if night.outcome is Outcome.HELD:
        return (
            f"look for a leak in the data (`recfactory model list {name}`), then `recfactory "
            "model promote` or `model discard`; the incumbent goes on until you are sure"
        )
    if night.outcome is None:
        return "wait; it is taken over by the next run if its process is gone"
    if flagged(night):
        return f"see `recfactory model quality {name}`: what was served is flagged after the fact"
    if facts.today > night.night + timedelta(days=1):
        return f"see that `recfactory schedule` runs, or run `recfactory night {name}`"
    if night.outcome is Outcome.UNCHANGED:
        return "nothing; the next delivery makes new lists"
    if night.outcome is Outcome.TOO_SMALL:
        return "nothing; it is judged as soon as there are enough purchases"
    return "nothing; all is well"


def age(since: timedelta) -> str:
    """In words: "5 hours", "3 days"."""
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if since.total_seconds() >= 2 * size or name == "minute":
            number = int(since.total_seconds() // size)
            return f"{number} {name}{'s' * (number != 1)}"
    raise AssertionError


def age_in_nights(facts: Facts) -> str:
    """How many business dates have no night."""
    missed = (facts.today - facts.nights[0].night).days
    return f"{missed:,} night{'s' * (missed != 1)} did not run"


def as_json(facts: Facts) -> Mapping[str, Any]:
    """The same sentences for programs."""
    return {
        "serves": serves(facts),
        "new_model": model(facts),
        "new_edition": edition(facts),
        "data": data(facts),
        "next": advice(facts),
    }


def _labelled(label: str, text: str, width: int) -> list[str]:
    return _cut(f"  {label:{_LABEL - 1}} {text}", width, 2, hang=_LABEL + 2)


def _cut(text: str, width: int, lines: int, *, hang: int = 2) -> list[str]:
    lead = len(text) - len(text.lstrip(" "))
    return wrap(
        text,
        width,
        subsequent_indent=" " * max(hang, lead),
        max_lines=lines,
        placeholder=" …",
        drop_whitespace=True,
        break_on_hyphens=False,
        break_long_words=True,
    )
