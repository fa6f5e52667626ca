"""Real files of twelve tenants come in through mapping alone, and nothing of them is lost.

``../shared/data`` describes itself: the counts here are those of its README.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.cases import SHARED
from factory.mapped import LEFT_OUT
from factory.sniff import sniff
from factory.suggest import proposed, suggest, tables_in
from jobs.intake import import_files
from schema.errors import FactoryError
from schema.mapping import Reading, read_mapping
from schema.names import TenantId
from schema.settings import IntakeSettings
from schema.tables import INTERACTIONS
from tests.world import ACME, BETA, LOOSE, NOW, World, open_world

DATA = SHARED / "data"

if os.environ.get("CI") != "true":
    pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")


LIMITS = IntakeSettings(ids="exact", duplicates="keep", holds=LOOSE)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report says of one table.

    Attributes:
        codes: rows by what is said of them.
    """

    read: int
    accepted: int
    quarantined: int
    codes: Mapping[str, int]


class Client:
    """A tenant that delivers files as they are, and may declare how they look."""

    def __init__(self, world: World, name: TenantId = ACME) -> None:
        self.world, self.name = world, name
        self.limits = LIMITS

    def declare(self, text: str) -> None:
        self.world.stores.ledger.change_mapping(
            self.name, read_mapping(text).as_json(), by="test", why="a test", at=NOW
        )

    def deliver(self, **files: Path) -> dict[str, Taken]:
        tenant = self.world.tenant(self.name)
        report = import_files(self.world.stores, tenant, files, self.limits, by="test", now=NOW)
        found = {}
        for table in report.as_json()["tables"]:
            codes: Counter[str] = Counter()
            for fault in table["faults"]:
                if fault["code"] == "SCHEMA_EXTRA":  # every set has columns of its own
                    continue
                codes[fault["code"]] += fault["count"]
            taken = Taken(table["read"], table["accepted"], table["quarantined"], dict(codes))
            assert taken.accepted + taken.quarantined == taken.read
            found[table["table"]] = taken
        return found

    def has(self, table: str) -> pa.Table:
        """All that was accepted."""
        return self.world.stores.datasets.read(self.world.tenant(self.name).uid, table)

    def refused(self, **files: Path) -> str:
        """The code of the answer."""
        with pytest.raises(FactoryError) as told:
            self.deliver(**files)
        return told.value.problem.code


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = open_world(tmp_path)
    world.add(ACME)
    world.add(BETA)
    yield Client(world)
    world.stores.engine.dispose()


def common(folder: str) -> dict[str, Path]:
    """A folder's three files in their common form."""
    names = ("customers", "products", "interactions")
    return {name: DATA / folder / f"{name}.parquet" for name in names}


def taken(delivery: Mapping[str, Taken]) -> list[int]:
    """Accepted customers, products, interactions."""
    return [delivery[name].accepted for name in ("customers", "products", "interactions")]


FOLDERS = {
    "online_retail": ("customers: {columns: {region: country}}", (4372, 4070, 406_829)),
    "movielens_100k": ("customers: {columns: {segment: occupation}}", (943, 1682, 100_000)),
    "groceries_members": ("", (3898, 167, 38_765)),
    "adventureworks_reseller": (
        """
        currency: USD
        customers: {columns: {segment: business_type, region: country}}
        products: {columns: {cost: unit_cost}}
        """,
        (701, 397, 57_851),
    ),
    "adventureworks_internet": (
        "customers: {columns: {segment: occupation, region: sales_territory_key}}",
        (18_484, 397, 60_398),
    ),
    "northwind": (
        """
        customers: {columns: {segment: contact_title, region: country}}
        products:
          columns:
            status: {from: discontinued, words: {true: discontinued, false: sellable}}
        """,
        (91, 77, 2155),
    ),
    "classicmodels": (
        """
        customers: {columns: {region: {from: country, trim: true}}}
        products: {columns: {cost: buy_price}}
        """,
        (122, 110, 2996),
    ),
    "chinook": ("customers: {columns: {region: country}}", (59, 3503, 2240)),
    "bikestores": ("customers: {columns: {region: state}}", (1445, 321, 4722)),
    "superstore": ("customers: {columns: {region: main_region}}", (793, 1862, 9994)),
    "crm_opportunities": (
        """
        customers: {columns: {segment: sector, region: office_location}}
        interactions: {leave_out: {occurred_at: [""]}}
        """,
        (85, 8, 7375 - 163),
    ),
    "telco_holdings": (
        """
        customers: {columns: {segment: contract}}
        interactions: {how: replace, columns: {occurred_at: {delivered: true}}}
        """,
        (7043, 10, 29_202),
    ),
}
"""Of each folder in the common form: what had to be declared, and what comes in."""


class TestEveryFolder:
    def test_is_in_this_list(self) -> None:
        there = {path.name for path in DATA.iterdir() if path.is_dir()}
        assert there == {*FOLDERS, "dirty_samples"}

    @pytest.mark.parametrize("folder", FOLDERS)
    def test_comes_in_through_mapping_alone(self, folder: str, client: Client) -> None:
        text, expected = FOLDERS[folder]
        client.declare(text or "{}")

        delivery = client.deliver(**common(folder))

        assert taken(delivery) == [*expected]
        assert {code for table in delivery.values() for code in table.codes} <= {LEFT_OUT}


def raw(folder: str, name: str) -> Path:
    return DATA / folder / "raw" / name


def lines(table: pa.Table) -> pa.Table:
    """What every interaction says, in an order that does not depend on the file's."""
    names = ["customer_id", "product_id", "event", "quantity", "value", "occurred_at"]
    value = table.column_names.index("value")
    whole = pc.round(pc.multiply(table["value"], 10_000)).cast(pa.int64())
    rounded = table.set_column(value, "value", whole).select(names)
    return rounded.sort_by([(name, "ascending") for name in names]).combine_chunks()


class TestLinesWithoutACustomer:
    FOLDERS = ("online_retail", "crm_opportunities")

    @pytest.mark.parametrize("folder", FOLDERS)
    def test_are_refused_for_nobody_is_in_them(self, folder: str, client: Client) -> None:
        lonely = DATA / folder / "interactions_no_customer.parquet"
        files = {**common(folder), "interactions": lonely}

        assert client.refused(**files) == "ID_EMPTY"

    @pytest.mark.parametrize("folder", FOLDERS)
    def test_are_refused_as_no_rows_where_the_mapping_leaves_them_out(
        self, folder: str, client: Client
    ) -> None:
        client.declare('interactions: {leave_out: {customer_id: [""]}}')
        lonely = DATA / folder / "interactions_no_customer.parquet"

        assert client.refused(**{**common(folder), "interactions": lonely}) == "DATA_NO_ROWS"


class TestTheInvoicesOfAWholesaler:
    """online_retail: the busiest month, customer ids as 17733.0."""

    FILE = raw("online_retail", "online_retail_2011-11.csv")
    MAPPING = """
        currency: GBP
        customers:
          columns: {customer_id: {from: CustomerID, ending: ".0"}, region: Country}
          leave_out: {CustomerID: [""]}
          repeated_keys: first
        products:
          columns: {product_id: StockCode, name: {from: Description, trim: true}, price: UnitPrice}
          repeated_keys: first
        interactions:
          columns:
            customer_id: {from: CustomerID, ending: ".0"}
            product_id: StockCode
            quantity: Quantity
            value: {product_of: [Quantity, UnitPrice]}
            occurred_at: InvoiceDate
          leave_out: {CustomerID: [""]}
          negative_quantity: return
        """

    def test_are_refused_as_they_are(self, client: Client) -> None:
        assert client.refused(customers=self.FILE) == "SCHEMA_MISSING"

    def test_give_customers_products_and_lines_out_of_one_file(self, client: Client) -> None:
        client.declare(self.MAPPING)

        delivery = client.deliver(customers=self.FILE, products=self.FILE, interactions=self.FILE)

        assert taken(delivery) == [1711, 2963, 65_598]
        assert delivery["interactions"].read == 84_711
        assert delivery["interactions"].codes == {LEFT_OUT: 84_711 - 65_598}

    def test_are_the_lines_of_that_month_in_the_common_form(self, client: Client) -> None:
        client.declare(self.MAPPING)
        client.deliver(customers=self.FILE, products=self.FILE, interactions=self.FILE)
        year = pq.read_table(common("online_retail")["interactions"])
        when = pc.strftime(year["occurred_at"], "%Y-%m")

        month = year.filter(pc.equal(when, "2011-11"))

        assert lines(client.has("interactions")) == lines(month)


class TestAPipelineOfOpportunities:
    """crm_opportunities: stages instead of events, two dates, an account that may be missing."""

    FILES: Mapping[str, Path] = {
        "customers": raw("crm_opportunities", "accounts.csv"),
        "products": raw("crm_opportunities", "products.csv"),
        "interactions": raw("crm_opportunities", "sales_pipeline.csv"),
    }
    MAPPING = """
        customers:
          columns: {customer_id: account, name: account, segment: sector, region: office_location}
        products:
          columns: {product_id: product, name: product, category: series, price: sales_price}
        interactions:
          columns:
            customer_id: account
            product_id: {from: product, words: {GTXPro: GTX Pro}}
            event:
              from: deal_stage
              words: {Won: purchase, Lost: view, Engaging: view, Prospecting: view}
            value: close_value
            occurred_at:
              by_event: {purchase: close_date, view: engage_date}
              time: "%d-%m-%y"
          leave_out: {account: [""], engage_date: [""]}
        """

    def test_is_refused_as_it_is(self, client: Client) -> None:
        assert client.refused(**self.FILES) == "SCHEMA_MISSING"

    def test_comes_in_as_purchases_and_views(self, client: Client) -> None:
        client.declare(self.MAPPING)

        delivery = client.deliver(**self.FILES)

        assert taken(delivery) == [85, 7, 7375 - 163]
        assert delivery["interactions"].codes == {LEFT_OUT: 1425 + 163}
        events = pc.value_counts(client.has("interactions")["event"]).to_pylist()
        assert {"values": "purchase", "counts": 4238} in events

    def test_is_the_common_form_but_for_the_product_that_is_spelt_in_two_ways(
        self, client: Client
    ) -> None:
        client.declare(self.MAPPING)
        client.deliver(**self.FILES)
        mine = client.has("interactions")
        theirs = pq.read_table(common("crm_opportunities")["interactions"])
        theirs = theirs.filter(pc.is_valid(theirs["occurred_at"]))

        spelt = pc.replace_substring(theirs["product_id"], "GTXPro", "GTX Pro")

        assert lines(mine) == lines(theirs.set_column(1, "product_id", spelt))

    def test_without_that_word_names_products_that_nobody_knows(self, client: Client) -> None:
        client.declare(self.MAPPING.replace("{from: product, words: {GTXPro: GTX Pro}}", "product"))

        assert client.deliver(**self.FILES)["interactions"].codes["REF_UNKNOWN"] > 1000


class TestASuperstore:
    """superstore: customers, products and lines in one wide file."""

    FILE = raw("superstore", "superstore.csv")
    MAPPING = """
        currency: USD
        customers:
          columns: {customer_id: Customer ID, name: Customer Name, segment: Segment, region: Region}
          repeated_keys: first
        products:
          columns: {product_id: Product ID, name: {from: Product Name, trim: true}, category: Category}
          repeated_keys: first
        interactions:
          columns:
            customer_id: Customer ID
            product_id: Product ID
            quantity: Quantity
            value: Sales
            occurred_at: Order Date
        """

    def test_is_refused_as_it_is(self, client: Client) -> None:
        assert client.refused(products=self.FILE) == "SCHEMA_MISSING"

    def test_fills_three_tables(self, client: Client) -> None:
        client.declare(self.MAPPING)

        delivery = client.deliver(customers=self.FILE, products=self.FILE, interactions=self.FILE)

        assert taken(delivery) == [793, 1862, 9994]
        assert delivery["products"].codes == {LEFT_OUT: 9994 - 1862}
        theirs = pq.read_table(common("superstore")["interactions"])
        assert lines(client.has("interactions")) == lines(theirs)


class TestTheHoldingsOfATelephoneCompany:
    """telco_holdings: a column for each service, and no times."""

    FILE = raw("telco_holdings", "Telco-Customer-Churn.csv")
    HOLDINGS = """
            PhoneService: {Yes: PhoneService}
            MultipleLines: {Yes: MultipleLines}
            InternetService: {DSL: InternetDSL, Fiber optic: InternetFiber}
            OnlineSecurity: {Yes: OnlineSecurity}
            OnlineBackup: {Yes: OnlineBackup}
            DeviceProtection: {Yes: DeviceProtection}
            TechSupport: {Yes: TechSupport}
            StreamingTV: {Yes: StreamingTV}
            StreamingMovies: {Yes: StreamingMovies}
    """
    MAPPING = f"""
        customers:
          columns: {{customer_id: customerID, segment: Contract}}
        products:
          repeated_keys: first
          holdings: {HOLDINGS}
        interactions:
          how: replace
          columns: {{customer_id: customerID, occurred_at: {{delivered: true}}}}
          holdings: {HOLDINGS}
        """

    def test_are_refused_as_they_are(self, client: Client) -> None:
        assert client.refused(customers=self.FILE) == "SCHEMA_MISSING"

    def test_become_a_line_for_each_service_held(self, client: Client) -> None:
        client.declare(self.MAPPING)

        delivery = client.deliver(customers=self.FILE, products=self.FILE, interactions=self.FILE)

        assert taken(delivery) == [7043, 10, 29_202]
        assert delivery["interactions"].codes == {}
        mine, theirs = (
            table.select(["customer_id", "product_id"]).sort_by(
                [("customer_id", "ascending"), ("product_id", "ascending")]
            )
            for table in (
                client.has("interactions"),
                pq.read_table(common("telco_holdings")["interactions"]),
            )
        )
        assert mine.combine_chunks() == theirs.combine_chunks()
        assert set(client.has("interactions")["occurred_at"].to_pylist()) == {NOW}


class TestTwoTenants:
    def test_do_not_read_by_each_others_mapping(self, client: Client) -> None:
        client.declare(TestASuperstore.MAPPING)
        beta = Client(client.world, BETA)

        assert beta.refused(customers=TestASuperstore.FILE) == "SCHEMA_MISSING"


class TestTheProposal:
    """What `data suggest` says of these files: the mappings above are nearly what it proposes."""

    @pytest.mark.parametrize(
        ("file", "reading"),
        [
            (TestTheInvoicesOfAWholesaler.FILE, Reading()),
            (TestASuperstore.FILE, Reading()),
            (raw("adventureworks_internet", "messy_products.csv"), Reading(header_line=4)),
            (
                raw("adventureworks_internet", "messy_customers.csv"),
                Reading(header_line=2, encoding="windows-1252"),
            ),
            (DATA / "dirty_samples" / "bookcrossing_ratings_cr_only.csv", Reading()),
        ],
        ids=lambda value: value.stem if isinstance(value, Path) else "",
    )
    def test_knows_how_the_file_is_read(self, file: Path, reading: Reading) -> None:
        assert sniff(start(file)).reading == reading

    def test_of_the_wholesalers_lines_needs_one_answer(self) -> None:
        sniffed = sniff(start(TestTheInvoicesOfAWholesaler.FILE))
        [lines] = suggest(sniffed.sample, [INTERACTIONS], sniffed.reading, now=NOW)

        declared = read_mapping(TestTheInvoicesOfAWholesaler.MAPPING).interactions
        assert lines.mapping == declared.model_copy(update={"leave_out": {}})
        assert [question.endswith('{CustomerID: [""]}') for question in lines.questions] == [True]

    def test_of_the_superstore_needs_none(self) -> None:
        sniffed = sniff(start(TestASuperstore.FILE))
        tables = tables_in(sniffed.sample.column_names)

        found = suggest(sniffed.sample, tables, sniffed.reading, now=NOW)

        declared = read_mapping(TestASuperstore.MAPPING)
        assert proposed(found) == declared.model_copy(update={"currency": ""})
        assert [question for table in found for question in table.questions] == []

    def test_of_the_pipeline_asks_for_the_words_it_does_not_know(self) -> None:
        sniffed = sniff(start(TestAPipelineOfOpportunities.FILES["interactions"]))
        [lines] = suggest(sniffed.sample, [INTERACTIONS], sniffed.reading, now=NOW)

        assert lines.mapping.columns["occurred_at"].time == "%d-%m-%y"
        assert any("what are Engaging" in question for question in lines.questions)


def start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(1 << 20)
