"""What may stand under `source` in config.yaml."""

from typing import Any

import pytest
from pydantic import ValidationError

from schema.config import Config
from schema.errors import Refused
from schema.settings import TenantSettings, with_changes
from schema.source import SourceDatabase, by_window, plain

WHOLE = "select number as customer_id from customer where client_id = :client"
NEW = f"{WHOLE} and created_at > :since and created_at <= :until"


def settings(**more: Any) -> SourceDatabase:
    given = {"url": "postgresql://u:hunter2@db.example/sales", "queries": {"customers": WHOLE}}
    return SourceDatabase.model_validate({**given, **more})


def refusal(**more: Any) -> str:
    with pytest.raises(ValidationError) as told:
        settings(**more)
    [error] = told.value.errors()
    return error["msg"]


class TestAQuery:
    def test_must_ask_for_one_client(self) -> None:
        assert ":client" in refusal(queries={"customers": "select * from customer"})

    @pytest.mark.parametrize("bind", [":since", ":until"])
    def test_must_have_both_ends_of_its_window(self, bind: str) -> None:
        assert "both" in refusal(queries={"customers": f"{WHOLE} and created_at > {bind}"})

    @pytest.mark.parametrize(
        "sql",
        [
            f"{WHOLE} and region = :region",
            f"{WHOLE} and opened = ' :30'",
            f"{WHOLE} or :Client = 1",
        ],
    )
    def test_has_no_other_parameters(self, sql: str) -> None:
        assert "only :client, :since and :until" in refusal(queries={"customers": sql})

    def test_that_casts_a_parameter_by_colons_is_refused_for_it_would_be_no_parameter(
        self,
    ) -> None:
        sql = WHOLE.replace(":client", ":client::bigint")

        assert "must ask for one client's rows" in refusal(queries={"customers": sql})

    def test_may_cast_and_escape(self) -> None:
        sql = rf"{WHOLE} and at::date > '2026-01-01' and cast(:client as text) <> ' \:30 10:30'"

        assert settings(queries={"customers": sql}).queries.asked() == {"customers": sql}

    def test_is_of_a_table_of_the_universal_schema(self) -> None:
        assert "Extra inputs" in refusal(queries={"orders": WHOLE})

    @pytest.mark.parametrize(("sql", "expected"), [(WHOLE, False), (NEW, True)])
    def test_gives_what_is_new_if_it_has_a_window(self, sql: str, *, expected: bool) -> None:
        assert by_window(sql) is expected


class TestAHost:
    @pytest.mark.parametrize(
        "host", ["db.example:5432", "10.1.2.3:5432", "[2001:db8::1]:5432", "db:5432", "a-b.c:1"]
    )
    def test_is_named_with_its_port(self, host: str) -> None:
        assert settings(hosts=[host]).hosts == (host,)

    @pytest.mark.parametrize(
        "host",
        [
            "db.example", "db.example:", ":5432", "*.example:5432", "DB.example:5432",
            "db.example:5432x", "db.example:٥", "2001:db8::1:5432", "[10.1.2.3]:5432",
            "127.1:5432", "0x7f.1:5432", "[::ffff:10.1.2.3]:5432", "db.example.:5432",
            "http://db.example:5432", "db.example:05432", "10.1.0.0/16:5432",
        ],
    )  # fmt: skip
    def test_in_another_form_is_refused(self, host: str) -> None:
        assert "is not host:port" in refusal(hosts=[host])

    @pytest.mark.parametrize("text", ["", "a b", "a_b", "-a", "a..b", "1.2.3", "1", "0x1", "a.1"])
    def test_that_is_no_name_is_none(self, text: str) -> None:
        assert not plain(text)


class TestAPrivateNetwork:
    @pytest.mark.parametrize("network", ["10.1.0.0/16", "127.0.0.1", "::1", "169.254.1.1/32"])
    def test_may_be_named(self, network: str) -> None:
        assert len(settings(allow_private=[network]).allow_private) == 1

    @pytest.mark.parametrize("network", ["0.0.0.0/0", "8.8.8.0/24", "::/0"])
    def test_is_no_public_one(self, network: str) -> None:
        assert "not a private network" in refusal(allow_private=[network])


class TestTheAddress:
    def test_and_queries_belong_together(self) -> None:
        assert "belong together" in refusal(url="")
        assert "belong together" in refusal(queries={})

    def test_is_given_in_one_way(self) -> None:
        assert "not both" in refusal(url_file="/run/secrets/source")

    def test_is_never_printed(self) -> None:
        found = settings()

        assert "hunter2" not in f"{found} {found!r} {found.model_dump_json()}"

    def test_is_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RECFACTORY_SOURCE__URL", "postgresql://u:hunter2@db.example/sales")
        monkeypatch.setenv("RECFACTORY_SOURCE__QUERIES__CUSTOMERS", WHOLE)

        source = Config().source

        assert source.given
        assert "hunter2" in source.url.get_secret_value()


class TestTheClient:
    @pytest.mark.parametrize(("value", "expected"), [(42, "42"), ("0042", "0042"), ("a-1", "a-1")])
    def test_is_text_as_it_was_given(self, value: object, expected: str) -> None:
        assert with_changes(TenantSettings(), {"source.client": value}).source.client == expected

    @pytest.mark.parametrize("value", [42.0, 1e5, True, None, ["42"]])
    def test_that_lost_its_form_is_refused(self, value: object) -> None:
        with pytest.raises(Refused, match=r"source\.client"):
            with_changes(TenantSettings(), {"source.client": value})

    def test_is_never_the_templates_for_every_tenant_would_get_its_data(self) -> None:
        with pytest.raises(ValidationError, match="each tenant's own"):
            Config.model_validate({"template": {"source": {"client": "42"}}})
