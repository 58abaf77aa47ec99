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
SOON = 0.5
"""Seconds after which it is tried again where processes were just being started, which cannot be cut short."""


class Terminated(KeyboardInterrupt):
    """The run was ended by SIGTERM, as a batch system does at the end of a job's time."""


class Ending:
    """Whether the end is near, and why.

    A run that was begun in the background of a script ignores Ctrl-C for good; so the end comes by SIGTERM, to itself.
    """

    def __init__(self) -> None:
        self._near = threading.Event()
        self._timers: list[threading.Timer] = []
        self._terminated = self._begun = self._answers = self._ignores = False
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
        self._interrupt()

    def told(self) -> None:
        """Raise what the end was, once everything has landed."""
        if self._terminated:
            raise Terminated

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        at_once = self.is_lost or self._terminated or not self._begun  # asked again, or nothing to wait for
        self._terminated = self._terminated or not self.is_lost
        self._near.set()
        starting = signal.getsignal(signal.SIGINT) is signal.SIG_IGN and not self._ignores
        if at_once and not starting:
            raise Terminated
        self._timers.append(threading.Timer(SOON if at_once else GRACE, self._interrupt))
        self._timers[-1].daemon = True
        self._timers[-1].start()

    def _interrupt(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM if self._answers else signal.SIGINT)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Listen to SIGTERM, where this is the main thread; says as what the run was ended."""
        self._answers = threading.current_thread() is threading.main_thread()
        self._ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        before = signal.signal(signal.SIGTERM, self._on_term) if self._answers else None
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
            for timer in self._timers:
                timer.cancel()
            if self._answers:
                signal.signal(signal.SIGTERM, before)


@contextmanager
def ending() -> Iterator[Ending]:
    """How this run may end; while it is open, SIGTERM is answered."""
    end = Ending()
    with end.watched():
        yield end
