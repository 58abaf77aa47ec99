"""Multi-delay ASL: blood flow and arrival with their uncertainty, from the exact posterior of each voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import (
    EACH,
    FOUR,
    LEFT,
    NODES,
    NONE_BEFORE,
    WORK,
    Grid,
    Labels,
    summarise_tile,
    tabulate,
)
from bolus_kernels.asl.posterior import FLOW_UNIT, ONE, ZERO, solvable, voxel_posterior
from bolus_kernels.asl.prior import CERTAINTY, Prior, of_voxel
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol, LookLocker
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method, refuse_infinite
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, gather, time_major

LITERATURE = {"PCASL": (1.3, 1.0), "CASL": (1.3, 1.0), "PASL": (0.7, 1.0)}
"""Mean and SD of arrivals where nothing else is known, s; Chappell et al., IEEE Trans Signal Process 57:223 (2009)."""
ALONE = np.array([NONE_BEFORE, 1.0, 1.0])
"""The pulses of a readout that no other came before."""
Numbers = NDArray[np.float32]
Voxelwise = tuple[Numbers, Numbers, Numbers, Numbers, Numbers]


@method(
    "multi_delay",
    version=2,
    contrast="asl",
    family="quantification",
    maps={"cbf": "ml/100g/min", "att": "s", "sd_cbf": "ml/100g/min", "sd_att": "s"},
    parameters={
        "att_mean": (1.3, "s", 0.0, 5.0),
        "att_sd": (1.0, "s", 0.01, 10.0),
        "cbf_sd": (200.0, "ml/100g/min", 1.0, 10000.0),
        "noise_weight": (10.0, "1", 1.0, 10000.0),
    },
    choices={"att_prior": ("evidence", "given")},
    paper="Buxton et al., Magn Reson Med 40:383 (1998)",
    equation="p(ATT | y), flow and noise integrated out (normal-inverse-gamma), 1/T1' = 1/T1 + f/lambda",
    label="",
    cuda=True,
)
def multi_delay(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood flow and arterial transit time, each with its posterior standard deviation.

    curves : (n, t) float32, (control - label)/M0 of tissue. Gives cbf, sd_cbf : ml/100g/min and att,
    sd_att : s, each (n,) float32, and state : (n,) uint8. The flow has the prior N(0, cbf_sd), broad around
    zero; the noise variance the prior IG(noise_weight/2, noise_weight * the voxel's share of the pooled variance/2);
    the arrival that of the scan's own evidence (att_prior : evidence, where the protocol has it, else that of the
    literature) or N(att_mean, att_sd) (given), between 0 and the last time less a quarter of its bolus, or, where
    the protocol knows it, what is given (no solution where that is outside).
    Source: Buxton 1998, eq. 3 and 5; the same posterior on a dense grid is the reference.
    """
    labels, column = labels_of(protocol)
    prior = prior_of(protocol, labels, parameters)
    maps = empty_maps(METHODS["multi_delay"], curves.shape[0])
    if curves.shape[1] + parameters["noise_weight"] <= 2:  # a Student t of so few degrees has no variance
        maps["state"][:] = State.NO_SOLUTION
        return maps
    fitted = protocol.arterial_transit_time is None
    voxelwise = voxelwise_of(protocol, parameters)
    filled = tuple(maps[name] for name in ("cbf", "att", "sd_cbf", "sd_att", "state"))
    if device.kind == "cuda":
        from bolus_kernels.asl.cuda import launch

        launch(curves, voxelwise, column, labels, prior, fitted, filled, device)
    else:
        _multi_delay(time_major(curves), column, *voxelwise, labels, prior, fitted, *filled)
    return refuse_infinite(maps)


def voxelwise_of(protocol: AslProtocol, parameters: Mapping[str, Any]) -> Voxelwise:
    """Tissue T1 (s), slice delay (s), noise variance, expected arrival (s) and its precision (1/s^2), (n,) each."""
    given, expected = protocol.arterial_transit_time, arrival_prior_of(protocol, parameters)
    arrival, precision = (expected.mean, expected.precision) if given is None else (given, CERTAINTY)
    n = len(protocol.t1_tissue)
    return (
        np.ascontiguousarray(protocol.t1_tissue, np.float32),
        np.ascontiguousarray(protocol.slice_delay, np.float32),
        protocol.voxel_noise,
        np.ascontiguousarray(np.broadcast_to(arrival, n), np.float32),
        np.ascontiguousarray(np.broadcast_to(precision, n), np.float32),
    )


def arrival_prior_of(protocol: AslProtocol, parameters: Mapping[str, Any]) -> ArrivalPrior:
    """What is believed of arrivals: what was given, what the scan says, or what the literature does."""
    if parameters["att_prior"] == "given":
        return ArrivalPrior(parameters["att_mean"], parameters["att_sd"], 0.0, "given")
    if protocol.arrival_prior is not None:
        return protocol.arrival_prior
    return ArrivalPrior(*LITERATURE[protocol.labeling], 0.0, "literature")


def prior_of(protocol: AslProtocol, labels: Labels, parameters: Mapping[str, Any]) -> Prior:
    """The prior in the units of the kernel, from the method's parameters, for a noise variance of 1.

    Noise and expected arrivals are each voxel's own, those of `voxelwise_of`: nothing of one scan is in here.
    """
    last, fitted = int(np.argmax(labels.time)), protocol.arterial_transit_time is None
    return Prior(
        np.float32(0.0),
        np.float32(0.0),
        np.float32(labels.time[last] - 0.25 * labels.duration[last]),
        np.float32(0.0),
        np.float32((6000.0 / parameters["cbf_sd"]) ** 2),
        np.float32(parameters["noise_weight"]),
        ONE,
        np.float32(arrival_prior_of(protocol, parameters).tail if fitted else 0.0),
    )


def labels_of(protocol: AslProtocol) -> tuple[Labels, NDArray[np.int64]]:
    """The distinct (delay, duration) of a series and, for each of its pairs, which one it is.

    With Look-Locker readouts in the order of a label's readouts, those that no pair shows among them.
    """
    pulsed = protocol.labeling == "PASL"
    delay = np.asarray(protocol.post_labeling_delay, np.float64)
    duration = np.asarray(protocol.labeling_duration, np.float64)
    if protocol.look_locker is None:
        kinds, column, pairs = np.unique(
            np.stack([delay, duration], 1), axis=0, return_inverse=True, return_counts=True
        )
        pulses = np.tile(ALONE, (len(kinds), 1))
    else:
        kinds, column, pairs, pulses = _readouts(delay, duration, protocol.look_locker)
    spare = -len(pairs) % 4
    kinds, pairs = np.pad(kinds, ((0, spare), (0, 0)), mode="edge"), np.pad(pairs, (0, spare))
    pulses = np.concatenate([pulses, np.tile(ALONE, (spare, 1))])
    time = kinds[:, 0] + (0.0 if pulsed else kinds[:, 1])
    labels = Labels(
        time.astype(np.float32),
        kinds[:, 1].astype(np.float32),
        pairs.astype(np.float32),
        np.float32(1.0 / protocol.t1_blood),
        np.float32(protocol.partition_coefficient),
        np.float32(2.0 * protocol.labeling_efficiency / protocol.partition_coefficient),
        pulsed,
        protocol.tissue_relaxation,
        np.ascontiguousarray(pulses.T, np.float32),
        np.float32(pulses[:, LEFT].min()),
    )
    return labels, column.reshape(-1)


def _readouts(
    delay: NDArray[np.float64], duration: NDArray[np.float64], pulses: LookLocker
) -> tuple[NDArray[Any], ...]:
    """(delay, duration) of every readout of every label, which one a pair is, pairs of each, and the pulses.

    Pairs show one label where it lasts as long, is first read out as late and meets the same pulses.
    """
    first = np.asarray(pulses.first_delay, np.float64)
    number = np.rint((delay - first) / pulses.interval).astype(np.int64)
    angles = np.asarray(pulses.flip_angle, np.float64)
    if angles.ndim == 0:
        angles = np.full((len(delay), int(number.max()) + 1), angles)
    kinds: list[tuple[float, float]] = []
    pairs: list[int] = []
    met: list[tuple[float, float, float]] = []
    of_pair = np.zeros(len(delay), np.int64)
    trains, train = np.unique(np.column_stack([first, duration, angles]), axis=0, return_inverse=True)
    for which, (begin, tau, *flips) in enumerate(trains):
        its = train.reshape(-1) == which
        before, left = None, 1.0
        for k in range(number[its].max() + 1):
            shown = its & (number == k)
            when = float(delay[shown].mean()) if shown.any() else begin + k * pulses.interval
            of_pair[shown] = len(kinds)
            kinds.append((when, tau))
            pairs.append(int(np.count_nonzero(shown)))
            its_share = 1.0
            if pulses.calibrated_angle is not None:
                its_share = float(np.sin(flips[k]) / np.sin(pulses.calibrated_angle))
            met.append((float(NONE_BEFORE) if before is None else when - before, left, its_share))
            before, left = when, float(np.cos(flips[k]))
    return np.array(kinds), of_pair, np.array(pairs), np.array(met)


@kernel
def _multi_delay(
    curves: Any, column: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, precision: Any,
    labels: Any, prior: Any, fitted: bool, cbf: Any, att: Any, sd_cbf: Any, sd_att: Any, state: Any,
) -> None:  # fmt: skip
    delays = labels.time.size
    mean, table = np.empty(delays, np.float32), np.empty((delays // 4, FOUR), np.float32)
    first = Grid(np.empty((delays // 4, 4 * NODES), np.float32), np.empty(WORK, np.float32), EACH)
    finer = Grid(np.empty((delays // 4, 4 * NODES), np.float32), np.empty(WORK, np.float32), EACH)
    result = np.empty(4, np.float32)
    last = -1  # the voxel whose first grid is in memory
    tile, finite = np.empty((curves.shape[0], TILE), np.float32), np.empty(TILE, np.bool_)
    means, within = np.empty((delays, TILE), np.float32), np.empty(TILE, np.float32)
    tabulate(labels, table)
    for begin in range(0, curves.shape[1], TILE):
        width = min(TILE, curves.shape[1] - begin)
        gather(curves, begin, width, tile, finite)
        summarise_tile(tile, column, labels.pairs, means, within)
        for place in range(width):
            v = begin + place
            for i in range(delays):
                mean[i] = means[i, place]
            state[v] = solvable(
                finite[place], within[place], t1_tissue[v], slice_delay[v], noise[v],
                arrival[v] if not fitted else ZERO, prior.arrival_most,
            )  # fmt: skip
            if state[v] == 0:
                believed = of_voxel(prior, noise[v], arrival[v], precision[v])
                known = last >= 0 and t1_tissue[v] == t1_tissue[last] and slice_delay[v] == slice_delay[last]
                rate, last = ONE / t1_tissue[v], v
                voxel_posterior(
                    mean, within[place], rate, slice_delay[v], known, labels, believed, table, first, finer, result
                )  # fmt: skip
                cbf[v], sd_cbf[v] = FLOW_UNIT * result[0], FLOW_UNIT * result[1]
                att[v], sd_att[v] = result[2], result[3]
