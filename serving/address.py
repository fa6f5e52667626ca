"""How an address names a customer."""

from starlette.convertors import Convertor, register_url_convertor


class _Any(Convertor[str]):
    """A customer's id as it is: the tenant may have put slashes into it."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", _Any())

CUSTOMER = "/customers/{customer:any}"
