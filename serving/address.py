"""How an address names a customer."""

from starlette.convertors import Convertor, register_url_convertor


class _Any(Convertor[str]):
    """A customer's id as it is: the tenant may have put slashes into it."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Alone(_Any):
    """The same where nothing may follow: another method on a lookup's address is not about a
    customer whose id ends like one.
    """

    regex = r"(?:(?!/recs$)[\s\S])+"


register_url_convertor("any", _Any())
register_url_convertor("alone", _Alone())

CUSTOMER, CUSTOMER_ALONE = "/customers/{customer:any}", "/customers/{customer:alone}"
