"""A visit to a GPU, without one: what is measured of a stand-in, what a part that fails says, what is said of none."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.gpu import beside, clock, files, limits, methods, stream, tensor, visit
from benchmarks.gpu import small as little
from benchmarks.report.targets import TARGETS
from bolus_kernels import device
from bolus_kernels.cuda import launch
from bolus_kernels.device import Device, DeviceUnavailable, cpu
from bolus_kernels.shelf import shelf
from tests.kernels.launched import idle
from tests.kernels.simulated_gpu import There

ROOT = Path(__file__).parents[2]
MILLISECONDS = 2.0
REGISTERS, OWN = 40, 16
GPU = Device("cuda", "a stand-in", 2)


class Idle:
    """A kernel that computes nothing."""

    def __init__(self, body):
        self.body = body

    def __getitem__(self, configuration):
        return lambda *given: None

    def get_regs_per_thread(self):
        return {"one": REGISTERS - 1, "other": REGISTERS}

    def get_local_mem_per_thread(self):
        return {"one": OWN}


@contextmanager
def stood_in():
    """A GPU that computes nothing, each of whose works takes two milliseconds; and little work for it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        cupy = idle(1 << 28)
        event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
        cupy.cuda.Event, cupy.cuda.get_elapsed_time = lambda: event, lambda begin, end: MILLISECONDS
        told = {"MultiProcessorCount": 10, "ClockRate": 1_000_000}
        cupy.cuda.Device = lambda: SimpleNamespace(attributes=told, compute_capability="90")
        cupy.cuda.runtime.getDeviceProperties = lambda number: {"name": b"a stand-in"}
        cupy.cuda.runtime.driverGetVersion = cupy.cuda.runtime.runtimeGetVersion = lambda: 13000
        cupy.__version__, cupy.copyto = "0", np.copyto
        cupy.ones = lambda shape, dtype: np.ones(shape, dtype).view(There)
        cupy.matmul = lambda a, b, out=None: None
        monkeypatch.setattr(device, "cupy", lambda: cupy)
        monkeypatch.setattr(launch, "compiled", Idle)
        for part in (beside, clock, files, limits, little, methods, stream, tensor, visit):
            if hasattr(part, "cupy"):
                monkeypatch.setattr(part, "cupy", lambda: cupy)
            if hasattr(part, "select"):
                monkeypatch.setattr(part, "select", lambda *asked: GPU)
        sizes = {
            methods: {"VOXELS": 1024, "DIFFERENT": 64, "BLOCK": 256, "SCAN": 512, "JUDGED": 128},
            limits: {"COPIED": 1 << 16, "SQUARE": 64, "VOXELS": 256},
            stream: {"SCAN": 640, "SCANS": 6},
            tensor: {"SCAN": 512, "WHOLE": 640, "JUDGED": 128},
            little: {"SHAPE": (24, 24, 4), "PHANTOMS": 1, "SCANS": 3, "LAUNCHES": 2},
            beside: {"SIDES": (6, 5, 4), "SLAB": (5, 4, 2)},
            files: {
                "WHOLE": {"shape": (24, 24, 4), "volumes": 40, "contrasts": ("dsc",)},
                "PHANTOMS": 1,
                "COPIES": 3,
            },
        }
        # neighbours of whom nothing is computed make no sense: these are
        for name in ("spatial", "tissue_posterior"):
            real = getattr(beside, name)
            monkeypatch.setattr(beside, name, lambda *given, real=real: real(*given[:-1], cpu()))
        for part, values in sizes.items():
            for name, value in values.items():
                monkeypatch.setattr(part, name, value)
        yield


@pytest.fixture
def small():
    """The stand-in, for one test."""
    with stood_in():
        yield


@pytest.fixture(scope="module")
def measured():
    """What every part measures of the stand-in, and four methods: part or name -> its rows."""
    with stood_in():
        rows = {part: part.measured() for part in (limits, stream, tensor, beside, little, files)}
        named = ("osvd", "csvd", "multi_delay", "kinetic_model")
        return rows | {name: methods.measure(shelf()[name]) for name in named}


def test_the_limits_are_bytes_and_operations_a_second(measured):
    rows = {row["what"]: row["rate"] for row in measured[limits]}
    assert rows["copy, pinned host to device, bytes"] == pytest.approx((1 << 16) / 2e-3)
    assert rows["copy, device to device, bytes read and written"] == pytest.approx((1 << 17) / 2e-3)
    assert rows["float32 operations, by its clock and its units"] == 2 * 10 * 128 * 1e9


def test_a_method_tells_of_both_machines_a_scan_a_batch_and_every_kernel(small):
    rows = {row["what"]: row for row in methods.measure(shelf()["bsw"])}
    assert rows["bsw, host to host"]["failed"]  # this GPU gives nothing that equals the CPU
    alone, batched = rows["bsw, its kernels alone"], rows["bsw, its kernels alone, batched"]
    launches = sum(what.startswith("bsw, kernel") for what in rows)
    assert launches == 2
    assert alone["milliseconds"] == pytest.approx(launches * MILLISECONDS / clock.LAUNCHES)
    assert batched["rate"] == pytest.approx(2 * alone["rate"])
    sums = rows["bsw, kernel _weighted_sums"]
    assert sums["registers"] == REGISTERS and sums["own"] == OWN and sums["share"] > 0
    assert f"{REGISTERS} registers and {OWN} bytes" in sums["said"]


def test_from_int16_to_maps_is_told_as_a_share_of_the_bus_and_of_what_csvd_could_take(small, measured):
    csvd, osvd, within = measured[stream]
    assert (csvd["what"], osvd["what"]) == (
        "csvd, int16 in pinned memory to maps, every voxel",
        "osvd, int16 in pinned memory to maps, the brain",
    )
    for row in (csvd, osvd):
        assert row["of_pinned"] == pytest.approx(row["rate"] * 2 * 60 / limits.bus_rate(), rel=1e-6)
    seconds = 2 * MILLISECONDS / 1000 / clock.LAUNCHES  # of the conversion and of the deconvolution
    assert within["of_peak"] == pytest.approx(2 * 120 * 60 * 640 / seconds / limits.peak())
    assert within["floors"] == pytest.approx(seconds * limits.memory_rate() / (129 * 640))
    assert within["reach"] == max(within["of_peak"] / 0.5, 5 / within["floors"])


def test_the_stored_signal_is_that_of_the_curves():
    curves = np.asfortranarray(np.random.default_rng(2).uniform(-1, 20, (50, 60)), np.float32)
    signal = stream.stored(curves)
    assert signal.dtype == np.int16 and signal.shape == (60, 50) and signal.flags.c_contiguous
    np.testing.assert_allclose(-np.log(signal.T / 2000) / 0.03, curves, atol=0.02)


def test_what_is_no_method_is_measured_too(measured):
    rows = measured[beside]
    assert [row["what"] for row in rows] == [
        "the spatial prior, everything chosen",
        "the mode, its kernels alone, batched",
        "the posterior of two tissues",
    ]
    assert all(row["rate"] > 0 for row in rows)


def test_tensor_cores_are_compared_with_float32_and_judged_by_float64(small, measured):
    rows = {row["what"]: row for row in measured[tensor]}
    assert list(rows) == [
        "csvd by tensor cores, its kernel alone",
        "csvd by tensor cores, its kernel alone, batched",
        "csvd by tensor cores, int16 to maps within the GPU",
    ]
    for row in rows.values():
        assert row["failed"] and row["largest"] > 0.1  # this GPU gives nothing that equals float64
    alone, batched, within = rows.values()
    assert alone["ratio"] == pytest.approx(1) and batched["rate"] == pytest.approx(2 * alone["rate"])
    assert within["floors"] == pytest.approx(
        MILLISECONDS / 1000 / clock.LAUNCHES * limits.memory_rate() / (129 * 640)
    )
    curves, matrix = np.ones((4, 3), np.float32), np.eye(6, 3)
    right = tensor.judged(np.float32([1, 1, 1, 1 + 9e-6]).view(There), curves, matrix)
    assert not right["failed"] and right["largest"] == pytest.approx(9e-6, rel=0.1)
    assert tensor.judged(np.float32([1, 1, np.nan, 1]).view(There), curves, matrix)["failed"]


def test_small_scans_are_computed_both_ways_and_a_launch_is_told(measured):
    alone, together, launches = measured[little]
    assert alone["rate"] > 0 and together["rate"] > 0
    assert together["what"] == "small ASL scans, many under way" and together["ratio"] > 0
    assert launches["rate"] > 0 and launches["queued"] == pytest.approx(MILLISECONDS / 1000 / clock.LAUNCHES)


def test_files_are_compared_with_decoding_them(measured):
    (row,) = measured[files]
    assert row["rate"] > 0 and 0 < row["ratio"] < 2 and row["against"] == "decoding alone, 2 threads"


def test_every_part_is_found_and_its_rows_come_back(small, monkeypatch):
    called = []
    monkeypatch.setattr(
        visit, "apart", lambda command, name, left: called.append((command[-1], left > 0)) or []
    )
    assert visit.measure() == []
    known = {method.name for method in shelf().values() if method.cuda}
    assert {name for name, _ in called} == known | {"limits", "stream", "tensor", "beside", "small", "files"}
    assert len(called) == len(known) + 6 and all(left for _, left in called)
    assert visit.rows_of("limits")[0]["what"].startswith("copy")
    assert visit.rows_of("csvd")[0]["what"] == "csvd, host to host"


def test_a_part_that_fails_hangs_or_comes_too_late_says_so(monkeypatch):
    def part(program, left=60.0):
        return visit.apart([sys.executable, "-c", program], "a part", left)

    assert part("print('noise'); print('[{\"what\": \"x\"}]')") == [{"what": "x"}]
    (row,) = part("raise ValueError('a kernel is broken')")
    assert row["failed"] and "a kernel is broken" in row["said"] and "exit code 1" in row["said"]
    (row,) = part("import os; os.abort()")
    assert row["failed"] and "exit code -6" in row["said"]
    (row,) = part("import time; time.sleep(60)", 0.5)
    assert row["failed"] and "no result in 0 s" in row["said"]
    (row,) = part("", 0.0)
    assert row["failed"] and "the time was up" in row["said"]


def test_targets_of_the_gpu_name_rows_that_a_visit_has(measured):
    rows = [row for part in measured.values() for row in part]
    judged = [target for target in TARGETS if target.benchmark == "gpu"]
    assert len(judged) >= 12
    for target in judged:
        assert target.values(rows), target.says


def test_a_machine_without_a_gpu_is_told_so_in_one_sentence(tmp_path, monkeypatch):
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "benchmarks", "gpu", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("gpu: there is no GPU here: ") and len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceUnavailable):
        visit.measure()
