"""Several readouts of one label: flow and arrival against truth convolved pulse by pulse, on both machines."""

import numpy as np
import pytest

from benchmarks.example import asl_protocol
from benchmarks.reference import delivery, schemes
from bolus_kernels.asl.multi_delay import labels_of
from bolus_kernels.asl.protocol import LookLocker
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

PARTITION, T1_BLOOD = 0.9, 1.65
TRAINS = {"PCASL": (1.8, 0.3), "CASL": (2.5, 0.1), "PASL": (0.7, 0.05)}
"""Duration of the label and the delay of the first readout, s."""
NUMBER, INTERVAL, FLIP = 12, 0.25, 30.0
FLOW, ARRIVAL = (20.0, 60.0, 110.0), (0.4, 0.8, 1.3, 1.9)
"""ml/100g/min and s."""


def protocol_of(labeling, n, flip=FLIP, repeats=1, late=0.0):
    duration, first = TRAINS[labeling]
    delays = first + INTERVAL * np.arange(NUMBER)
    made = asl_protocol(n, 1e-6, labeling=labeling, delays=delays, repeats=repeats, duration=duration)
    pulses = LookLocker(np.full(NUMBER * repeats, first), INTERVAL, np.deg2rad(flip))
    return made._replace(look_locker=pulses, slice_delay=np.full(n, late, np.float32))


def truth(labeling, flow, att, flip=FLIP, late=0.0):
    """(control - label)/M0 at each readout, pulses one by one (Gunther 2001)."""
    duration, first = TRAINS[labeling]
    time = first + INTERVAL * np.arange(NUMBER) + late + (0 if labeling == "PASL" else duration)
    inflow = delivery.sharp(labeling, att, duration, T1_BLOOD)
    left = schemes.look_locker(
        time, inflow, 1 / (1 / 1.3 + flow / 6000 / PARTITION), np.deg2rad(flip) * np.ones(NUMBER)
    )
    return 2 * 0.85 / PARTITION * flow / 6000 * left


def grid():
    return [(flow, att) for flow in FLOW for att in ARRIVAL]


def test_without_pulses_the_response_is_that_of_the_model():
    protocol = protocol_of("PCASL", 1)
    plain = protocol._replace(look_locker=None)
    labels, column = labels_of(protocol._replace(look_locker=protocol.look_locker._replace(flip_angle=0.0)))
    expected, its = labels_of(plain)
    np.testing.assert_array_equal(column, its)
    np.testing.assert_array_equal(labels.time, expected.time)
    assert labels.kept == expected.kept == 1


@pytest.mark.parametrize("name", ["multi_delay", "kinetic_model"])
@pytest.mark.parametrize("late", [0.0, 0.4])
@pytest.mark.parametrize("labeling", TRAINS)
def test_flow_and_arrival_are_right_to_half_a_percent(labeling, late, name):
    curves = np.array([truth(labeling, *each, late=late) for each in grid()], np.float32)
    protocol = protocol_of(labeling, len(curves), late=late)
    known = shelf()[name]
    maps = known.function(curves, protocol, known.defaults() | {"noise_weight": 1000.0}, cpu())
    flow, att = np.array(grid()).T
    assert (maps["state"] == 0).all()
    seen = att > TRAINS[labeling][1] + late  # of what has arrived before, no readout tells flow from arrival
    assert seen.mean() > 0.7
    assert np.abs(maps["cbf"] / flow - 1)[seen].max() < 5e-3
    assert np.abs(maps["att"] - att)[seen].max() < 5e-3
    if name == "multi_delay":
        known_arrival = protocol._replace(arterial_transit_time=att)
        maps = known.function(curves, known_arrival, known.defaults() | {"noise_weight": 1000.0}, cpu())
        assert np.abs(maps["cbf"] / flow - 1).max() < 5e-3


def test_a_readout_that_no_pair_shows_still_took_its_share():
    """A dropped pair leaves its pulse."""
    curves = np.array([truth("PCASL", *each) for each in grid()], np.float32)
    kept = np.ones(NUMBER, np.bool_)
    kept[[0, 3, 4]] = False
    protocol = protocol_of("PCASL", len(curves)).pairs(kept)
    protocol = protocol._replace(arterial_transit_time=np.array([att for _, att in grid()]))
    known = shelf()["multi_delay"]
    maps = known.function(curves[:, kept], protocol, known.defaults() | {"noise_weight": 1000.0}, cpu())
    assert np.abs(maps["cbf"] / [flow for flow, _ in grid()] - 1).max() < 5e-3


def test_labels_of_two_durations_have_readouts_of_their_own():
    """Two series in one: each label is met by its own pulses only."""
    long, short = protocol_of("PCASL", 1), protocol_of("CASL", 1)
    both = long._replace(
        post_labeling_delay=np.concatenate([long.post_labeling_delay, short.post_labeling_delay]),
        labeling_duration=np.concatenate([long.labeling_duration, short.labeling_duration]),
        look_locker=long.look_locker._replace(
            first_delay=np.concatenate([long.look_locker.first_delay, short.look_locker.first_delay])
        ),
    )
    curves = np.concatenate([truth("PCASL", 60.0, 0.8), truth("CASL", 60.0, 0.8)])[None].astype(np.float32)
    known = shelf()["multi_delay"]
    maps = known.function(curves, both, known.defaults() | {"noise_weight": 1000.0}, cpu())
    assert maps["cbf"][0] == pytest.approx(60.0, rel=5e-3)
    assert maps["att"][0] == pytest.approx(0.8, abs=5e-3)


RISING = np.deg2rad(np.linspace(10, 60, NUMBER))
"""An angle for each readout, so that late label is shown as well as early."""
STRONG, WEAK = np.full(NUMBER, np.deg2rad(35.0)), np.full(NUMBER, np.deg2rad(11.7))
"""Those of QUASAR: labels read out strongly, and some weakly."""


def seen(labeling, flow, att, angles, calibrated, late=0.0):
    """(control - label)/M0 at each readout of one label, M0 as if read out by the angle `calibrated`."""
    duration, first = TRAINS[labeling]
    time = first + INTERVAL * np.arange(NUMBER) + late + (0 if labeling == "PASL" else duration)
    inflow = delivery.sharp(labeling, att, duration, T1_BLOOD)
    held = schemes.look_locker(time, inflow, 1 / (1 / 1.3 + flow / 6000 / PARTITION), angles)
    return 2 * 0.85 / PARTITION * flow / 6000 * held * np.sin(angles) / np.sin(calibrated)


def trains_of(labeling, n, *trains, late=0.0):
    """A protocol whose labels are read out as `trains` say, one label each, with its calibration."""
    protocol = protocol_of(labeling, n, repeats=len(trains), late=late)
    angles = np.tile(np.array(trains), (NUMBER, 1))
    pulses = LookLocker(np.full(len(angles), TRAINS[labeling][1]), INTERVAL, angles, float(np.max(trains)))
    return protocol._replace(look_locker=pulses)


def curves_of(labeling, trains, late=0.0):
    """The pairs of all trains, delay by delay as in the protocol."""
    shown = [[seen(labeling, *each, angles, np.max(trains), late) for angles in trains] for each in grid()]
    return np.array(shown).transpose(0, 2, 1).reshape(len(grid()), -1).astype(np.float32)


SEVERAL = {"rising": (RISING,), "strong and weak": (STRONG, WEAK), "all": (RISING, WEAK, STRONG)}


@pytest.mark.parametrize("name", ["multi_delay", "kinetic_model"])
@pytest.mark.parametrize("trains", SEVERAL)
@pytest.mark.parametrize(("labeling", "late"), [("PCASL", 0.0), ("CASL", 0.4), ("PASL", 0.2)])
def test_readouts_of_several_angles_are_met_one_by_one(labeling, late, trains, name):
    angles = SEVERAL[trains]
    protocol, curves = (
        trains_of(labeling, len(grid()), *angles, late=late),
        curves_of(labeling, angles, late),
    )
    known = shelf()[name]
    maps = known.function(curves, protocol, known.defaults() | {"noise_weight": 1000.0}, cpu())
    flow, att = np.array(grid()).T
    assert (maps["state"] == 0).all()
    tells = att > TRAINS[labeling][1] + late
    assert np.abs(maps["cbf"] / flow - 1)[tells].max() < 5e-3
    assert np.abs(maps["att"] - att)[tells].max() < 5e-3


def test_the_response_of_several_angles_is_that_of_the_reference():
    """One arrival and no noise: what the kernels expect of each readout, through the flow that explains it."""
    protocol = trains_of("PASL", len(grid()), RISING, WEAK)
    labels, column = labels_of(protocol)
    assert labels.pairs[: 2 * NUMBER].tolist() == [1.0] * 2 * NUMBER
    assert sorted(column) == list(range(2 * NUMBER))
    curves = curves_of("PASL", (RISING, WEAK))
    known, told_apart = shelf()["multi_delay"], 0
    for pair in range(curves.shape[1]):
        one = np.arange(curves.shape[1]) == pair
        told = protocol.pairs(one)._replace(arterial_transit_time=np.array([att for _, att in grid()]))
        maps = known.function(curves[:, one], told, known.defaults() | {"noise_weight": 1e4}, cpu())
        strong = (maps["state"] == 0) & (curves[:, pair] > 0.1 * curves.max())
        flow = np.array([flow for flow, _ in grid()])
        assert np.abs(maps["cbf"] / flow - 1)[strong].max(initial=0) < 5e-3
        told_apart += np.count_nonzero(strong)
    assert told_apart > 90


def test_one_angle_for_each_readout_is_one_for_all_where_they_are_alike():
    one, each = protocol_of("PCASL", len(grid())), protocol_of("PCASL", len(grid()))
    angles = np.full((NUMBER, NUMBER), np.deg2rad(FLIP))
    each = each._replace(look_locker=each.look_locker._replace(flip_angle=angles))
    curves = np.array([truth("PCASL", *kinetics) for kinetics in grid()], np.float32)
    for name in ("multi_delay", "kinetic_model"):
        known = shelf()[name]
        maps, same = (known.function(curves, its, known.defaults(), cpu()) for its in (one, each))
        for key, values in maps.items():
            np.testing.assert_array_equal(values, same[key])


def test_a_dropped_pair_of_several_angles_leaves_its_pulse():
    kept = np.ones(NUMBER, np.bool_)
    kept[[0, 3, 4]] = False
    protocol = trains_of("PCASL", len(grid()), RISING).pairs(kept)
    protocol = protocol._replace(arterial_transit_time=np.array([att for _, att in grid()]))
    known, curves = shelf()["multi_delay"], curves_of("PCASL", (RISING,))[:, kept]
    maps = known.function(curves, protocol, known.defaults() | {"noise_weight": 1000.0}, cpu())
    assert np.abs(maps["cbf"] / [flow for flow, _ in grid()] - 1).max() < 5e-3
