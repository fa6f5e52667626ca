"""Why a tenant did or did not get a new model or edition: every cause by its name, on one screen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.summary import Case
from jobs.why import Facts, advice, age, data, edition, model, screen, serves
from schema.names import Delivered, Mode, Outcome
from schema.records import NightReport, Tenant
from storage.editions import Current
from storage.imports import Import
from tests.world import ACME, NIGHT, NOW

CAME = datetime(2026, 3, 31, 22, 10, tzinfo=UTC)
LONG = "the challenger's error is higher: " + "RMSE 0.026718 against 0.026741, " * 20
FLAG = {"flagged": True, "because": "above its band"}


def night(
    outcome: Outcome | None = Outcome.PROMOTED, because: str = "so it is", **known: Any
) -> NightReport:
    made = NightReport(ACME, NIGHT, "done", outcome, because, True, 31, 12, {"lists": 60}, NOW, NOW)
    return replace(made, **known)


def nothing(outcome: Outcome | None, because: str = "so it is", **known: Any) -> NightReport:
    """A night that made no edition."""
    return night(outcome, because, published=False, edition=None, model=None, **known)


def came(state: Delivered = Delivered.ACCEPTED, batch: str = "b7") -> Import:
    reasons = [{"code": "X", "sentence": "a tenth of the catalogue"}]
    report = {"tenant": ACME, "tables": [{"accepted": 1_200}, {"accepted": 34}]}
    return Import(1, batch, CAME, state, report, {}, reasons, {}, None)


def tenant(mode: Mode = Mode.ON, number: int | None = 12, **known: Any) -> Tenant:
    made = Tenant(ACME, "t-1", "Acme", "UTC", mode, {}, number, None)
    return replace(made, **known)


def facts(*nights: NightReport, **known: Any) -> Facts:
    made = Facts(
        tenant=tenant(),
        served=Current(31, "sha", 1, NOW),
        nights=nights,
        deliveries=[came()],
        waiting=[],
        left_out=None,
        today=NIGHT,
        now=NOW + timedelta(hours=5),
    )
    return replace(made, **known)


HELD = came(Delivered.HELD)
BRAKE = Case(ACME, NIGHT, "FLEET_BRAKE", "", "mend it, then `recfactory fleet release --why …`")
FAILED = "acme, validate: a file is damaged. Next: import the data again."

CAUSES = [
    # (what is known, of the model, of the edition, what to do)
    (facts(night()), "new: model 12", "new: edition 31, 60 lists", "all is well"),
    (
        facts(night(Outcome.REJECTED)),
        "did not win, model 12 stays",
        "new: edition 31",
        "all is well",
    ),
    (facts(night(Outcome.HELD)), "waits for a person", "new: edition 31", "model promote"),
    (facts(night(Outcome.TOO_SMALL)), "too few purchases", "new: edition 31", "enough purchases"),
    (
        facts(nothing(Outcome.FROZEN), tenant=tenant(Mode.FREEZE)),
        "it was frozen, model 12 stays",
        "not new: it was frozen, edition 31 stays",
        "until the tenant is on again",
    ),
    (
        facts(nothing(Outcome.OFF), tenant=tenant(Mode.OFF)),
        "it was turned off",
        "not new: it was turned off",
        "tenant mode acme on",
    ),
    (
        facts(nothing(Outcome.FAILED, FAILED)),
        "the night failed, model 12 stays",
        "not new: the night failed, edition 31 stays",
        "import the data again",
    ),
    (
        facts(nothing(Outcome.FAILED, "acme: odd"), served=None, tenant=tenant(number=None)),
        "there is none yet",
        "not new: the night failed, there is none yet",
        "see `recfactory why acme`",
    ),
    (facts(nothing(None, state="running")), "is running since 00:05", "is running", "wait"),
    (facts(), "no night has run", "no night has run", "run `recfactory night acme`"),
    (facts(deliveries=[]), "no night has run", "no night has run", "import data, then run"),
    (
        facts(night(published=False), tenant=tenant(held_until=NOW + timedelta(days=1))),
        "new: model 12",
        "was made, not published: a rollback held, edition 31 stays",
        "rollback holds until 2026-04-02 00:05 UTC; `recfactory edition release acme`",
    ),
    (
        facts(night(), served=Current(30, "sha", 1, NOW), tenant=tenant(number=11)),
        "model 12 won; since then a person put model 11 in force",
        "edition 31 was published; since then a person went elsewhere, edition 30 stays",
        "all is well",
    ),
    (facts(night(), waiting=[HELD]), "new", "new", "data release acme b7"),
    (facts(night(figures={"realised": FLAG})), "new", "new", "model quality acme"),
    (facts(night(), left_out=BRAKE), "new", "came to nothing here (FLEET_BRAKE)", "fleet release"),
    (
        facts(night(), today=NIGHT + timedelta(days=3)),
        "new",
        "new: edition 31, 60 lists; none since, 3 nights did not run",
        "see that `recfactory schedule` runs",
    ),
]


class TestEveryCause:
    @pytest.mark.parametrize(
        ("known", "of_model", "of_edition", "to_do"),
        CAUSES,
        ids=[cause[2][:40] for cause in CAUSES],
    )
    def test_is_told_by_its_name_and_with_what_to_do(
        self, known: Facts, of_model: str, of_edition: str, to_do: str
    ) -> None:
        assert of_model in model(known)
        assert of_edition in edition(known)
        assert to_do in advice(known)

    @pytest.mark.parametrize("outcome", [*Outcome, None])
    def test_of_any_outcome_there_is_a_sentence(self, outcome: Outcome | None) -> None:
        for known in (facts(night(outcome)), facts(nothing(outcome))):
            assert model(known)
            assert edition(known)
            assert advice(known)


class TestWhatItSays:
    def test_of_what_is_served_its_edition_and_age(self) -> None:
        assert serves(facts()) == (
            "serves edition 31 (model 12), published 2026-04-01 00:05 UTC, 5 hours ago"
        )
        assert serves(facts(served=None)) == "serves nothing yet"
        assert "shows nothing" in serves(facts(tenant=tenant(Mode.OFF)))

    def test_of_data_when_they_came_last_and_what_is_held(self) -> None:
        assert data(facts()) == "last delivery 2026-03-31 22:10 UTC, accepted, 1,234 rows"
        assert data(facts(deliveries=[])) == "nothing was delivered yet"
        told = data(facts(deliveries=[came(Delivered.REFUSED)], waiting=[HELD]))
        assert "refused: a tenth of the catalogue; 1 held: a tenth" in told

    @pytest.mark.parametrize(
        ("since", "words"),
        [
            (timedelta(seconds=5), "0 minutes"),
            (timedelta(minutes=61), "61 minutes"),
            (timedelta(hours=30), "30 hours"),
            (timedelta(days=3), "3 days"),
        ],
    )
    def test_of_an_age(self, since: timedelta, words: str) -> None:
        assert age(since) == words


class TestTheScreen:
    WORST = facts(
        night(Outcome.REJECTED, LONG, figures={"realised": {**FLAG, "because": LONG}, "lists": 9}),
        *(night(Outcome.REJECTED, LONG, night=NIGHT - timedelta(days=n)) for n in range(1, 7)),
        waiting=[came(Delivered.HELD, "b" * 20)],
        deliveries=[replace(came(Delivered.REFUSED), reasons=[{"sentence": LONG}])],
        left_out=BRAKE,
        today=NIGHT + timedelta(days=9),
    )

    def shown(self, known: Facts, rules: Sequence[str] = (), width: int = 80) -> list[str]:
        return screen(known, rules, width)

    def test_has_at_most_24_lines_of_80_columns_whatever_happened(self) -> None:
        lines = self.shown(self.WORST, [LONG] * 9)
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        assert "  and 8 more rules acted" in lines

    def test_ends_with_what_to_do_and_never_cuts_it(self) -> None:
        lines = self.shown(self.WORST)
        step = lines[next(n for n, line in enumerate(lines) if line.startswith("Next: ")) :]
        assert " ".join(map(str.strip, step)) == f"Next: {advice(self.WORST)}"

    def test_begins_with_what_is_served_and_tells_the_last_night_in_a_sentence(self) -> None:
        first, second, *_ = self.shown(facts(night()), width=180)
        assert first.startswith("acme is on and serves edition 31")
        assert second == "Last night, 2026-04-01: promoted, so it is"

    def test_of_a_new_tenant_is_as_short_as_what_is_known(self) -> None:
        assert len(self.shown(facts(served=None, deliveries=[]), width=180)) == 5
