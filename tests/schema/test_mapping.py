"""What may be declared of a tenant's files, and how it is said that it does not hold."""

from typing import Any

import pytest

from schema.errors import Refused
from schema.mapping import TenantMapping, declared, read_mapping, written

SHOP = """
currency: GBP
customers:
  columns: {customer_id: {from: CustomerID, ending: ".0"}, region: Country}
  leave_out: {CustomerID: [""]}
  repeated_keys: first
interactions:
  reading: {header_line: 4, delimiter: "\\t"}
  columns:
    customer_id: CustomerID
    event: {from: stage, words: {Yes: purchase, No: leave_out}}
    occurred_at: {by_event: {purchase: a, view: b}, time: "%d-%m-%y"}
    value: {product_of: [a, b], thousands: ","}
"""


def refused(text: str) -> str:
    with pytest.raises(Refused) as told:
        read_mapping(text)
    assert told.value.code == "MAPPING"
    assert told.value.next_step
    return told.value.what


class TestAMapping:
    def test_that_says_nothing_changes_nothing(self) -> None:
        assert declared({}).interactions.changes_nothing
        assert declared({}).as_json() == {}

    def test_comes_back_as_it_was_declared(self) -> None:
        mapping = read_mapping(SHOP)

        assert declared(mapping.as_json()) == mapping
        assert read_mapping(written(mapping)) == mapping

    def test_keeps_only_what_was_declared(self) -> None:
        assert read_mapping(SHOP).as_json()["customers"] == {
            "columns": {"customer_id": {"from": "CustomerID", "ending": ".0"}, "region": "Country"},
            "leave_out": {"CustomerID": [""]},
            "repeated_keys": "first",
        }

    def test_takes_every_word_as_text_so_that_yes_stays_yes(self) -> None:
        event = read_mapping(SHOP).interactions.columns["event"]
        assert event.words == {"Yes": "purchase", "No": "leave_out"}

    def test_is_never_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            read_mapping(SHOP).currency = "EUR"  # type: ignore[misc]

    def test_tells_which_columns_of_the_file_it_needs_and_what_for(self) -> None:
        assert read_mapping(SHOP).customers.needs == (
            ("customer_id", "CustomerID"),
            ("region", "Country"),
            ("leave_out", "CustomerID"),
        )


WRONG: dict[str, tuple[str, str]] = {
    "a column that the schema does not have": (
        "customers: {columns: {id: Nr}}",
        "customers have no column 'id'; they have customer_id, name, segment, region",
    ),
    "a source that comes from nowhere": (
        "customers: {columns: {name: {trim: true}}}",
        "customers.columns.name: say where it comes from, once",
    ),
    "a source that comes from two places": (
        "customers: {columns: {name: {from: a, constant: b}}}",
        "say where it comes from, once",
    ),
    "a time that tells no year": (
        'interactions: {columns: {occurred_at: {from: a, time: "%d/%m"}}}',
        "'%d/%m' is neither unix, unix_ms nor a format that tells the whole day",
    ),
    "a time in a form of this machine's language": (
        'interactions: {columns: {occurred_at: {from: a, time: "%c"}}}',
        "'%c' is neither unix, unix_ms nor a format",
    ),
    "a time form for what is no time": (
        "customers: {columns: {name: {from: a, time: unix}}}",
        "customers.name: it is no time",
    ),
    "a number form for what is no number": (
        'customers: {columns: {name: {from: a, decimal: ","}}}',
        "customers.name: it is no number",
    ),
    "one sign for thousands and decimals": (
        'products: {columns: {price: {from: a, decimal: ",", thousands: ","}}}',
        "',' cannot part both thousands and decimals",
    ),
    "an event that there is not": (
        "interactions: {columns: {event: {from: a, words: {x: bought}}}}",
        "interactions.event: 'bought' is none of view, click",
    ),
    "the moment of delivery for what is no time": (
        "interactions: {columns: {value: {delivered: true}}}",
        "only a time can be the moment of the delivery",
    ),
    "an event that depends on itself": (
        "interactions: {columns: {event: {by_event: {purchase: a}}}}",
        "an event cannot depend on the event",
    ),
    "what depends on an event where there is none": (
        "customers: {columns: {name: {by_event: {purchase: a}}}}",
        "customers have no event",
    ),
    "a product beside holdings": (
        "interactions: {columns: {product_id: a}, holdings: {b: {Yes: c}}}",
        "holdings say what product_id is, and nothing else may",
    ),
    "holdings of customers": (
        "customers: {holdings: {b: {Yes: c}}}",
        "customers: holdings say what product_id is",
    ),
    "repeated keys where rows may repeat": (
        "interactions: {repeated_keys: first}",
        "interactions: rows may repeat",
    ),
    "a negative quantity of products": (
        "products: {negative_quantity: return}",
        "products have no quantity",
    ),
    "a currency column without a currency": (
        "interactions: {currency: C}",
        "interactions: say the tenant's own currency first",
    ),
    "a currency that is none": ("currency: Euro", "currency: String should match"),
    "a word that the language does not have": (
        "customers: {strip: a}",
        "customers.strip: Extra inputs are not permitted",
    ),
    "a key twice": ("customers: {}\ncustomers: {}", "a key comes twice"),
    "no YAML": ("a: b: c", "this is not YAML"),
    "a list": ("[a]", "this is no mapping"),
}


class TestAMappingThatDoesNotHold:
    @pytest.mark.parametrize("what", WRONG)
    def test_says_what_and_where(self, what: str) -> None:
        text, told = WRONG[what]
        assert told in refused(text)

    def test_says_all_of_it_at_once(self) -> None:
        told = refused("foo: 1\nproducts: {how: bar}\ncustomers: {columns: {name: {}}}")

        for where in ("foo: ", "products.how: ", "customers.columns.name: "):
            assert where in told

    def test_is_refused_as_json_too(self) -> None:
        body: dict[str, Any] = {"currency": 5}
        with pytest.raises(Refused, match="currency"):
            declared(body)


def test_the_template_of_all_tenants_is_the_empty_mapping() -> None:
    assert TenantMapping() == declared({})
