"""What a tenant delivered and what became of it: reports, rows in quarantine, a word on what is held."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from schema.errors import Problem, Refused
from schema.names import Delivered
from schema.records import Tenant
from serving.bodies import Because, ImportLine, ImportReport
from serving.deps import AllStores, TheTenant, WhoAsks
from serving.guard import Guarded
from serving.started import run_cli
from storage import waiting
from storage.imports import Import
from storage.quarantine import as_csv, no_quarantine

router = APIRouter(route_class=Guarded, prefix="/tenants/{tenant}/data", tags=["tenant's admin"])


@router.get("/reports", summary="What was delivered, and what became of it")
def reports(tenant: TheTenant, stores: AllStores) -> list[ImportLine]:
    """Newest first, at most a hundred; those that are held wait for your word."""
    return [_line(tenant, found) for found in stores.imports.deliveries(tenant.tenant, 100)]


@router.get("/reports/{batch}", summary="One delivery: every rule, its rows, samples, what to do")
def report(batch: str, tenant: TheTenant, stores: AllStores) -> ImportReport:
    """The newest of that batch."""
    return _report(tenant, stores.imports.delivery(tenant.tenant, batch))


@router.get(
    "/quarantine/{batch}/{table}",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "The rows, a reason each"}},
    summary="Rows that did not fit, as CSV to be mended",
)
def quarantine(
    batch: str,
    table: Literal["customers", "products", "interactions"],
    tenant: TheTenant,
    stores: AllStores,
) -> StreamingResponse:
    """Mend the rows and deliver the file like any other: each counts once. A cell that a spreadsheet
    would run as a formula has an apostrophe in front, which the delivery takes away again.
    """
    known = stores.imports.delivery(tenant.tenant, batch).batch
    path = stores.datasets.quarantine(tenant.uid, known).get(table)
    if path is None:
        raise no_quarantine(tenant.tenant)
    name = f'attachment; filename="{known}-{table}.csv"'
    headers = {"content-disposition": name, "x-content-type-options": "nosniff"}
    return StreamingResponse(as_csv(path, known), media_type="text/csv", headers=headers)


@router.post("/held/{batch}/release", summary="Let a held delivery count")
async def release(
    batch: str,
    body: Because,
    tenant: TheTenant,
    caller: WhoAsks,
    stores: AllStores,
    request: Request,
) -> ImportReport:
    """You looked, and it is right. It is imported as it came, by a process of its own."""

    def held() -> Import:
        return stores.imports.delivery(tenant.tenant, batch, Delivered.HELD)

    number = (await run_in_threadpool(held)).number
    status, told = await run_cli(
        ["data", "release", tenant.tenant, batch, f"--why={body.why}", "--json"],
        request.app.state.config,
        by=caller.actor,
    )
    if status == 0:
        newest = await run_in_threadpool(stores.imports.deliveries, tenant.tenant, None)
        return _report(tenant, next(one for one in newest if one.number == number))
    if isinstance(told, dict) and "code" in told:
        kind = Refused if status == 2 else Problem
        raise kind(told["message"], told["fix"], told["code"])
    raise Problem(
        "the delivery could not be imported", "ask the operator: the log says why", "RELEASE_FAILED"
    )


@router.post("/held/{batch}/discard", summary="Remove a held delivery")
def discard(
    batch: str, body: Because, tenant: TheTenant, caller: WhoAsks, stores: AllStores
) -> ImportReport:
    """You looked, and it is wrong. Its files are removed; its report stays."""
    now = datetime.now(UTC)
    waiting.discard(stores, tenant, batch, by=caller.actor, why=body.why, now=now)
    return _report(tenant, stores.imports.delivery(tenant.tenant, batch))


def _line(tenant: Tenant, found: Import) -> ImportLine:
    tables = found.report["tables"]
    return ImportLine(
        tenant=tenant.tenant,
        batch=found.batch,
        imported_at=found.imported_at,
        state=found.state,
        read={table["table"]: table["read"] for table in tables},
        quarantined={table["table"]: table["quarantined"] for table in tables},
        because=[f"{reason['code']}: {reason['sentence']}" for reason in found.reasons],
    )


def _report(tenant: Tenant, found: Import) -> ImportReport:
    return ImportReport(
        **_line(tenant, found).model_dump(),
        reasons=[dict(reason) for reason in found.reasons],
        tables=found.report["tables"],
    )
