from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.dates import midnight
from schema.names import Mode
from schema.settings import TenantSettings
from tenants.lifecycle import business_date, publishes, serves, trains

KEEP, RERANK = TenantSettings(), TenantSettings(frozen_lists="rerank")
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(1990, 1, 2), datetime(2037, 12, 30), timezones=st.just(UTC))


class TestATenantThatIsOn:
    def test_is_trained_published_and_served(self) -> None:
        assert trains(Mode.ON)
        assert publishes(Mode.ON, KEEP)
        assert serves(Mode.ON)


class TestAFrozenTenant:
    def test_is_served_but_not_trained(self) -> None:
        assert serves(Mode.FREEZE)
        assert not trains(Mode.FREEZE)

    def test_keeps_its_edition_unless_it_asked_for_re_ranked_lists(self) -> None:
        assert not publishes(Mode.FREEZE, KEEP)
        assert publishes(Mode.FREEZE, RERANK)


class TestATenantThatIsOff:
    @pytest.mark.parametrize("settings", [KEEP, RERANK])
    def test_is_neither_trained_nor_published_nor_served(self, settings: TenantSettings) -> None:
        assert not trains(Mode.OFF)
        assert not publishes(Mode.OFF, settings)
        assert not serves(Mode.OFF)


class TestTheBusinessDate:
    def test_is_the_tenants_own(self) -> None:
        now = datetime(2026, 4, 1, 23, 30, tzinfo=UTC)

        assert business_date(now, ZoneInfo("Europe/Zurich")) == date(2026, 4, 2)
        assert business_date(now, ZoneInfo("UTC")) == date(2026, 4, 1)
        assert business_date(now, ZoneInfo("Pacific/Honolulu")) == date(2026, 4, 1)

    def test_is_one_date_though_its_midnight_occurs_twice(self) -> None:
        cuba = ZoneInfo("America/Havana")
        first = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)

        dates = {business_date(first + timedelta(hours=hours), cuba) for hours in range(24)}

        assert dates == {date(2026, 11, 1)}

    def test_skips_the_day_that_never_was_in_apia(self) -> None:
        apia = ZoneInfo("Pacific/Apia")
        change = datetime(2011, 12, 30, 10, tzinfo=UTC)

        assert business_date(change - timedelta(seconds=1), apia) == date(2011, 12, 29)
        assert business_date(change, apia) == date(2011, 12, 31)

    @given(now=INSTANTS, zone=ZONES)
    def test_began_at_its_local_midnight(self, now: datetime, zone: ZoneInfo) -> None:
        night = business_date(now, zone)

        assert midnight(night, zone) <= now
