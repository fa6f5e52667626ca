"""The dirtiest files there are: other encodings, junk around the header, ends of CR alone, doubles."""

import os
from collections.abc import Mapping

import pyarrow.compute as pc
import pytest

from factory.mapped import LEFT_OUT
from schema.settings import IntakeSettings
from tests.scenarios.test_shared_data import DATA, Client, common, raw
from tests.scenarios.test_shared_data import client as client
from tests.world import LOOSE

if os.environ.get("CI") != "true":
    pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")


class TestMessyCustomers:
    """adventureworks_internet: Windows-1252, junk above and below the header, repeated rows."""

    FILE = raw("adventureworks_internet", "messy_customers.csv")
    READING = "reading: {encoding: windows-1252, header_line: 2}"
    COLUMNS = "columns: {customer_id: CustomerKey, name: LastName, segment: Occupation}"
    REST = "leave_out: {CustomerKey: [A]}, repeated_keys: first"

    def test_are_refused_for_their_encoding(self, client: Client) -> None:
        assert client.refused(customers=self.FILE) == "TEXT_ENCODING"

    def test_are_refused_for_the_junk_that_looks_like_a_header(self, client: Client) -> None:
        client.declare("customers: {reading: {encoding: windows-1252}}")

        assert client.refused(customers=self.FILE) == "SCHEMA_DUPLICATE"

    def test_come_in_once_each(self, client: Client) -> None:
        client.declare(f"customers: {{{self.READING}, {self.COLUMNS}, {self.REST}}}")

        found = client.deliver(customers=self.FILE)["customers"]

        assert (found.read, found.accepted) == (18_188, 18_148)
        assert found.codes == {LEFT_OUT: 1 + 39}
        names = client.has("customers")["name"].to_pylist()
        assert len([name for name in names if "\u00c9" in name or "\u00d1" in name]) > 0


class TestMessyProducts:
    """adventureworks_internet: three lines of junk above the header, rows of nothing but zeros."""

    FILE = raw("adventureworks_internet", "messy_products.csv")
    COLUMNS = "{product_id: Product-ID, name: ProductName, price: ProductPrice, cost: ProductCost}"
    MAPPING = f"products: {{reading: {{header_line: 4}}, columns: {COLUMNS}"

    def test_are_refused_for_the_junk_above_their_header(self, client: Client) -> None:
        assert client.refused(products=self.FILE) in ("SCHEMA_DUPLICATE", "SCHEMA_MISSING")

    def test_come_in_without_the_rows_of_nothing(self, client: Client) -> None:
        client.declare(self.MAPPING + ', leave_out: {Product-ID: ["", "null"]}}')

        found = client.deliver(products=self.FILE)["products"]

        assert (found.read, found.accepted, found.codes) == (299, 293, {LEFT_OUT: 6})

    def test_say_what_is_wrong_with_those_rows_where_nothing_is_declared_of_them(
        self, client: Client
    ) -> None:
        client.declare(self.MAPPING + "}")

        found = client.deliver(products=self.FILE)["products"]

        assert (found.accepted, found.codes) == (294, {"ID_EMPTY": 2, "KEY_DUPLICATE": 3})


class TestRatingsOutOfASpreadsheet:
    """dirty_samples: lines end in CR alone, most are empty, ids are quoted three times."""

    FILE = DATA / "dirty_samples" / "bookcrossing_ratings_cr_only.csv"
    MAPPING = """
        customers:
          columns: {customer_id: User-ID}
          leave_out: {User-ID: [""]}
          repeated_keys: first
        products:
          columns: {product_id: {from: ISBN, remove: ['"']}}
          leave_out: {User-ID: [""]}
          repeated_keys: first
        interactions:
          columns:
            customer_id: User-ID
            product_id: {from: ISBN, remove: ['"']}
            event:
              from: Book-Rating
              words: {0: view, 1: rating, 2: rating, 3: rating, 4: rating, 5: rating, 6: rating,
                      7: rating, 8: rating, 9: rating, 10: rating}
            value: Book-Rating
            occurred_at: {delivered: true}
          leave_out: {User-ID: [""]}
        """

    def test_are_refused_as_they_are(self, client: Client) -> None:
        assert client.refused(customers=self.FILE) == "SCHEMA_MISSING"

    def test_come_in_without_the_empty_lines(self, client: Client) -> None:
        client.declare(self.MAPPING)

        found = client.deliver(customers=self.FILE, products=self.FILE, interactions=self.FILE)

        assert found["interactions"].read == 40_000
        assert (found["customers"].accepted, found["products"].accepted) == (727, 8520)
        assert found["interactions"].codes == {LEFT_OUT: 31_000}
        events = client.has("interactions")["event"]
        assert pc.sum(pc.equal(events, "view")).as_py() == 6908
        assert not pc.any(pc.match_substring(client.has("products")["product_id"], '"')).as_py()


DOUBLES: Mapping[str, int] = {
    "online_retail": 5267,
    "groceries_members": 759,
    "crm_opportunities": 34,
    "adventureworks_internet": 7,
    "adventureworks_reseller": 4,
    "superstore": 1,
}
"""Lines that are the same in every column of the common form. (Of online_retail the README counts
5,268, in the source's columns; of the pipeline those without a date are left out before.)"""


class TestLinesThatAreTheSameInEveryColumn:
    @pytest.mark.parametrize("folder", DOUBLES)
    def test_count_once_as_long_as_nobody_says_otherwise(self, folder: str, client: Client) -> None:
        client.declare('interactions: {leave_out: {occurred_at: [""]}}')
        client.limits = IntakeSettings(ids="exact", holds=LOOSE)

        found = client.deliver(**common(folder))["interactions"]

        assert found.codes.get("ROW_DUPLICATE", 0) == DOUBLES[folder]


class TestIdsThatDifferOnlyInCase:
    def test_are_told(self, client: Client) -> None:
        client.limits = IntakeSettings(ids="ask")

        found = client.deliver(products=common("online_retail")["products"])

        assert found["products"].codes["ID_LOOKALIKE"] == 112
