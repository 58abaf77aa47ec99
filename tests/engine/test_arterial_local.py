"""Local arterial inputs: neighbours differ by little, and there are no more of them than can be computed."""

import numpy as np

from benchmarks import simulate
from bolus import arterial
from bolus_kernels.device import cpu
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from tests.engine.test_arterial_found import head, two_sides


def test_the_inputs_of_neighbouring_regions_differ_by_little_beside_noise():
    """The flow that one curve has on either side of a border, in a head of one arterial input."""
    curves, kinds, time, *_ = head(8, 100.0)
    position = np.random.default_rng(11).uniform((0, 0, 0), (120, 120, 40), (kinds.size, 3))
    everywhere = arterial.by_clustering(curves, time, "x")
    regions = arterial.local_inputs(curves, position, time, everywhere, "x")
    middle = np.array([position[region.rows].mean(axis=0) for region in regions])
    fine = simulate.tissue(time, 50.0, 4.0, 1.0)
    noisy = simulate.noisy_relaxation(np.repeat(fine[None], 200, axis=0), 50.0, 0.03, 7, 1)
    known, volume = shelf()["osvd"], np.full(200, 4, np.float32)

    def flow(aif, tissue):
        protocol = DscProtocol(1.5, aif, 1.0, aif, volume[: len(tissue)])
        return known.function(np.asfortranarray(tissue, np.float32), protocol, known.defaults(), cpu())["cbf"]

    value = np.log([flow(region.aif.concentration, fine[None])[0] for region in regions])
    noise = np.std(np.log(flow(everywhere.concentration, noisy)))
    near = np.linalg.norm(middle[:, None] - middle, axis=-1) < 25
    step = np.abs(value[:, None] - value)[np.triu(near, 1)]
    assert step.size > 50
    assert np.median(step) < 0.15 * noise and np.quantile(step, 0.95) < 0.8 * noise


def test_there_are_no_more_regions_than_can_be_computed():
    curves, _, position, time = two_sides()
    everywhere = arterial.by_clustering(curves, time, "x")
    wide = arterial.local_inputs(curves, 2.5 * position, time, everywhere, "x")
    assert 20 < len(wide) <= 257
