from contextlib import suppress
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from schema.settings import AlsSettings, TenantSettings
from tenants.order import settings_of, zone

TEMPLATE = TenantSettings(als=AlsSettings(factors=48))


class TestATimeZone:
    @pytest.mark.parametrize("name", ["UTC", "Europe/Zurich", "Pacific/Apia", "Etc/GMT-14"])
    def test_is_found_by_its_name(self, name: str) -> None:
        assert zone(name).key == name

    @pytest.mark.parametrize(
        "name",
        [
            "Mars/Olympus",
            "",
            "Europe",
            "/etc/passwd",
            "../UTC",
            "a\x00b",
            "é",
            "x" * 5000,
            "+02:00",
        ],
    )
    def test_is_refused_under_any_other(self, name: str) -> None:
        with pytest.raises(Refused, match="not a time zone") as told:
            zone(name)

        assert told.value.code == "TIMEZONE"
        assert len(told.value.what) < 500

    @given(name=st.text(max_size=30))
    def test_is_found_or_refused_whatever_was_typed(self, name: str) -> None:
        with suppress(Refused):
            assert zone(name).key == name

    def test_is_more_than_an_offset(self) -> None:
        assert zone("Europe/Zurich") != timezone(timedelta(hours=1))


class TestAnOrder:
    def test_without_choices_is_the_template(self) -> None:
        assert settings_of(TEMPLATE, {}) == TEMPLATE

    def test_has_its_own_choices_over_the_template(self) -> None:
        ordered = settings_of(TEMPLATE, {"lists.length": 45})

        assert ordered.lists.length == 45
        assert ordered.als.factors == 48

    def test_follows_the_template_where_it_chose_nothing(self) -> None:
        other = TenantSettings(als=AlsSettings(factors=16))

        assert settings_of(other, {"lists.length": 45}).als.factors == 16

    def test_goes_by_what_its_data_chose_where_it_chose_nothing_itself(self) -> None:
        tuned = {"als.factors": 64, "als.alpha": 2.0}

        ordered = settings_of(TEMPLATE, {"als.factors": 8}, tuned)

        assert (ordered.als.factors, ordered.als.alpha) == (8, 2.0)

    def test_takes_what_its_data_chose_back_where_tuning_is_turned_off(self) -> None:
        ordered = settings_of(TEMPLATE, {"tuning.core_seconds": 0}, {"als.factors": 64})

        assert ordered.als.factors == 48

    def test_leaves_its_own_choices_as_they_were(self) -> None:
        changes = {"lists.length": 45}

        settings_of(TEMPLATE, changes)

        assert changes == {"lists.length": 45}
