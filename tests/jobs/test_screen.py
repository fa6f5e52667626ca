"""A run's summary as a person reads it in the morning."""

from dataclasses import replace

import pytest

from jobs.cli.progress import duration
from jobs.cli.summary import lines
from jobs.summary import Summary
from schema.names import Outcome, TenantId
from storage.runs import Earlier
from tests.jobs.test_summary import GAMMA, broken, lost, night, told
from tests.world import ACME, BETA


def shown(summary: Summary) -> str:
    return "\n".join(lines(summary))


class TestTheScreen:
    def test_says_how_many_how_long_and_what_they_came_to(self) -> None:
        said = shown(told(night(memory=2**21), night(BETA, Outcome.TOO_SMALL, "too few: 3 of 9")))
        assert "Night of 2026-04-01: 2 tenants in 30 s, 4 a minute\n" in said
        assert "promoted 1, too_small 1; 2 published" in said
        assert "on 2, freeze 1, off 0" in said
        assert "acme 1.5 s" in said
        assert "2 MiB at most (acme)" in said
        assert "1 too_small too few (beta)" in said
        assert said.endswith("Nothing failed, and nothing waits for a person.")

    def test_says_how_it_compares_with_the_night_before(self) -> None:
        earlier = {ACME: Earlier("failed", 1.0), BETA: Earlier("promoted", 1.0)}
        said = shown(told(night(seconds=2.5), broken(), earlier=earlier))
        assert "work 200% slower (of 2 with a night before)" in said
        assert "newly failing  beta" in said
        assert "recovered      acme" in said

    def test_tells_apart_what_was_done_before(self) -> None:
        summary = told(night(), night(BETA))
        said = shown(replace(summary, worked=1))
        assert "(1 were done before, or not run)" in said

    def test_names_a_failure_with_what_happened_and_what_to_do(self) -> None:
        said = shown(told(broken()))
        assert "  DATA_BROKEN, beta: validate: a file is damaged\n" in said
        assert "    Next: import the data again." in said

    def test_names_a_failure_without_its_sentence_where_the_ledger_has_none(self) -> None:
        said = shown(told(broken()).without_sentences())
        assert "  DATA_BROKEN, beta\n    Next: import the data again." in said

    def test_puts_those_that_failed_alike_on_one_line_and_counts_those_it_does_not_name(
        self,
    ) -> None:
        many = [lost(TenantId(f"t{n}")) for n in range(15)]
        said = shown(told(*many, broken()))
        assert "  LEDGER_AWAY, 15 tenants: t0, t1, " in said
        assert "t11 and 3 more (--json has them)" in said
        assert said.count("Next: look at the database.") == 1

    def test_asks_a_person_about_what_waits(self) -> None:
        said = shown(told(night(outcome=Outcome.HELD), night(GAMMA), held={GAMMA: "b7"}))
        assert "A person has to look:" in said
        assert "MODEL_HELD, acme" in said
        assert "`recfactory data release gamma b7 --why …`" in said

    def test_is_a_screen_however_large_the_fleet(self) -> None:
        many = [
            night(TenantId(f"t{n}"), because=f"reason {chr(97 + n % 26)}", seconds=float(n))
            for n in range(2_000)
        ]
        failing = [broken(TenantId(f"b{n}"), f"CODE_{n % 3}") for n in range(500)]
        said = [*lines(told(*many, *failing))]
        assert len(said) <= 40
        assert "  and 17 more reasons (--json has them)" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (0.2, "0 s"), (89, "89 s"), (120, "2 min"), (3_900, "1 h 05 min")],
)
def test_a_duration_is_told_as_a_person_says_it(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
