"""A server's feedback, recorded while nights are killed: each answered event is noted outside.

python -m tests.faults.recorder HOME HISTORY [early]

Half of the events go to the ledger, half to the spool, as while the ledger is away. HISTORY has a
line for each that was answered. The last word is a planted defect: the answer comes before the
event is kept.
"""

import itertools
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from schema.names import TenantId
from storage.database import LedgerAway, connect
from storage.durable import Disk
from storage.erased import Erased
from storage.feedback import Feedback
from storage.spool import Spool
from storage.stores import sqlite_url

NAMES = tuple(TenantId(f"t-{number:02}") for number in range(40))
"""The fleet of these tests."""


def main(home: Path, history: Path, planted: str = "") -> None:
    erased = Erased(home / "erased", Disk(), b"a secret")
    feedback = Feedback(connect(sqlite_url(home)), Spool(home / "spool", Disk(), 2**28), erased)
    told = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in itertools.count():
        name = NAMES[number % 6]
        event_id = f"{os.getpid()}-{number}"
        event = {
            "event_id": event_id,
            "digest": event_id,
            "customer_id": "C-0001",
            "product_id": f"{name}-P-01",
            "kind": "shown",
            "occurred_at": datetime.now(UTC),
        }
        answer = f"{name} {event_id}\n".encode()
        if planted == "early":
            os.write(told, answer)
            time.sleep(0.05)
        try:
            if number % 2:
                feedback.spool.append(name, [event])
            else:
                feedback.record(name, [event])
        except LedgerAway:  # not answered
            continue
        os.write(told, answer)
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
