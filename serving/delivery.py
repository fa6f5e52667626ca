"""Feedback that was spooled while the ledger was away, on its way to the ledger."""

import logging
import threading

from storage.database import LedgerAway
from storage.feedback import Feedback

log = logging.getLogger("recfactory.serving")


class Delivery:
    """A thread that tries every few moments: what this process spooled, and what one that is gone
    left behind.
    """

    def __init__(self, feedback: Feedback, refresh_seconds: float) -> None:
        self._feedback, self._seconds = feedback, refresh_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is left waits on disk for whoever starts next."""
        self._stop.set()
        self._thread.join()
        self._feedback.spool.close()

    def _watch(self) -> None:
        failing = False
        while not self._stop.wait(self._seconds):
            try:
                delivered = self._feedback.deliver()
                if delivered:
                    log.warning("%d spooled events were delivered", delivered)
                failing = False
            except LedgerAway:
                pass  # it was said when the first event was spooled
            except Exception:  # whatever the disk does, lookups go on
                if not failing:
                    log.exception("spooled feedback cannot be delivered")
                failing = True
