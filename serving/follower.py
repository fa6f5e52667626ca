"""What other machines published, brought to this home behind every answer's back."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from schema.errors import Problem
from serving.control import Switchboard
from storage.dataset import DATASET
from storage.editions import CURRENT
from storage.erased import ERASED
from storage.stores import Stores

log = logging.getLogger("recfactory.serving")

_AT_ONCE = 16
"""Pointers brought at once: each waits for the network."""


class Follower:
    """A thread that lists the pointers of all tenants every few seconds and brings those that are new.

    A page of a thousand is one request; what did not change costs no other one. The shelf then sees
    the home's copy change. While the shared storage is away, what is served stays served.
    """

    def __init__(self, stores: Stores, board: Switchboard, refresh_seconds: float) -> None:
        self._objects, self._board, self._seconds = stores.objects, board, refresh_seconds
        self._pull: dict[str, Callable[[str], None]] = {
            ERASED: stores.erased.pull,
            CURRENT: stores.editions.pull,
            DATASET: stores.datasets.pull,
        }
        self._seen: dict[tuple[str, str], str] = {}
        self._told = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="follower", daemon=True)

    def start(self) -> None:
        self._look()  # before the first lookup: a new home has nothing to serve
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Bring what is new; one tenant's trouble is not the others'."""
        known = [tenant.uid for tenant in self._board.tenants]  # no key of a stranger's is a path
        found = self._objects.pointers()
        new = {
            (uid, pointer): name
            for uid in known
            for pointer in self._pull
            if (name := found.get((uid, pointer))) and self._seen.get((uid, pointer)) != name
        }
        faults = []

        def bring(each: tuple[str, str]) -> None:
            uid, pointer = each
            try:
                self._pull[pointer](uid)
                self._seen[each] = new[each]
            except (Problem, OSError) as error:
                faults.append(f"{uid}: {error}")

        with ThreadPoolExecutor(_AT_ONCE, "follower") as pool:
            list(pool.map(bring, new))
        if faults:
            raise Problem("; ".join(faults[:3]), "look at the shared storage", "OBJECTS_AWAY")

    def _look(self) -> None:
        try:
            self.look()
            self._told = ""
        except Exception as error:  # whatever it is, what is served stays served
            if self._told != str(error):
                log.error("other machines' work cannot be followed: %s", error)
                self._told = str(error)

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self._look()
