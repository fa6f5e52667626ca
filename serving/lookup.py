"""The button: one customer's list. No database, no model, one read from a mapped file."""

from time import perf_counter
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from starlette.convertors import Convertor, register_url_convertor

from schema.errors import NotThere
from schema.names import Bought
from serving.bodies import Recommendations
from serving.deps import ForSeller, OpenShelf, Seen
from tenants.answer import MOST, answer, ask
from tenants.lifecycle import serves


class _Any(Convertor[str]):
    """A customer's id as it is: the tenant may have put slashes into it."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", _Any())
router = APIRouter(tags=["lookup"])


@router.get(
    "/tenants/{tenant}/customers/{customer:any}/recs",
    response_model=Recommendations,
    summary="Show product recommendations",
)
async def recommendations(
    customer: str,
    tenant: ForSeller,
    shelf: OpenShelf,
    seen: Seen,
    limit: Annotated[int, Query(description=f"1 to {MOST}")] = 10,
    bought: Annotated[
        str | None, Query(description=f"{' | '.join(Bought)}; left out: as the tenant has it")
    ] = None,
) -> Response:
    """Best products for a customer, best first, with a reason a salesperson can say aloud.

    A customer without a list of their own gets what is popular, marked ``"source": "popular"``.
    A tenant that is off gets 200 with ``"mode": "off"`` and no products.
    """
    began = perf_counter()
    asked = ask(limit, bought)
    if not serves(tenant.mode):
        body = answer(tenant.tenant, customer, tenant.mode, None, None, (), (), asked)
        seen.lookup(tenant.tenant, "off", "", perf_counter() - began)
        return Response(orjson.dumps(body), media_type="application/json")
    current = shelf.current(tenant)
    if current is None:
        raise NotThere(
            "nothing was published for this tenant yet",
            "wait for its first night, or run `recfactory night`",
            code="NO_EDITION",
        )
    edition, shown, ruling = current
    body = answer(
        tenant.tenant,
        customer,
        tenant.mode,
        shown,
        edition.lists.of(customer),
        edition.popular,
        edition.products,
        asked,
        ruling,
    )
    seen.lookup(tenant.tenant, "served", body["source"], perf_counter() - began)
    return Response(orjson.dumps(body), media_type="application/json")
