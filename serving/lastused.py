"""When each key was last used: told to the ledger once a minute, behind every answer's back."""

import logging
import threading
from collections.abc import Mapping
from datetime import datetime

from storage.ledger import Ledger

log = logging.getLogger("recfactory.serving")


class LastUsed:
    """Tells the ledger what a mapping says by then; late while the ledger is away, never lost."""

    def __init__(
        self, used: Mapping[str, datetime], ledger: Ledger, every_seconds: float = 60
    ) -> None:
        self._used, self._ledger, self._seconds = used, ledger, every_seconds
        self._told: Mapping[str, datetime] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="last used", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def tell(self) -> None:
        """Tell what is new since the last time this succeeded."""
        used = dict(self._used)
        news = {key: at for key, at in used.items() if self._told.get(key) != at}
        if news:
            self._ledger.note_uses(news)
        self._told = used

    def _watch(self) -> None:
        going = True
        while going:
            going = not self._stop.wait(self._seconds)  # also once more at the end
            try:
                self.tell()
            except Exception as error:  # no lookup depends on it
                log.info("the ledger was not told which keys were used (%s); later", error)
