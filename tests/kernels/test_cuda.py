"""The GPU's half of single-source kernels, without a GPU: PTX without double precision, and the simulator."""

import os
import re
import subprocess
import sys

import numba
import numba.cuda.dispatcher
import numpy as np
import pytest
from numba import cuda, float32, int32, int64, uint8

from bolus_kernels import kinetics
from bolus_kernels.cuda.multi_delay import kernel
from bolus_kernels.scalar import exp, log

CAPABILITIES = [(8, 0), (9, 0)]
VECTOR, MATRIX = float32[::1], float32[:, ::1]


@pytest.fixture(params=CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
def ptx(request, monkeypatch):
    """Compile a function to PTX for one architecture; nested functions ask for a device, so one stands in."""

    class Stand:
        compute_capability = request.param

    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: Stand)
    return lambda function, signature: cuda.compile_ptx(function, signature, cc=request.param)[0]


def doubles(text):
    return re.findall(r"^.*\.f64.*$", text, re.M)


def test_kinetics_compile_without_double_precision(ptx):
    def one(time, arrival, out):
        i = cuda.grid(1)
        out[i] = kinetics.pcasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
        out[i] += kinetics.pasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
        out[i] += exp(time[i]) + log(arrival[i])

    text = ptx(one, (VECTOR, VECTOR, VECTOR))
    assert ".entry" in text
    assert doubles(text) == []


def test_the_whole_posterior_compiles_without_double_precision(ptx):
    flag = int32
    signature = (MATRIX, int64[::1], *[VECTOR] * 6, flag, flag, *[VECTOR] * 4, uint8[::1])
    text = ptx(kernel(8), signature)
    assert "fma.rn.f32" in text or "fma.rn.ftz.f32" in text
    assert doubles(text) == []


def test_a_double_precision_literal_would_be_found(ptx):
    def poisoned(x):
        x[0] = x[0] * 0.1

    assert doubles(ptx(poisoned, (VECTOR,)))


SIMULATED = """
import sys
import numpy as np
from bolus_kernels.asl import AslProtocol
from bolus_kernels.cuda.multi_delay import launch
from bolus_kernels.multi_delay import labels_of, prior_of
from bolus_kernels.shelf import shelf

data = np.load(sys.argv[1])
labeling = str(data["labeling"])
n, t = data["curves"].shape
delay, duration, t1, late = (data[name] for name in ("delay", "duration", "t1", "late"))
protocol = AslProtocol(labeling, delay, duration, 0.85, 1.65, t1, 0.9, late, 2e-5)
labels, column = labels_of(protocol)
prior = prior_of(protocol, labels, shelf()["multi_delay"].defaults())
scalars = np.array([labels.rate_blood, labels.partition, labels.gain, *prior], np.float32)
maps = [np.zeros(n, np.float32) for _ in range(4)] + [np.zeros(n, np.uint8)]
curves = np.ascontiguousarray(data["curves"].T)
eaten = (curves, column, t1, late, labels.time, labels.duration, labels.pairs, scalars)
launch(eaten, labels, maps)
np.savez(sys.argv[2], *maps)
"""


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_simulated_gpu_gives_what_the_cpu_gives(labeling, tmp_path):
    from bolus_kernels.asl import AslProtocol
    from bolus_kernels.device import cpu
    from bolus_kernels.shelf import shelf

    rng = np.random.default_rng(5)
    n, delays = 48, np.repeat(np.linspace(0.3, 2.8, 6), 2)
    duration = np.full(12, 1.8 if labeling == "PCASL" else 0.8)
    flow, arrival = rng.uniform(0.002, 0.02, n), rng.uniform(0.4, 2.0, n)
    rise = np.clip(delays + (duration if labeling == "PCASL" else 0) - arrival[:, None], 0, duration)
    curves = (flow[:, None] * rise * np.exp(-delays) + rng.normal(0, 4e-4, (n, 12))).astype(np.float32)
    curves[7, 3] = np.nan
    t1 = rng.uniform(1.0, 1.6, n).astype(np.float32)
    late = rng.uniform(0.0, 0.4, n).astype(np.float32)
    np.savez(
        tmp_path / "in.npz",
        labeling=labeling,
        curves=curves,
        delay=delays,
        duration=duration,
        t1=t1,
        late=late,
    )
    script = tmp_path / "simulate.py"
    script.write_text(SIMULATED)
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(script),
        str(tmp_path / "in.npz"),
        str(tmp_path / "out.npz"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    simulated = dict(
        zip(("cbf", "att", "sd_cbf", "sd_att", "state"), np.load(tmp_path / "out.npz").values(), strict=True)
    )
    method = shelf()["multi_delay"]
    protocol = AslProtocol(labeling, delays, duration, 0.85, 1.65, t1, 0.9, late, 2e-5)
    expected = method.function(curves, protocol, method.defaults(), cpu())
    good = expected["state"] == 0
    assert good.sum() == n - 1
    np.testing.assert_array_equal(simulated["state"], expected["state"])
    for name in ("cbf", "att", "sd_cbf", "sd_att"):
        np.testing.assert_allclose(simulated[name][good], expected[name][good], rtol=1e-4, atol=1e-4)
