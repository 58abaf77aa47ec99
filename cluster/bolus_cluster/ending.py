"""How a run ends before its time: SIGTERM lets scans land, Ctrl-C does not, a lost folder is left at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bolus.errors import BolusError, Code

GRACE = 20.0
"""Seconds that scans in the air have after SIGTERM: batch systems kill some 30 s after it."""


class Terminated(KeyboardInterrupt):
    """The run was ended by SIGTERM, as a batch system does at the end of a job's time."""


class Ending:
    """Whether the end is near, and why."""

    def __init__(self) -> None:
        self._near = threading.Event()
        self._timer = threading.Timer(GRACE, os.kill, (os.getpid(), signal.SIGINT))
        self._timer.daemon = True
        self._terminated = self._begun = False
        self.is_lost = False

    @property
    def near(self) -> bool:
        """Whether no further scan is to begin."""
        return self._near.is_set()

    def scans_begin(self) -> None:
        """From now on there may be scans in the air; until now nothing is waited for."""
        self._begun = True

    def draw_no_more(self) -> None:
        """Begin no further scan."""
        self._near.set()

    def lost(self) -> None:
        """The folder was taken over by another run: leave at once, and write nothing."""
        self.is_lost = True
        self._near.set()
        os.kill(os.getpid(), signal.SIGINT)

    def told(self) -> None:
        """Raise what the end was, once everything has landed."""
        if self._terminated:
            raise Terminated

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        at_once = self._terminated or not self._begun  # asked again, or nothing to wait for
        self._terminated = True
        self._near.set()
        if at_once:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            self._timer.start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Listen to SIGTERM, where this is the main thread; says as what the run was ended."""
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, self._on_term) if main else None
        try:
            yield
        except KeyboardInterrupt as error:
            if self.is_lost:
                raise BolusError(
                    Code.LOCKED,
                    "this run",
                    "that another run has taken the output folder over: this one had not moved for too long",
                    "a run that gives a sign of life every few seconds",
                    "Nothing is lost. If the other run is not wanted, end it and run again.",
                ) from error
            if self._terminated:
                raise Terminated from error
            raise
        finally:
            self._timer.cancel()
            if main:
                signal.signal(signal.SIGTERM, before)


@contextmanager
def ending() -> Iterator[Ending]:
    """How this run may end; while it is open, SIGTERM is answered."""
    end = Ending()
    with end.watched():
        yield end
