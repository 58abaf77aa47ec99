"""The time that a scan may take: a process that is at one for longer ends, which tells whoever sent it there."""

from __future__ import annotations

import math
import os
import threading
import time
from types import TracebackType

TOO_LONG = 124
"""The exit code of a process that ended itself over a scan past its deadline."""


class Deadline:
    """Ends this process at a moment that is put off with each scan; one thread watches, however many there are."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._moment = self._looks = math.inf
        self._over = False

    def __enter__(self) -> Deadline:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def allow(self, seconds: float) -> None:
        """From now on, so many seconds."""
        with self._changed:
            self._moment = time.monotonic() + seconds
            if self._moment < self._looks:
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                self._looks = self._moment
                self._changed.wait(min(max(0.0, self._looks - time.monotonic()), threading.TIMEOUT_MAX))
                if not self._over and time.monotonic() >= self._moment:
                    os._exit(TOO_LONG)
