import pytest

from schema.tables import (
    CUSTOMERS,
    FEEDBACK,
    IMPORTED,
    INTERACTIONS,
    PRODUCTS,
    TABLES,
    Column,
    Kind,
    Table,
)

EVERY = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
COLUMNS = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in TABLES.values()
    for column in table.columns
]
EACH = pytest.mark.parametrize(("table", "column"), COLUMNS)


class TestATable:
    @EVERY
    def test_is_found_under_its_own_name(self, table: Table) -> None:
        assert TABLES[table.name] is table

    @EVERY
    def test_names_every_column_once(self, table: Table) -> None:
        names = [column.name for column in table.columns]

        assert len(set(names)) == len(names)

    @EVERY
    def test_has_its_key_among_its_columns_as_a_required_id(self, table: Table) -> None:
        if table.key:
            assert table.column(table.key).kind is Kind.ID
            assert table.column(table.key).required

    @EVERY
    def test_says_what_it_means(self, table: Table) -> None:
        assert table.meaning.endswith(".")


class TestAColumn:
    @EACH
    def test_that_is_required_has_no_default(self, table: Table, column: Column) -> None:
        assert not (column.required and column.default is not None)

    @EACH
    def test_points_to_a_table_whose_key_has_its_name(self, table: Table, column: Column) -> None:
        if column.points_to:
            assert TABLES[column.points_to].key == column.name
            assert column.kind is Kind.ID

    @EACH
    def test_has_choices_if_and_only_if_it_is_a_choice(self, table: Table, column: Column) -> None:
        assert bool(column.choices) == (column.kind is Kind.CHOICE)

    @EACH
    def test_has_a_range_if_and_only_if_it_is_a_number(self, table: Table, column: Column) -> None:
        for bound in (column.least, column.most):
            assert (bound is not None) == (column.kind is Kind.NUMBER)

    @EACH
    def test_has_a_default_that_would_itself_be_accepted(
        self, table: Table, column: Column
    ) -> None:
        if column.kind is Kind.CHOICE and column.default is not None:
            assert column.default in column.choices
        elif isinstance(column.default, float):
            assert column.least is not None
            assert column.most is not None
            assert column.least <= column.default <= column.most
        else:
            assert column.default is None

    @EACH
    def test_says_what_it_means(self, table: Table, column: Column) -> None:
        assert column.meaning


class TestTheImportedTables:
    def test_come_before_those_that_point_to_them(self) -> None:
        read: set[str] = set()
        for table in IMPORTED:
            assert {c.points_to for c in table.columns if c.points_to} <= read
            read.add(table.name)

    def test_are_customers_products_and_interactions(self) -> None:
        assert (CUSTOMERS, PRODUCTS, INTERACTIONS) == IMPORTED

    def test_ask_for_ids_and_the_time_only(self) -> None:
        required = {t.name: [c.name for c in t.columns if c.required] for t in IMPORTED}

        assert required == {
            "customers": ["customer_id"],
            "products": ["product_id"],
            "interactions": ["customer_id", "product_id", "occurred_at"],
        }


def test_an_unknown_column_is_no_column() -> None:
    with pytest.raises(StopIteration):
        FEEDBACK.column("mood")
