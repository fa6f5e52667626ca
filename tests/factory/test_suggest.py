"""A mapping proposed from a header and a sample: what is sure is written, what is not is asked."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from factory.headings import HEADINGS, WORDS, plain
from factory.sniff import sniff
from factory.suggest import Proposal, as_yaml, proposed, suggest, tables_in
from schema.errors import Refused
from schema.mapping import Reading, Source, read_mapping
from schema.tables import CUSTOMERS, INTERACTIONS, PRODUCTS, TABLES, Table

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


def proposal(table: Table, **columns: Sequence[str]) -> Proposal:
    sample = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    [found] = suggest(sample, [table], Reading(), now=NOW)
    return found


def source(found: Proposal, column: str) -> Source:
    [line] = [line for line in found.lines if line.column == column]
    assert line.source is not None
    return line.source


def asked(found: Proposal, column: str) -> str:
    [line] = [line for line in found.lines if line.column == column]
    return line.ask


class TestNames:
    @pytest.mark.parametrize(
        ("name", "table", "column"),
        [
            ("CustomerID", CUSTOMERS, "customer_id"),
            ("Kunden-Nr.", CUSTOMERS, "customer_id"),
            ("code_client", CUSTOMERS, "customer_id"),
            ("Ragione sociale", CUSTOMERS, "name"),
            ("Artikelnummer", PRODUCTS, "product_id"),
            ("Libellé", PRODUCTS, "name"),
            ("Precio Unitario", PRODUCTS, "price"),
            ("Quantité", INTERACTIONS, "quantity"),
            ("Rechnungsdatum", INTERACTIONS, "occurred_at"),
            ("occurred_at", INTERACTIONS, "occurred_at"),
        ],
    )
    def test_are_known_in_several_languages_however_they_are_written(
        self, name: str, table: Table, column: str
    ) -> None:
        assert source(proposal(table, **{name: ["1"]}), column).column == name

    def test_that_fit_better_win(self) -> None:
        found = proposal(PRODUCTS, product=["Bolt"], product_id=["7"])
        assert source(found, "product_id").column == "product_id"

    def test_that_nobody_knows_are_asked_for_where_they_are_needed(self) -> None:
        found = proposal(INTERACTIONS, Foo=["1"])
        nowhere = {line.column for line in found.lines if line.ask and not line.source}
        assert nowhere == {"customer_id", "product_id", "occurred_at"}
        assert found.unused == ("Foo",)

    def test_tell_which_tables_a_file_is_for(self) -> None:
        assert tables_in(["Kunde", "Artikel", "Datum"]) == (INTERACTIONS,)
        assert tables_in(["Artikel", "Preis"]) == (PRODUCTS,)
        assert tables_in(["Kundennummer", "Ort"]) == (CUSTOMERS,)
        wide = ["Customer ID", "Customer Name", "Product ID", "Product Name", "Order Date"]
        assert tables_in(wide) == (CUSTOMERS, PRODUCTS, INTERACTIONS)

    def test_are_listed_once_for_columns_that_exist(self) -> None:
        for table, columns in HEADINGS.items():
            assert set(columns) <= {column.name for column in TABLES[table].columns}
            for names in columns.values():
                assert len({plain(name) for name in names}) == len(names)
        for column, words in WORDS.items():
            table_of = INTERACTIONS if column == "event" else PRODUCTS
            assert set(words.values()) <= set(table_of.column(column).choices)


class TestIds:
    def test_that_all_end_in_a_point_and_zero_lose_it(self) -> None:
        found = proposal(CUSTOMERS, CustomerID=["17733.0", "12.0"])
        assert source(found, "customer_id").ending == ".0"

    def test_of_which_only_some_do_are_asked_about(self) -> None:
        found = proposal(CUSTOMERS, CustomerID=["17733.0", "A12"])
        assert source(found, "customer_id").ending == ""
        assert "1 of 2 end in .0" in asked(found, "customer_id")

    def test_in_quotes_of_their_own_lose_them(self) -> None:
        found = proposal(PRODUCTS, ISBN=['"034545104X"', '"05"'])
        assert source(found, "product_id").remove == ('"',)

    def test_that_are_missing_are_told_and_their_rows_not_left_out_silently(self) -> None:
        found = proposal(CUSTOMERS, Nr=["1"], Kunde=[""])
        assert 'leave_out: {Kunde: [""]}' in found.asks[0]
        assert not found.mapping.leave_out

    def test_that_repeat_count_once(self) -> None:
        assert proposal(CUSTOMERS, Kunde=["1", "1"]).mapping.repeated_keys == "first"
        assert proposal(CUSTOMERS, Kunde=["1", "2"]).mapping.repeated_keys == ""


class TestNumbers:
    @pytest.mark.parametrize(
        ("values", "decimal", "thousands"),
        [
            (["34.99", "5"], ".", ""),
            (["34,99", "5"], ",", ""),
            (["1.234,5", "12"], ",", "."),
            (["1,234.5", "12"], ".", ","),
            (["1'234.50", "2"], ".", "'"),
            (["1 234,5", "2"], ",", " "),
        ],
    )
    def test_of_one_possible_form_need_no_question(
        self, values: list[str], decimal: str, thousands: str
    ) -> None:
        found = proposal(PRODUCTS, Preis=values)
        price = source(found, "price")
        assert (price.decimal, price.thousands) == (decimal, thousands)
        assert asked(found, "price") == ""

    @pytest.mark.parametrize("values", [["1.234", "5.678"], ["1,234"]])
    def test_that_could_be_two_numbers_are_asked_about(self, values: list[str]) -> None:
        assert "which?" in asked(proposal(PRODUCTS, Preis=values), "price")

    def test_lose_their_currency_sign(self) -> None:
        found = source(proposal(PRODUCTS, Price=["$90,000 ", "$5.50"]), "price")
        assert (found.remove, found.thousands) == (("$",), ",")

    def test_of_which_few_cannot_be_read_say_which(self) -> None:
        found = proposal(PRODUCTS, Price=["1.5"] * 30 + ["n/a"])
        assert "1 of 31 cannot be read, like 'n/a'" in asked(found, "price")

    def test_that_cannot_be_read_at_all_are_told(self) -> None:
        assert "cannot be read" in asked(proposal(PRODUCTS, Price=["cheap", "dear"]), "price")

    def test_of_money_are_multiplied_where_no_column_holds_the_whole(self) -> None:
        found = source(proposal(INTERACTIONS, Menge=["2"], Einzelpreis=["1,5"]), "value")
        assert (found.product_of, found.decimal) == (("Menge", "Einzelpreis"), ",")

    def test_below_zero_are_returns_where_nothing_else_says_so(self) -> None:
        assert proposal(INTERACTIONS, qty=["-1", "2"]).mapping.negative_quantity == "return"
        assert proposal(INTERACTIONS, qty=["1", "2"]).mapping.negative_quantity == ""


class TestTimes:
    @pytest.mark.parametrize(
        ("values", "form"),
        [
            (["2026-03-01 10:00:00"], ""),
            (["2026-03-01T10:00:00Z"], ""),
            (["20.10.2016", "01.02.2016"], "%d.%m.%Y"),
            (["10/20/2016 08:15"], "%m/%d/%Y %H:%M"),
            (["20-10-16", "29-10-16"], "%d-%m-%y"),
            (["1772900000"], "unix"),
            (["1772900000000"], "unix_ms"),
            (["20260301"], "%Y%m%d"),
        ],
    )
    def test_of_one_possible_form_need_no_question(self, values: list[str], form: str) -> None:
        found = proposal(INTERACTIONS, Datum=values)
        assert source(found, "occurred_at").time == form
        assert asked(found, "occurred_at") == ""

    def test_that_could_be_two_days_are_asked_about(self) -> None:
        ask = asked(proposal(INTERACTIONS, Datum=["01/02/2026", "03/02/2026"]), "occurred_at")
        assert "%d/%m/%Y or %m/%d/%Y" in ask

    def test_that_are_nowhere_are_asked_for_with_a_way_out(self) -> None:
        assert "{delivered: true}" in asked(proposal(INTERACTIONS, Kunde=["1"]), "occurred_at")


class TestWords:
    def test_that_are_known_are_translated_and_others_asked_about(self) -> None:
        found = proposal(INTERACTIONS, stage=["Won", "Verkauf", "Engaging", "purchase"])
        assert source(found, "event").words == {"Won": "purchase", "Verkauf": "purchase"}
        assert "what are Engaging?" in asked(found, "event")

    def test_of_truth_say_whether_a_product_is_gone(self) -> None:
        gone = source(proposal(PRODUCTS, discontinued=["true", "false"]), "status")
        assert gone.words == {"true": "discontinued", "false": "sellable"}
        active = source(proposal(PRODUCTS, active=["Y", "N"]), "status")
        assert active.words == {"Y": "sellable", "N": "discontinued"}

    def test_of_a_currency_are_the_tenants_if_there_is_only_one(self) -> None:
        found = proposal(INTERACTIONS, Währung=["EUR", "EUR"])
        assert proposed([found]).currency == "EUR"
        assert proposed([found]).interactions.currency == "Währung"
        two = proposal(INTERACTIONS, Währung=["EUR", "CHF"])
        assert "which is the tenant's?" in two.asks[0]

    def test_yes_and_no_in_many_columns_may_be_products(self) -> None:
        found = proposal(CUSTOMERS, customerID=["1"], TV=["Yes"], Phone=["No"], Net=["Yes"])
        assert "holdings" in found.asks[0]


class TestAFile:
    def test_in_windows_1252_says_so(self) -> None:
        found = sniff("Kunde;Straße\n1;Gründen\n".encode("windows-1252"))
        assert found.reading.encoding == "windows-1252"
        assert "line 1 is not UTF-8" in found.notes[0]
        assert found.sample["Straße"].to_pylist() == ["Gründen"]

    def test_cut_within_a_character_is_utf_8_all_the_same(self) -> None:
        assert sniff("Kunde,Ort\n1,Zürich\n2,Zü".encode()[:-1]).reading == Reading()

    def test_in_utf_16_is_refused(self) -> None:
        with pytest.raises(Refused) as told:
            sniff("Kunde,Ort\n".encode("utf-16"))
        assert told.value.code == "TEXT_ENCODING"

    def test_with_junk_above_its_header_says_where_the_header_is(self) -> None:
        text = b",,1,2\n\n,column,column,\nId,Name,Price,Group\n1,a,2,b\n2,c,3,d\n"
        assert sniff(text).reading.header_line == 4

    def test_without_a_header_is_refused(self) -> None:
        with pytest.raises(Refused, match="names columns"):
            sniff(b"1,2\n3,4\n")

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_may_end_its_lines_in_any_way(self, end: str) -> None:
        found = sniff(f"a;b{end}1;2,5{end}".encode())
        assert found.sample.to_pydict() == {"a": ["1"], "b": ["2,5"]}

    def test_whose_header_misleads_about_the_delimiter_names_it(self) -> None:
        found = sniff(b"Report, made, by, hand\na;b\n1;2\n3;4\n5;6\n")
        assert (found.reading.delimiter, found.reading.header_line) == (";", 2)


class TestTheYaml:
    def test_is_the_mapping_it_proposes_whatever_the_file_calls_its_columns(self) -> None:
        names = ["customer id", "pröduct: x", "Yes", "# 1", "a\nb: {", "Währung", "null", "'"]
        sample = pa.table({name: ["1", "2"] for name in names} | {"name": ["x ", "y"]})
        found = suggest(sample, [CUSTOMERS, INTERACTIONS], Reading(header_line=3), now=NOW)

        text = as_yaml(found)

        assert read_mapping(text) == proposed(found)

    def test_gives_its_reasons_and_marks_its_questions(self) -> None:
        text = as_yaml([proposal(INTERACTIONS, CustomerID=["1.0", "2.0"], stage=["Won", "?"])])
        assert 'customer_id: {from: CustomerID, ending: ".0"}  # called' in text
        assert "# ? event: what are ?? One of" in text
