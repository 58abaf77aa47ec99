"""Several ASL scans as one: all maps are, to the bit, those of each scan alone, on the CPU and the simulated GPU."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bolus_kernels.asl.joined import in_common, joined
from bolus_kernels.asl.protocol import ArrivalPrior, LookLocker
from bolus_kernels.device import cpu
from tests.kernels.simulated_together import SIZES, run, scans


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "maps.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_together", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(out)


def equal(found):
    assert {name.partition("/")[0] for name in found} == {
        "multi_delay", "given", "kinetic_model", "mode", "single_delay",
    }  # fmt: skip
    for name, (together, alone) in found.items():
        assert len(alone) == sum(SIZES)
        assert np.isfinite(alone).all(), name
        np.testing.assert_array_equal(together, alone, err_msg=name)


def test_to_the_bit_in_the_simulator(simulated):
    equal(simulated)


def test_to_the_bit_on_the_cpu():
    equal(run(cpu()))


def test_scans_of_one_protocol_have_all_in_common_but_what_each_voxel_has():
    (_, one), (_, other), _ = scans()
    assert one.noise_variance != other.noise_variance and in_common(one) == in_common(other)
    whole = joined([one, other])
    assert len(whole.t1_tissue) == len(whole.arrival_prior.mean) == sum(SIZES[:2])
    np.testing.assert_array_equal(whole.voxel_noise, np.concatenate([one.voxel_noise, other.voxel_noise]))


def changes():
    _, protocol = scans()[0]
    later = protocol.post_labeling_delay + 0.1
    pulses = LookLocker(later, 0.3, 0.5)
    yield protocol._replace(post_labeling_delay=later)
    yield protocol._replace(labeling_duration=protocol.labeling_duration * 1.1)
    yield protocol._replace(labeling="PASL")
    yield protocol._replace(labeling_efficiency=0.7)
    yield protocol._replace(t1_blood=1.5)
    yield protocol._replace(partition_coefficient=0.8)
    yield protocol._replace(tissue_relaxation=False)
    yield protocol._replace(arterial_transit_time=np.ones(SIZES[0]))
    yield protocol._replace(arrival_prior=None)
    yield protocol._replace(arrival_prior=protocol.arrival_prior._replace(tail=0.0))
    yield protocol._replace(arrival_prior=ArrivalPrior(1.3, 1.0, 1 / 16, "literature"))
    yield protocol._replace(arrival_prior=ArrivalPrior(1.2, 1.0, 1 / 16, "literature"))
    yield protocol._replace(look_locker=pulses)
    yield protocol._replace(look_locker=pulses._replace(interval=0.4))
    yield protocol._replace(look_locker=pulses._replace(first_delay=later + 1))
    yield protocol._replace(look_locker=pulses._replace(flip_angle=np.full((len(later), 3), 0.5)))
    yield protocol._replace(look_locker=pulses._replace(calibrated_angle=0.4))


def test_whatever_else_differs_keeps_scans_apart():
    _, protocol = scans()[0]
    told = [in_common(protocol), *map(in_common, changes())]
    assert len(set(told)) == len(told) == 18


def test_every_field_of_the_protocol_is_told_or_joined():
    _, protocol = scans()[0]
    changed = {
        name
        for one in changes()
        for name in protocol._fields
        if getattr(one, name) is not getattr(protocol, name)
    }
    assert changed | {"t1_tissue", "slice_delay", "noise_variance", "relative_noise"} == set(protocol._fields)
