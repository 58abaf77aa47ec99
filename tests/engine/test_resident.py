"""The curves of a scan on a GPU: they go over once for all its methods, and make room where its memory is spent."""

from dataclasses import replace

import numpy as np
import pytest

from bolus.compute import compute
from bolus.compute.retreat import Machines, by_blocks
from bolus.series import Region
from bolus_kernels.device import Device
from tests.engine.test_retreat import SPENT, asl, dsc
from tests.kernels.launched import Bus
from tests.kernels.simulated_gpu import There

GPU = Device("cuda", "a GPU")


def went_over(bus, curves):
    return bus.moved.count(curves.values.T.shape)


@pytest.mark.parametrize(
    "sets",
    [("dsc.deconvolution=csvd,osvd,tikhonov",), ("dsc.first_pass=true", "dsc.leakage=bsw,bidirectional")],
)
def test_the_curves_of_a_dsc_scan_go_over_once(monkeypatch, sets):
    curves, chosen = dsc(*sets)
    bus = Bus(monkeypatch)
    compute(curves, chosen, GPU)
    assert bus.launches >= 5
    assert went_over(bus, curves) == 1


def test_the_curves_of_an_asl_scan_go_over_once_for_the_method_and_the_mode(monkeypatch):
    curves, chosen = asl("asl.mode=true")
    bus = Bus(monkeypatch)
    compute(curves, chosen, GPU)
    assert bus.launches >= 2
    assert went_over(bus, curves) == 1


def test_neighbourhoods_are_cut_from_the_host_s_curves(monkeypatch):
    curves, chosen = dsc("dsc.deconvolution=csvd")
    rows, times = np.arange(len(curves.voxels)), curves.values.shape[1]
    halves = Region(rows[:200], curves.aif), Region(rows[200:], curves.aif)
    bus = Bus(monkeypatch)
    compute(replace(curves, regions=halves), chosen, GPU)
    assert went_over(bus, curves) == 0
    assert bus.moved.count((times, 200)) == bus.moved.count((times, rows.size - 200)) > 1


def test_the_same_curves_stay_until_others_come(monkeypatch):
    Bus(monkeypatch)
    machines, one, other = Machines(), np.ones((5, 3), np.float32), np.zeros((4, 3), np.float32)
    there = machines.curves(one)
    assert isinstance(there, There) and there.shape == (5, 3) and there.T.flags.c_contiguous
    assert machines.curves(one) is there
    assert machines.curves(other) is not there
    assert machines.curves(one) is not there


def test_where_the_memory_is_spent_they_are_given_back_first(monkeypatch):
    bus, machines, values = Bus(monkeypatch), Machines(), np.ones((4000, 3), np.float32)
    asked = []

    def work(machine, size):
        machines.curves(values)
        asked.append((size, len(bus.moved)))
        if size > 2000:
            raise SPENT
        return size

    assert by_blocks("a method", work, GPU, 4000, 100, machines) == 2000
    assert asked == [(4000, 1), (2000, 2)]
