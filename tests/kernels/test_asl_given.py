"""ASL kernels where a voxel lacks what they need, and where they are told what they would else fit."""

import numpy as np
import pytest

from benchmarks import example
from bolus_kernels.asl.protocol import Labeling
from tests.kernels.asl_tissues import Array, drawn, duration_of, maps_of, noise_of


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_single_delay_without_a_slice_time_has_no_solution(bad: float) -> None:
    curves, protocol = example.asl(5, 47, one_delay=True)
    values = protocol.slice_delay.copy()
    values[2] = bad
    maps = maps_of("single_delay", curves, protocol._replace(slice_delay=values))
    assert np.flatnonzero(maps["state"]).tolist() == [2]
    assert np.flatnonzero(np.isnan(maps["cbf"])).tolist() == [2]


@pytest.mark.parametrize("field", ["t1_tissue", "slice_delay"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_voxel_without_a_relaxation_time_or_slice_time_has_no_solution(field: str, bad: float) -> None:
    curves, protocol = example.asl(70, 44)
    values = getattr(protocol, field).copy()
    values[[3, 66]] = bad
    maps = maps_of("multi_delay", curves, protocol._replace(**{field: values}))
    assert np.flatnonzero(maps["state"]).tolist() == [3, 66]
    for name in ("cbf", "att", "sd_cbf", "sd_att"):
        assert np.flatnonzero(np.isnan(maps[name])).tolist() == [3, 66]


@pytest.mark.parametrize("bad", [0.0, -1.3])
def test_a_relaxation_time_that_is_not_positive_has_no_solution(bad: float) -> None:
    curves, protocol = example.asl(4, 45)
    values = protocol.t1_tissue.copy()
    values[1] = bad
    maps = maps_of("multi_delay", curves, protocol._replace(t1_tissue=values))
    assert np.flatnonzero(maps["state"]).tolist() == [1]
    assert np.isnan(maps["cbf"][1]) and np.isnan(maps["sd_att"][1])


@pytest.mark.parametrize("delays", [[1.8], [1.0, 2.0]])
def test_two_degrees_of_freedom_have_no_standard_deviation(delays: list[float]) -> None:
    """A Student t with nu0 + pairs <= 2 has no variance: no number may stand for it."""
    protocol = example.asl_protocol(3, 1e-3, delays=np.array(delays), repeats=1)
    curves = example.asl_curves(protocol, np.array([20.0, 60.0, 90.0]), np.full(3, 0.9), 1e-3, 46)
    maps = maps_of("multi_delay", curves, protocol, noise_weight=0.0)
    assert maps["state"].all()
    assert all(np.isnan(maps[name]).all() for name in ("cbf", "att", "sd_cbf", "sd_att"))


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_a_given_transit_time_is_taken_instead_of_fitted(labeling: Labeling) -> None:
    """The flow is then the weighted mean over delays, and its SD that of the noise; the wrong time biases it."""
    cbf, att, t1 = drawn("grey matter", 300, 48)
    noise = 3 * noise_of(labeling)
    protocol = example.asl_protocol(
        300, noise, labeling=labeling, duration=duration_of(labeling), t1_tissue=t1, tissue_relaxation=False
    )
    curves = example.asl_curves(protocol, cbf, att, noise, 49)
    free = maps_of("multi_delay", curves, protocol)
    fixed = maps_of("multi_delay", curves, protocol._replace(arterial_transit_time=att))
    assert np.allclose(fixed["att"], att, atol=1e-3) and np.all(fixed["sd_att"] <= 1e-3)
    unit = example.asl_curves(protocol, np.ones(300), att, 0.0, 0).astype(np.float64)
    expected = (curves * unit).sum(1) / (unit**2).sum(1)
    assert np.allclose(fixed["cbf"], expected, rtol=0.02)
    assert np.mean(fixed["sd_cbf"]) < np.mean(free["sd_cbf"])
    assert 0.91 <= np.mean(np.abs(fixed["cbf"] - cbf) <= 1.96 * fixed["sd_cbf"]) <= 0.99


def test_a_given_transit_time_beyond_the_last_readout_has_no_solution() -> None:
    curves, protocol = example.asl(5, 50)
    given = np.array([0.8, np.nan, 9.0, -1.0, 1.2])
    maps = maps_of("multi_delay", curves, protocol._replace(arterial_transit_time=given))
    assert np.flatnonzero(maps["state"]).tolist() == [1, 2, 3]
    assert same_rows(
        maps,
        maps_of("multi_delay", curves[4:], protocol._replace(arterial_transit_time=given).rows(slice(4, 5))),
    )


def same_rows(whole: dict[str, Array], last: dict[str, Array]) -> bool:
    return all(whole[name][-1] == last[name][0] for name in whole)
