"""A kernel compiled in this process and one read from the cache give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import hashlib
import numpy as np
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.dsc.deconvolution.truncation import osvd
from bolus_kernels.device import cpu
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.asl.multi_delay import multi_delay

def told(maps):
    for name in sorted(maps):
        print(name, hashlib.sha256(maps[name].tobytes()).hexdigest())

random = np.random.default_rng(5)
n, delays = 3000, np.repeat(np.linspace(0.2, 3.0, 8), 2)
asl = AslProtocol("PCASL", delays, np.full(16, 1.8), 0.85, 1.65, np.full(n, 1.3, np.float32), 0.9,
                  np.zeros(n, np.float32), 1e-6, True)
told(multi_delay(random.normal(4e-3, 1e-3, (n, 16)).astype(np.float32), asl,
                 {"att_mean": 1.3, "att_sd": 1.0, "cbf_sd": 200.0, "noise_weight": 10.0,
                  "att_prior": "given"}, cpu()))
time = np.arange(40.0)
aif = time**3 * np.exp(-time / 1.5)
dsc = DscProtocol(1.5, aif, 0.7, aif, np.full(n, 4, np.float32))
told(osvd((aif + random.normal(0, 1, (n, 40))).astype(np.float32), dsc, {"oscillation_index": 0.035, "peak": "sampled"}, cpu()))
"""


def test_compiled_here_and_read_from_the_cache_give_the_same_bytes(tmp_path: Path) -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbc"))
    assert told[0].count("\n") == 9
    assert told[0] == told[1]
