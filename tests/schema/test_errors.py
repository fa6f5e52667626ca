import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import FactoryError, NotThere, Problem, Refused, during

TEXTS = st.text(max_size=40)
KINDS = st.sampled_from([Problem, Refused, NotThere])


class TestAProblem:
    def test_says_what_happened_and_what_to_do_next(self) -> None:
        problem = Problem("the file has 0 bytes", "export it again")

        assert str(problem) == "the file has 0 bytes. Next: export it again."

    @given(kind=KINDS, what=TEXTS, next_step=TEXTS, code=TEXTS)
    def test_comes_back_whole_from_a_worker_process(
        self, kind: type[Problem], what: str, next_step: str, code: str
    ) -> None:
        back = pickle.loads(pickle.dumps(kind(what, next_step, code)))

        assert type(back) is kind
        assert (back.what, back.next_step, back.code) == (what, next_step, code)

    @given(what=TEXTS, next_step=TEXTS)
    def test_is_told_in_one_line_of_characters_that_show(self, what: str, next_step: str) -> None:
        assert str(Problem(what, next_step)).isprintable()

    def test_shows_what_would_not_show(self) -> None:
        assert str(Problem("é '\x1b[2J\n\u2028'", "look")) == r"é '\x1b[2J\n\u2028'. Next: look."

    def test_of_something_that_is_not_there_is_also_refused_input(self) -> None:
        assert issubclass(NotThere, Refused)
        assert issubclass(Refused, Problem)


class TestAFactoryError:
    @given(kind=KINDS, what=TEXTS, tenant=TEXTS, stage=TEXTS)
    def test_comes_back_whole_from_a_worker_process(
        self, kind: type[Problem], what: str, tenant: str, stage: str
    ) -> None:
        error = FactoryError(kind(what, "do it", "CODE"), tenant, stage)

        back = pickle.loads(pickle.dumps(error))

        assert type(back.problem) is kind
        assert (back.problem.what, back.problem.next_step) == (what, "do it")
        assert (back.problem.code, back.tenant, back.stage) == ("CODE", tenant, stage)
        assert str(back) == str(error)

    def test_says_whose_where_what_and_what_to_do_next(self) -> None:
        error = FactoryError(Problem("no rows", "send some"), "acme", "validate")

        assert str(error) == "acme, validate: no rows. Next: send some."


class TestDuring:
    def test_adds_the_address_to_a_problem_told_inside(self) -> None:
        told = Refused("no rows", "send some", "DATA_NO_ROWS")

        with pytest.raises(FactoryError) as error, during("validate", "acme"):
            raise told

        assert error.value.problem is told
        assert (error.value.tenant, error.value.stage) == ("acme", "validate")
        assert error.value.__cause__ is told

    def test_leaves_the_first_address_where_stages_are_nested(self) -> None:
        with (
            pytest.raises(FactoryError) as error,
            during("publish", "acme"),
            during("rank", "acme"),
        ):
            raise Problem("no space", "free some")

        assert error.value.stage == "rank"

    def test_lets_a_defect_through_as_it_is(self) -> None:
        with pytest.raises(ZeroDivisionError), during("validate", "acme"):
            raise ZeroDivisionError

    def test_does_nothing_where_nothing_happens(self) -> None:
        with during("validate", "acme"):
            done = True

        assert done
