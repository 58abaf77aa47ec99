"""Several ASL components at once: their tables against the convolution integral, and what they must not invent."""

import numpy as np
import pytest
from scipy.special import erfcx

from benchmarks import example
from benchmarks.reference import delivery
from bolus_kernels.asl.components.artery import tail
from bolus_kernels.asl.components.response import FINE, STEP, Shape, responses
from bolus_kernels.asl.multi_delay import labels_of
from bolus_kernels.asl.protocol import LookLocker
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

KNOWN = shelf()["kinetic_model"]
DURATION, PARTITION = 1.8, 0.9
CONSTANTS = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": PARTITION}
SHAPES = {
    "two compartments": (Shape(exchange_time=0.5), None),
    "gamma": (Shape("gamma"), lambda att: delivery.gamma_density(7.4, 0.1)),
    "gaussian": (Shape("gaussian"), lambda att: delivery.gaussian_density(0.14, att)),
}


def protocol_of(labeling, n, noise=1e-8, repeats=4):
    return example.asl_protocol(n, noise, labeling=labeling, repeats=repeats, duration=DURATION)


def times(protocol):
    return np.asarray(protocol.post_labeling_delay) + (0 if protocol.labeling == "PASL" else DURATION)


def tissue(labeling, n, seed, noise=0.0):
    """Curves of tissue alone, their flow and arrival."""
    rng = np.random.default_rng(seed)
    protocol = protocol_of(labeling, n, max(noise, 1e-8))
    cbf, att = rng.uniform(5, 100, n), rng.uniform(0.5, 2.2, n)
    return example.asl_curves(protocol, cbf, att, noise, seed + 1), protocol, cbf, att


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_a_table_is_the_convolution_integral(labeling, name):
    shape, density = SHAPES[name]
    protocol = protocol_of(labeling, 2, repeats=1)._replace(slice_delay=np.array([0, 1.2], np.float32))
    time, duration = times(protocol), np.full(len(example.DELAYS), DURATION)
    table = responses(protocol, labels_of(protocol)[0], 3.3, shape)
    rng = np.random.default_rng(3)
    for row in rng.integers(0, table.tissue.shape[0], 3):
        column = int(rng.integers(round(0.8 / STEP), round(3.0 / STEP))) - table.arrival  # no tail before 0
        rate = float(np.exp(0.06 * (table.rate + row)))
        left = (
            delivery.two_compartments(0.5, 1.65, 1 / rate)
            if shape.exchange_time
            else delivery.well_mixed(1 / rate)
        )
        att = STEP * (table.arrival + column)
        truth = delivery.tissue(labeling, time, att, duration, left, dispersion=density, **CONSTANTS)
        assert np.abs(table.tissue[row, : time.size, column] - truth).max() < 1e-6


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("angles", [(35.0,) * 9, (35.0, 10.0, 50.0, 20.0, 60.0, 5.0, 30.0, 45.0, 15.0)])
def test_a_table_holds_what_the_pulses_of_look_locker_readouts_leave(name, angles):
    """Truth: label that comes between two readouts, each part convolved by itself, times what its pulses leave."""
    shape, density = SHAPES[name]
    delays, tau = 0.2 + 0.3 * np.arange(9), 1.0
    protocol = protocol_of("PCASL", 2, repeats=1)._replace(
        post_labeling_delay=delays, labeling_duration=np.full(9, tau),
        look_locker=LookLocker(np.full(9, 0.2), 0.3, np.tile(np.deg2rad(angles), (9, 1)), np.deg2rad(35)),
    )  # fmt: skip
    labels, _ = labels_of(protocol)
    table = responses(protocol, labels, 3.3, shape)
    row, att = table.tissue.shape[0] // 2, 1.1
    rate = float(np.exp(0.06 * (table.rate + row)))
    left = (
        delivery.two_compartments(0.5, 1.65, 1 / rate)
        if shape.exchange_time
        else delivery.well_mixed(1 / rate)
    )
    inflow = delivery.sharp("PCASL", att, tau, 1.65)
    if density:
        inflow = delivery.dispersed("PCASL", att, tau, 1.65, density(att))
    edges, truth = [0.0, *(delays + tau)], []
    for k in range(9):
        parts = [
            np.prod(np.cos(np.deg2rad(angles[j:k])))
            * delivery.convolved(edges[j + 1], delivery.Inflow(inflow.c, inflow.breaks), lag(left, edges[k + 1] - edges[j + 1]), edges[j])
            for j in range(k + 1)
        ]  # fmt: skip
        shown = np.sin(np.deg2rad(angles[k])) / np.sin(np.deg2rad(35))
        truth.append(2 * 0.85 / PARTITION * sum(parts) * shown)
    found = table.tissue[row, :9, round(att / STEP) - table.arrival]
    assert np.abs(found - truth).max() < 2e-5 * max(truth)
    assert np.abs(found - truth).max() < 0.01 * np.ptp(truth)


def lag(residue, gap):
    """What is left of label so much later than asked."""
    return lambda v: residue(np.asarray(v) + gap)


def test_no_dispersion_is_what_a_narrow_one_becomes():
    protocol = protocol_of("PCASL", 2, repeats=1)
    labels, _ = labels_of(protocol)
    sharp = responses(protocol, labels, 3.3, Shape(exchange_time=0.5))
    narrow = responses(protocol, labels, 3.3, Shape("gaussian", width=10 * FINE, exchange_time=0.5))
    away = np.abs(sharp.tissue - narrow.tissue)
    assert np.median(away) < 1e-4 and away.max() < 0.02


def test_the_tail_of_a_normal_is_exact_in_single_precision():
    for x in np.concatenate([np.linspace(0, 30, 3001), np.geomspace(30, 1e6, 100)]).astype(np.float32):
        assert tail(x) == pytest.approx(erfcx(float(x)), rel=4e-7)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_an_artery_that_is_not_there_is_not_invented(labeling):
    curves, protocol, cbf, _ = tissue(labeling, 1000, 5)
    maps = KNOWN.function(curves, protocol, KNOWN.defaults(), cpu())
    assert np.mean(np.abs(maps["cbf"] - cbf) < 1) >= 0.99
    assert np.mean(maps["abv"] <= 0.1) >= 0.99  # ml/100ml


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_blood_in_an_artery_is_told_from_blood_in_tissue(labeling):
    """Arrivals that at least two readouts see before the tissue's: with fewer, many pairs of both explain the data."""
    curves, protocol, cbf, _ = tissue(labeling, 1000, 7)
    rng = np.random.default_rng(8)
    att = rng.uniform(1.5, 2.2, 1000)
    curves = example.asl_curves(protocol, cbf, att, 0.0, 9)
    volume, arrival = rng.uniform(0.3, 2.0, 1000), att - rng.uniform(0.85, 1.2, 1000)
    time = times(protocol)
    age = time if labeling == "PASL" else arrival[:, None]
    passing = (time > arrival[:, None]) & (time < arrival[:, None] + DURATION)
    curves += 2 * 0.85 / PARTITION * volume[:, None] / 100 * np.exp(-age / 1.65) * passing
    maps = KNOWN.function(np.asfortranarray(curves, np.float32), protocol, KNOWN.defaults(), cpu())
    assert np.mean(np.abs(maps["cbf"] - cbf) < 1) >= 0.99
    assert np.median(np.abs(maps["abv"] / volume - 1)) < (0.01 if labeling == "PASL" else 0.1)
    assert np.mean(np.abs(maps["aat"] - arrival) < 0.25) > 0.95


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_without_an_artery_it_is_the_posterior_of_flow_and_arrival(labeling):
    curves, protocol, _, _ = tissue(labeling, 300, 11, noise=2e-3)
    alone = KNOWN.function(curves, protocol, KNOWN.defaults() | {"arterial_probability": 0.0}, cpu())
    known = shelf()["multi_delay"]
    plain = known.function(curves, protocol, known.defaults(), cpu())
    for name in ("cbf", "att"):
        assert np.percentile(np.abs(alone[name] - plain[name]) / plain[f"sd_{name}"], 99) < 0.05
        assert np.percentile(np.abs(alone[f"sd_{name}"] / plain[f"sd_{name}"] - 1), 99) < 0.05
    assert np.all(alone["abv"] < 1e-12)


def test_intervals_cover_the_truth_in_noise():
    """Voxels as the prior has them: half of them with an artery."""
    n, noise = 3000, 1e-3
    rng = np.random.default_rng(13)
    protocol = protocol_of("PCASL", n, noise)
    cbf, att = rng.normal(60, 30, n), np.clip(rng.normal(1.3, 0.5, n), 0.3, 2.5)
    volume = np.where(rng.random(n) < 0.5, np.abs(rng.normal(0, 2.0, n)), 0.0)
    arrival = np.maximum(att - rng.uniform(0.1, 0.6, n), 0.05)
    time = times(protocol)
    passing = (time > arrival[:, None]) & (time < arrival[:, None] + DURATION)
    curves = example.asl_curves(protocol, cbf, att, noise, 14)
    curves += 2 * 0.85 / PARTITION * volume[:, None] / 100 * np.exp(-arrival[:, None] / 1.65) * passing
    maps = KNOWN.function(np.asfortranarray(curves, np.float32), protocol, KNOWN.defaults(), cpu())
    for name, truth in (("cbf", cbf), ("att", att), ("abv", volume)):
        assert 0.92 < np.mean(np.abs(maps[name] - truth) < 1.96 * maps[f"sd_{name}"]) < 0.99, name


def test_late_slices_see_the_same_blood_later():
    """Arrivals that the first readouts come before: later ones leave flow and arrival untold, without noise too."""
    rng = np.random.default_rng(17)
    cbf, att = rng.uniform(5, 100, 300), rng.uniform(1.2, 2.2, 300)
    late = protocol_of("PCASL", 300)._replace(
        slice_delay=rng.choice(np.array([0, 0.3, 0.7], np.float32), 300)
    )
    maps = KNOWN.function(example.asl_curves(late, cbf, att, 0.0, 18), late, KNOWN.defaults(), cpu())
    assert np.mean(np.abs(maps["cbf"] - cbf) < 1) >= 0.99
    assert np.mean(np.abs(maps["att"] - att) < 0.02) >= 0.99
