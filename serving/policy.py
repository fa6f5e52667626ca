"""Who may do what: one line for every route there is, and a route for every line.

An application with a route that has no line here, or a line that has no route, is not made.
"""

from collections.abc import Mapping

from schema.names import Role

PUBLIC: tuple[Role, ...] = ()
"""Anybody, without a key. Nothing behind it may depend on a tenant."""

SELLS = (Role.SELLER, Role.ADMIN, Role.OPERATOR)
"""What the salesperson's screen does."""

READS = (Role.ADMIN, Role.AUDITOR, Role.OPERATOR)
"""A tenant's record: never a customer's list."""

RUNS = (Role.ADMIN, Role.OPERATOR)
"""A tenant's switches."""

OVERSEES = (Role.AUDITOR, Role.OPERATOR)
"""The fleet's record."""

OPERATES = (Role.OPERATOR,)
"""The fleet's switches."""

TENANT = "/tenants/{tenant}"
RECS = f"{TENANT}/customers/{{customer}}/recs"

POLICY: Mapping[tuple[str, str], tuple[Role, ...]] = {
    ("GET", "/health/live"): PUBLIC,
    ("GET", "/health/ready"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/docs/oauth2-redirect"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,  # or not: serving/scrape.py asks for a key where it is not open
    ("GET", "/static-offline-docs/{path}"): PUBLIC,
    ("GET", RECS): SELLS,
    ("POST", RECS): SELLS,
    ("POST", f"{TENANT}/feedback"): SELLS,
    ("GET", f"{TENANT}/outcomes"): READS,
    ("GET", "/audit"): OVERSEES,
    ("GET", f"{TENANT}/audit"): READS,
    ("GET", f"{TENANT}/mode"): READS,
    ("PUT", f"{TENANT}/mode"): RUNS,
    ("GET", f"{TENANT}/data/mapping"): READS,
    ("PUT", f"{TENANT}/data/mapping"): RUNS,
    ("GET", f"{TENANT}/rules"): READS,
    ("POST", f"{TENANT}/rules"): RUNS,
    ("DELETE", f"{TENANT}/rules/{{number}}"): RUNS,
    ("PUT", f"{TENANT}/data/{{table}}"): RUNS,
    ("GET", f"{TENANT}/data/reports"): READS,
    ("GET", f"{TENANT}/data/reports/{{batch}}"): READS,
    ("GET", f"{TENANT}/data/quarantine/{{batch}}/{{table}}"): RUNS,  # raw rows: no auditor's
    ("POST", f"{TENANT}/data/held/{{batch}}/release"): RUNS,
    ("POST", f"{TENANT}/data/held/{{batch}}/discard"): RUNS,
    ("GET", f"{TENANT}/nights"): READS,
    ("GET", f"{TENANT}/models"): READS,
    ("POST", f"{TENANT}/models/{{number}}/promote"): RUNS,
    ("POST", f"{TENANT}/models/{{number}}/discard"): RUNS,
    ("GET", f"{TENANT}/quality"): READS,
    ("GET", f"{TENANT}/editions"): READS,
    ("POST", f"{TENANT}/editions/{{number}}/activate"): RUNS,
    ("DELETE", f"{TENANT}/customers/{{customer}}"): RUNS,
    ("GET", f"{TENANT}/erasures/{{number}}"): READS,
    ("GET", f"{TENANT}/keys"): READS,
    ("POST", f"{TENANT}/keys"): RUNS,
    ("POST", f"{TENANT}/keys/{{key}}/rotate"): RUNS,
    ("DELETE", f"{TENANT}/keys/{{key}}"): RUNS,
    ("GET", "/keys"): OVERSEES,
    ("POST", "/keys"): OPERATES,
    ("POST", "/keys/{key}/rotate"): OPERATES,
    ("DELETE", "/keys/{key}"): OPERATES,
    ("GET", "/tenants"): OVERSEES,
    ("POST", "/tenants"): OPERATES,
    ("GET", "/fleet"): OVERSEES,
}
"""(method, path as the API's document has it) -> who may, the least of them first.

A path that names a tenant is open to those for whom that tenant exists, and only to them.
"""
