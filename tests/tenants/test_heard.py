import pytest

from schema.errors import Refused
from schema.records import Product, Said
from tenants.heard import Index, heard, in_words


def product(number: int, category: str | None) -> Product:
    return Product(f"P-{number}", f"product {number}", category, None, "sellable")


CATALOGUE = (product(0, "Stout"), product(1, "Stout"), product(2, "Lager"), product(3, None))
INDEX = Index.of(CATALOGUE)


def refused(**named: list[str]) -> Refused:
    with pytest.raises(Refused) as found:
        heard(INDEX, **named)
    assert found.value.code == "RERANK_UNKNOWN_REF"
    return found.value


class TestWhatWasNamed:
    def test_is_found_in_the_catalogue(self) -> None:
        assert heard(INDEX, products=["P-3", "P-0", "P-3"], categories=["Lager"]) == Said(
            frozenset([0, 3]), {"Lager": frozenset([2])}
        )

    def test_may_be_nothing(self) -> None:
        assert heard(INDEX) == Said()

    def test_is_no_interest_where_it_was_rejected_too(self) -> None:
        said = heard(
            INDEX,
            products=["P-0", "P-2"],
            categories=["Stout", "Lager"],
            rejected_products=["P-1"],
            rejected_categories=["Lager"],
        )
        assert said == Said(frozenset([0]), {"Stout": frozenset([0])}, frozenset([1, 2]))

    def test_that_is_no_product_is_refused_by_name(self) -> None:
        assert "'P-9'" in refused(products=["P-0", "P-9"]).what
        assert "'p-0'" in refused(rejected_products=["p-0"]).what

    def test_that_is_no_category_is_refused_by_name(self) -> None:
        assert "category 'Ale'" in refused(categories=["Stout", "Ale"]).what
        assert "category 'Ale'" in refused(rejected_categories=["Ale"]).what

    def test_is_named_briefly_where_much_is_unknown(self) -> None:
        sentence = refused(products=[f"{n:02}" + "x" * 500 for n in range(40)]).what
        assert len(sentence) < 600
        assert "and 35 more" in sentence


class TestInWords:
    def test_a_product_is_called_by_its_name_and_what_stands_for_a_category_by_that(self) -> None:
        said = heard(INDEX, products=["P-3", "P-0"], categories=["Stout"])
        assert in_words(said, {0, 1, 3}, CATALOGUE) == {0: "product 0", 1: "Stout", 3: "product 3"}

    def test_a_product_without_a_name_is_called_by_its_id(self) -> None:
        nameless = (Product("P-0", None, None, None, "sellable"),)
        assert in_words(Said(frozenset([0])), {0}, nameless) == {0: "P-0"}
