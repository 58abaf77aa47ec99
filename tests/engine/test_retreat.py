"""A GPU whose memory is spent: smaller blocks, then the processor, the same maps, and both are told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bolus.compute import blocks, compute, mode, retreat, scan, spatial
from bolus.compute.scan import methods_for
from bolus.prepare import prepare
from bolus.write import write
from bolus_kernels import device
from bolus_kernels.device import Device, cpu, is_out_of_memory
from tests.engine.made import asl_series, dsc_series, dsc_signal, recipe
from tests.kernels.simulated_gpu import stand_in

GPU = Device("cuda", "a GPU")
VOXELS = 360


def error_of(package, name, **fields):
    """An error as a package of the GPU raises it, none of which need be installed."""
    kind = type(name, (RuntimeError,), {"__module__": package})
    made = kind("out of memory allocating 8 bytes")
    for key, value in fields.items():
        setattr(made, key, value)
    return made


SPENT = error_of("cupy.cuda.memory", "OutOfMemoryError")


@pytest.fixture(autouse=True)
def arrays_of_the_gpu():
    """Arrays that stay on a GPU, where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "cupy", stand_in)
        yield


class Memory:
    """A GPU that is a processor with room for so many voxels; what was asked of it."""

    def __init__(self, room, error=SPENT):
        self.room, self.error, self.asked = room, error, []

    def behind(self, method):
        """The method as it would be on such a GPU."""

        def function(values, protocol, parameters, machine):
            if machine.kind == "cpu":
                return method.function(values, protocol, parameters, machine)
            self.asked.append(len(values))
            if len(values) > self.room:
                raise self.error
            return method.function(values, protocol, parameters, cpu())

        return replace(method, function=function, cuda=True)


@pytest.fixture
def fitted(monkeypatch):
    """Put such memories before the methods of a scan, by name; all have plenty otherwise."""

    def put(**memories):
        def chosen(asked, protocol):
            return [
                memories.get(method.name, Memory(VOXELS)).behind(method)
                for method in methods_for(asked, protocol)
            ]

        monkeypatch.setattr(scan, "methods_for", chosen)
        monkeypatch.setattr(retreat, "LEAST", 40)

    return put


def dsc(*sets):
    chosen = recipe(*sets)
    signal = dsc_signal() + np.random.default_rng(1).normal(0, 4, (10, 9, 4, 40))
    return prepare(dsc_series(np.rint(signal).astype(np.int16)), chosen), chosen


def asl(*sets):
    random = np.random.default_rng(6)
    data = random.normal(800, 3, (10, 9, 4, 16)).astype(np.float32)
    data[..., 1::2] -= random.uniform(2, 10, (10, 9, 4, 1)).astype(np.float32)
    delays = tuple(np.repeat([0.5, 1.0, 1.5, 2.0], 4))
    chosen = recipe(*sets)
    return prepare(asl_series(data, ("control", "label") * 8, post_labeling_delay=delays), chosen), chosen


def same(one, other):
    assert [item.ending for item in one.items] == [item.ending for item in other.items]
    for ours, theirs in zip(one.items, other.items, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data, err_msg=ours.ending)


def test_with_memory_enough_all_voxels_go_at_once(fitted):
    memory = Memory(VOXELS)
    fitted(osvd=memory)
    maps = compute(*dsc(), GPU)
    assert memory.asked == [VOXELS]
    assert maps.device == "a GPU" and not any("memory" in warning for warning in maps.warnings)


@pytest.mark.parametrize(("room", "asked"), [(180, [360, 180, 180]), (100, [360, 180, 90, 90, 90, 90])])
def test_blocks_are_halved_until_they_fit(fitted, room, asked):
    memory = Memory(room)
    fitted(osvd=memory)
    curves, chosen = dsc()
    maps = compute(curves, chosen, GPU)
    assert memory.asked == asked
    assert maps.device == f"a GPU + a GPU (its memory was full: blocks of {asked[-1]} voxels)"
    assert maps.warnings == curves.warnings
    same(maps, compute(curves, chosen, cpu()))


def test_below_the_smallest_block_the_method_goes_to_the_processor_and_the_others_stay(fitted, tmp_path):
    memory = Memory(0)
    fitted(osvd=memory)
    curves, chosen = dsc("dsc.deconvolution=csvd,osvd")
    maps = compute(curves, chosen, GPU)
    assert memory.asked == [360, 180, 90, 45, 40]
    assert maps.device == "a GPU + cpu"
    told = "the memory of a GPU was spent: osvd was computed on the processor"
    assert [warning for warning in maps.warnings if warning not in curves.warnings] == [told]
    same(maps, compute(curves, chosen, cpu()))
    outcome = write(maps, tmp_path, chosen)
    said = json.loads((tmp_path / "sub-01" / "perf" / "sub-01_desc-osvd_cbf.json").read_text())
    assert said["Device"] == outcome.device == "a GPU + cpu"
    assert told in said["Warnings"] and told in outcome.warnings


def test_neighbourhoods_and_the_bootstrap_give_way_likewise(fitted, monkeypatch):
    curves, chosen = dsc("dsc.deconvolution=csvd", "dsc.aif=local")
    largest = max(region.rows.size for region in curves.regions)
    memory = Memory(largest - 1)
    fitted(csvd=memory)
    maps = compute(curves, chosen, GPU)
    assert largest in memory.asked and memory.asked[-1] < largest
    assert f"blocks of {largest // 2} voxels" in maps.device
    monkeypatch.undo()
    same(maps, compute(curves, chosen, cpu()))
    fitted()
    real, given = blocks.bootstrap, []

    def greedy(method, volume, values, part, parameters, machine, *rest):
        given.append((machine.kind, len(values)))
        if machine.kind == "cuda":
            raise SPENT
        return real(method, volume, values, part, parameters, machine, *rest)

    monkeypatch.setattr(blocks, "bootstrap", greedy)
    curves, chosen = dsc("dsc.deconvolution=csvd", "dsc.bootstrap=10")
    maps = compute(curves, chosen, GPU)
    assert [kind for kind, _ in given] == ["cuda"] * 5 + ["cpu"]
    assert any("the bootstrap of csvd was computed on the processor" in warning for warning in maps.warnings)
    assert any(item.ending.startswith("desc-csvdSd") for item in maps.items)


def test_what_cannot_be_cut_goes_to_the_processor_whole(fitted, monkeypatch):
    real, given = spatial.spatial, []

    def greedy(*arguments):
        given.append(arguments[-1].kind)
        if arguments[-1].kind == "cuda":
            raise SPENT
        return real(*arguments)

    monkeypatch.setattr(spatial, "spatial", greedy)
    fitted()
    curves, chosen = asl("asl.spatial=true")
    maps = compute(curves, chosen, GPU)
    assert given == ["cuda", "cpu"]
    assert maps.device == "a GPU + cpu"
    assert any("the spatial prior was computed on the processor" in warning for warning in maps.warnings)


def test_the_mode_gives_way_as_its_method_does(fitted, monkeypatch):
    memory = Memory(0)
    method = replace(methods_for(recipe(), asl()[0].protocol)[0], function=mode.mode)
    monkeypatch.setattr(mode, "mode", memory.behind(method).function)
    fitted()
    curves, chosen = asl("asl.mode=true")
    maps = compute(curves, chosen, GPU)
    assert memory.asked[0] == VOXELS and maps.device == "a GPU + cpu"


@pytest.mark.parametrize("error", [MemoryError("the host's"), ZeroDivisionError("a mistake")])
def test_any_other_error_is_what_it_is(fitted, error):
    memory = Memory(0, error)
    fitted(osvd=memory)
    with pytest.raises(type(error), match=str(error)):
        compute(*dsc(), GPU)
    assert memory.asked == [VOXELS]


def test_what_the_gpu_kept_is_given_back_before_the_next_try(fitted, monkeypatch):
    given_back = []
    monkeypatch.setattr(retreat, "release_memory", lambda: given_back.append(1))
    fitted(osvd=Memory(100))
    compute(*dsc(), GPU)
    assert len(given_back) == 2


KNOWN = [
    (SPENT, True),
    (error_of("cupy_backends.cuda.api.runtime", "CUDARuntimeError", status=2), True),
    (error_of("cupy_backends.cuda.api.driver", "CUDADriverError", status=2), True),
    (error_of("cupy_backends.cuda.api.runtime", "CUDARuntimeError", status=700), False),
    (error_of("numba.cuda.cudadrv.driver", "CudaAPIError", code=2), True),
    (error_of("numba.cuda.cudadrv.driver", "CudaAPIError", code=1), False),
    (error_of("elsewhere", "OutOfMemoryError"), False),
    (error_of("elsewhere", "CUDARuntimeError", status=2), False),
    (MemoryError(), False),
]


@pytest.mark.parametrize(("error", "spent"), KNOWN)
def test_a_spent_memory_is_told_from_other_errors(error, spent):
    assert is_out_of_memory(error) is spent


def test_a_library_that_could_not_allocate_says_so_in_words():
    failed = type("CUBLASError", (RuntimeError,), {"__module__": "cupy_backends.cuda.libs.cublas"})
    assert is_out_of_memory(failed("CUBLAS_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(failed("CUBLAS_STATUS_INVALID_VALUE"))


def test_numba_s_own_error_is_known():
    driver = pytest.importorskip("numba.cuda.cudadrv.driver")
    assert is_out_of_memory(driver.CudaAPIError(2, "CUDA_ERROR_OUT_OF_MEMORY"))
    assert not is_out_of_memory(driver.CudaAPIError(719, "CUDA_ERROR_LAUNCH_FAILED"))


def test_memory_is_given_back_only_where_there_is_cupy(monkeypatch):
    monkeypatch.setattr(device, "_has_cupy", lambda: False)
    monkeypatch.setattr(device, "cupy", lambda: pytest.fail("asked for CuPy"))
    device.release_memory()
