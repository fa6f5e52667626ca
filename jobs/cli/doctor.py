"""Say whether this installation is sound."""

import sqlite3
from datetime import timedelta

import click

from jobs.cli.door import as_json, now, print_json, table, with_stores
from schema.config import Config
from schema.errors import Problem
from schema.records import Tenant
from storage.stores import Stores

_A_DAY = timedelta(days=1)


@click.command()
@as_json
@with_stores
def doctor(stores: Stores, config: Config, json: bool) -> None:
    """Check the ledger, the spool, the audit trail, and every byte of what is served and in force.

    Exit status 1 if anything is wrong.

    Example: recfactory doctor
    """
    findings = [
        {"what": "home", "state": "ok", "detail": str(config.home)},
        {"what": "SQLite", "state": "ok", "detail": sqlite3.sqlite_version},
        _spool(stores),
    ]
    findings += [_audit(stores), _erasures(stores)]
    findings += [_tenant(stores, tenant) for tenant in stores.ledger.tenants()]
    if json:
        print_json(findings)
    else:
        table("Doctor", ["what", "state", "detail"], [list(found.values()) for found in findings])
    raise SystemExit(0 if all(found["state"] == "ok" for found in findings) else 1)


def _spool(stores: Stores) -> dict[str, str]:
    waiting = stores.feedback.spool.waiting()
    if waiting.stuck:
        state, detail = (
            "stuck",
            f"{waiting.stuck} events that the ledger refuses; the log says why. To try them again, "
            "rename spool/*.stuck in the home to *.spool",
        )
    elif waiting.events:
        state, detail = (
            "waiting",
            f"{waiting.events} events ({waiting.bytes} bytes) wait for the ledger; `recfactory "
            "serve` delivers them, and so does the next night",
        )
    else:
        state, detail = "ok", "no feedback waits"
    return {"what": "spool", "state": state, "detail": detail}


def _audit(stores: Stores) -> dict[str, str]:
    chains = stores.audit.verify()
    lines = sum(chain.number for chain in chains)
    faults = [f"{c.tenant or 'installation'}: {fault}" for c in chains for fault in c.faults]
    state, detail = ("broken", "; ".join(faults)) if faults else ("ok", f"{lines} lines")
    return {"what": "audit", "state": state, "detail": detail}


def _erasures(stores: Stores) -> dict[str, str]:
    """An erasure is done within a day; one of which the ledger has no receipt came with a backup."""
    late, unknown, pending = 0, 0, 0
    for tenant in stores.ledger.tenants():
        receipts = stores.erasures.of(tenant.tenant)
        known = {receipt.mark for receipt in receipts}
        unknown += len(stores.erased.of(tenant.uid).marks - known)
        waiting = [receipt for receipt in receipts if receipt.pending]
        pending += len(waiting)
        late += sum(receipt.asked_at < now() - _A_DAY for receipt in waiting)
    if late or unknown:
        detail = (
            f"{late} wait for more than a day, {unknown} have no receipt in this ledger: run "
            "`recfactory data erasures --finish`"
        )
        return {"what": "erasures", "state": "pending", "detail": detail}
    return {"what": "erasures", "state": "ok", "detail": f"{pending} pending"}


def _tenant(stores: Stores, tenant: Tenant) -> dict[str, str]:
    found = {"what": tenant.tenant, "state": "ok", "detail": "nothing published yet"}
    try:
        current = stores.editions.current(tenant.uid)
        model = "" if tenant.model is None else _model(stores, tenant.uid, tenant.model)
        if current is not None:
            stores.editions.check(tenant.uid, current.edition, current.manifest_sha256)
            found["detail"] = f"edition {current.edition}, {model}"
    except Problem as problem:
        found |= {"state": "broken", "detail": str(problem)}
    return found


def _model(stores: Stores, uid: str, number: int) -> str:
    try:
        stores.models.load(uid, number)
    except Problem as problem:
        if problem.code != "MODEL_VERSION":
            raise
        return f"model {number} (made by another version; starts again at its next night)"
    return f"model {number}"
