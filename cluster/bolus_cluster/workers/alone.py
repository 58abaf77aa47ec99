"""A scan in a process of its own, so that its death is an answer and harms nobody."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass

from bolus.errors import BolusError, Code
from bolus_cluster.workers.attempt import Job, Row, attempt_in_time
from bolus_cluster.workers.deadline import TOO_LONG

START = 120.0
"""Seconds that a process may take to start on a busy machine."""
TOLD = 400
"""So many last characters of what a dying process said are worth telling."""


@dataclass(frozen=True)
class Death:
    """How a process ended that was to compute a scan: `exit_code` as the shell of Python gives it."""

    exit_code: int
    said: str = ""
    too_long: bool = False

    @property
    def by_machine(self) -> bool:
        """Whether it was killed from outside, as by a machine without memory: beside nothing it might live."""
        return not self.too_long and self.exit_code == -signal.SIGKILL

    def problem(self, job: Job) -> BolusError:
        """The refusal of the scan: E_TIMEOUT past its deadline, else E_WORKER_DIED."""
        file = job.scan.images[0]
        if self.too_long:
            seen = f"no maps within {job.deadline / 60:g} minutes, twice"
            mend = "Give it longer with --deadline, or look what is slow: a disk, or a costly method."
            return BolusError(Code.TIMEOUT, file, seen, "a scan that is done within its deadline", mend)
        mend = "Please report it with this scan, if others like it are well."
        if self.by_machine:
            mend = "Run it where there is more memory, or with fewer --workers: it was alone when it died."
        return BolusError(
            Code.WORKER_DIED,
            file,
            f"that its process died, also in one of its own ({self._how()})",
            "a process that lives until the maps are written",
            mend,
        )

    def _how(self) -> str:
        if self.exit_code >= 0:
            how = f"exit code {self.exit_code}"
        else:
            with suppress(ValueError):
                return f"{signal.Signals(-self.exit_code).name}{': ' if self.said else ''}{self.said}"
            how = f"signal {-self.exit_code}"
        return f"{how}: {self.said}" if self.said else how


def attempt_alone(job: Job) -> Row | Death:
    """Compute one scan in a process of its own and say how that ended; the caller's process cannot be harmed.

    The child ends with its parent. Raises OSError where no process can be started.
    """
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(job.deadline + START, stop)  # it ends itself in time, unless it is frozen
        timer.start()
        try:
            with suppress(BrokenPipeError):
                pickle.dump(job, child.stdin)
                child.stdin.flush()
            said, complaint = _heard(child)
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
    if child.returncode == 0 and not late.is_set():
        return Row(**json.loads(said.splitlines()[-1]))
    last = " ".join(complaint.decode(errors="replace").split())[-TOLD:]
    return Death(child.returncode, last, late.is_set() or child.returncode == TOO_LONG)


def _heard(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """All that the child says, until it ends; its standard input stays open, for it ends when that closes."""
    assert child.stdout is not None and child.stderr is not None
    complaint: list[bytes] = []
    stderr = child.stderr
    reader = threading.Thread(target=lambda: complaint.append(stderr.read()))
    reader.start()
    said = child.stdout.read()
    reader.join()
    child.wait()
    return said, b"".join(complaint)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    (row,) = attempt_in_time([job])
    sys.stdout.write(json.dumps(asdict(row)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # the thread that waits for the parent holds standard input


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    _main()
