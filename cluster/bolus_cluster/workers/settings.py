"""What every Dask cluster of bolus is told, wherever its workers live."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SETTINGS: Mapping[str, Any] = {
    # A worker's death is judged in stream.py, not by repeated dying; and no scan waits behind another on a worker.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    # A frozen worker is given up after so long without a heartbeat (five minutes by default).
    "distributed.scheduler.worker-ttl": "10 seconds",
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.active-memory-manager.start": False,
    # By default every process looks at itself fifty times a second, and twice at the disks of its machine.
    "distributed.admin.tick.interval": "1 second",
    "distributed.admin.system-monitor.interval": "2 seconds",
    "distributed.admin.system-monitor.disk": False,
    # Without the low MALLOC_TRIM_THRESHOLD_ of Dask, for which each array is fresh pages from the kernel.
    "distributed.nanny.pre-spawn-environ": ONE_THREAD,
    # Neither spills nor pauses: only names of files travel, and the machine's own limit is the one that counts.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
LOOPBACK = "127.0.0.1"
PRELOAD = "distributed.worker.preload"
# Ctrl-C reaches every process of the terminal; the driver alone answers it, and takes the workers down.
_NO_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
_TALKATIVE = "import logging; logging.getLogger('bolus').setLevel(logging.INFO)"


def talkative() -> bool:
    """Whether each step of a scan is to be told."""
    return logging.getLogger("bolus").isEnabledFor(logging.INFO)


def preload() -> list[str]:
    """The lines that a worker runs before anything else."""
    return [_NO_INTERRUPT, _TALKATIVE] if talkative() else [_NO_INTERRUPT]
