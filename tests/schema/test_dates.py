from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given
from hypothesis import strategies as st

from schema.dates import EPOCH, day_date, day_number, midnight

ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo)
DAYS = st.dates(date(1990, 1, 1), date(2037, 12, 31))
ZURICH, APIA = ZoneInfo("Europe/Zurich"), ZoneInfo("Pacific/Apia")


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]


class TestADaysNumber:
    def test_counts_from_1970(self) -> None:
        assert (day_number(EPOCH), day_number(date(1970, 1, 2))) == (0, 1)
        assert day_number(date(1969, 12, 31)) == -1

    @given(day=st.dates())
    def test_gives_the_day_back(self, day: date) -> None:
        assert day_date(day_number(day)) == day


class TestMidnight:
    def test_is_an_instant_in_utc(self) -> None:
        assert midnight(date(2026, 1, 10), ZURICH) == utc(2026, 1, 9, 23)
        assert midnight(date(2026, 1, 10), ZURICH).tzinfo is UTC

    def test_makes_a_day_of_23_hours_where_clocks_go_forward(self) -> None:
        begin, end = (midnight(date(2026, 3, day), ZURICH) for day in (29, 30))

        assert end - begin == timedelta(hours=23)

    def test_makes_a_day_of_25_hours_where_clocks_go_back(self) -> None:
        begin, end = (midnight(date(2026, 10, day), ZURICH) for day in (25, 26))

        assert end - begin == timedelta(hours=25)

    def test_that_does_not_exist_is_the_first_instant_after_the_gap(self) -> None:
        brazil = ZoneInfo("America/Sao_Paulo")  # on 2018-11-04 23:59:59 was followed by 01:00

        begin = midnight(date(2018, 11, 4), brazil)

        assert begin == utc(2018, 11, 4, 3)
        assert begin.astimezone(brazil).replace(tzinfo=None) == datetime(2018, 11, 4, 1)

    def test_that_occurs_twice_is_the_first(self) -> None:
        cuba = ZoneInfo("America/Havana")  # on 2026-11-01 01:00 is followed by 00:00 again

        begin = midnight(date(2026, 11, 1), cuba)

        assert begin == utc(2026, 11, 1, 4)
        assert midnight(date(2026, 11, 2), cuba) - begin == timedelta(hours=25)

    def test_of_the_day_that_apia_skipped_is_that_of_the_next(self) -> None:
        before, skipped, after = (midnight(date(2011, 12, day), APIA) for day in (29, 30, 31))

        assert skipped == after == utc(2011, 12, 30, 10)
        assert after - before == timedelta(days=1)

    @given(zone=ZONES, day=DAYS)
    def test_never_goes_back(self, zone: ZoneInfo, day: date) -> None:
        assert midnight(day, zone) <= midnight(day + timedelta(days=1), zone)

    @given(zone=ZONES, day=DAYS)
    def test_is_the_first_instant_of_its_date_or_of_the_one_after_it(
        self, zone: ZoneInfo, day: date
    ) -> None:
        begin = midnight(day, zone)

        assert begin.astimezone(zone).date() >= day
        assert (begin - timedelta(microseconds=1)).astimezone(zone).date() < day
