"""Lanes to a GPU, without one: which cut goes when, what waits for what, and what is left where something fails."""

import numpy as np
import pytest

from bolus_kernels import device
from bolus_kernels.cuda import launch
from bolus_kernels.cuda.lane import Lane
from bolus_kernels.cuda.launch import Scratch, over_voxels
from tests.kernels.simulated_gpu import GPU, Stream, There, stand_in

VOXELS, TIMES = 1000, 5


class Slow(Stream):
    """A stream that does nothing until somebody waits for it; what was asked of it, and of all others, in order."""

    now = None
    made = 0

    def __init__(self, non_blocking=False):
        Slow.made += 1
        self.asked = []

    def __enter__(self):
        self.before, Slow.now = Slow.now, self
        return self

    def __exit__(self, *error):
        Slow.now = self.before

    def wait_event(self, event):
        self.asked.append(event.synchronize)

    def synchronize(self):
        for do in self.asked:
            do()
        self.asked.clear()


class Late(There):
    """An array of a GPU that works when its streams do."""

    def set(self, array, stream):
        stream.asked.append(lambda: There.set(self, array, stream))

    def get(self, out=None, blocking=True):
        if blocking:
            Slow.now.synchronize()
            return There.get(self)
        return Slow.now.asked.append(lambda: There.get(self, out))


class Kernel:
    """A body that is run for all threads at once, when its stream comes to it."""

    def __init__(self, body):
        self.body = body

    def __getitem__(self, configuration):
        self.threads = configuration[0] * configuration[1]
        return self

    def __call__(self, *given):
        assert self.threads >= given[0].shape[-1]
        Slow.now.asked.append(lambda: self.body(*given))


@pytest.fixture
def slow(monkeypatch):
    """A GPU whose streams are slow, with memory for some of the voxels; how many streams there were."""

    def put(memory=1 << 20, cut=1 << 15):
        cupy = stand_in(memory, Late)
        cupy.cuda.Stream, cupy.cuda.get_current_stream = Slow, lambda: Slow.now
        monkeypatch.setattr(device, "cupy", lambda: cupy)
        monkeypatch.setattr(launch, "compiled", Kernel)
        monkeypatch.setattr(launch, "CUT", cut)
        monkeypatch.setattr(Slow, "made", 0)
        monkeypatch.setattr(Slow, "now", Slow())

    return put


def add_up(curves, weights, work, sums, state):
    """What a kernel would do with each of its voxels: a map of all, and one of some, the others as they were."""
    work[0] = (weights[:, None] * curves).sum(0)
    sums[:], state[curves[0] > 0.5] = work[0], 7


def run():
    curves = np.asfortranarray(np.random.default_rng(3).random((VOXELS, TIMES)), np.float32)
    weights, sums, state = (
        np.arange(TIMES, dtype=np.float32),
        np.empty(len(curves), np.float32),
        np.full(len(curves), 2, np.uint8),
    )
    over_voxels(add_up, (curves,), (weights,), (sums, state), GPU, (Scratch((1,)),))
    np.testing.assert_allclose(sums, curves @ weights, rtol=1e-6)
    np.testing.assert_array_equal(state, np.where(curves[:, 0] > 0.5, 7, 2))


@pytest.mark.parametrize(("cut", "streams"), [(1 << 15, 1), (500, 3), (400, 4), (90, 4), (7, 4)])
def test_every_voxel_comes_back_whatever_the_cut(slow, cut, streams):
    """One cut is done in the current stream; several in as many others, but never more than the lanes."""
    slow(cut=cut)
    run()
    assert Slow.made == streams


def test_the_cut_follows_the_free_memory(slow):
    each = 4 * TIMES + 4 + 1 + 4
    slow(memory=2 * 3 * 100 * each)
    run()
    assert Slow.made == 4


def test_lanes_begin_after_what_was_asked_before_and_end_before_what_is_asked_after(slow):
    slow(cut=300)
    first, done = Slow.now, []
    first.asked.append(lambda: done.append("before"))
    over_voxels(lambda curves: done.append("a cut"), (np.ones((VOXELS, TIMES), np.float32),), (), (), GPU)
    assert done == ["before"] + 4 * ["a cut"]


def test_a_lane_s_pinned_memory_is_used_again_and_grows_where_it_must(slow, monkeypatch):
    slow()
    sizes = []
    real = device.pinned
    monkeypatch.setattr("bolus_kernels.cuda.lane.pinned", lambda size: sizes.append(size) or real(size))
    lane = Lane(Slow.now)
    for count in (10, 10, 4, 20):
        given = np.arange(count, dtype=np.float64)
        home = np.zeros(count)
        there = lane.over(given)
        given[:] = -1  # it has been taken already
        lane.back(there, home)
        assert not home.any()
        lane.land()
        np.testing.assert_array_equal(home, np.arange(count))
    assert sizes == [80, 80, 160, 160]


def test_maps_that_lie_on_the_gpu_stay_there_and_keep_what_is_not_written(slow):
    for cut in (1 << 15, 300):
        slow(memory=1 << 16 if cut == 300 else 1 << 20)
        curves = device.on_device(np.random.default_rng(3).random((TIMES, VOXELS), np.float32))
        sums, state = (
            device.empty_on_device((VOXELS,), np.float32),
            device.on_device(np.arange(VOXELS, dtype=np.uint16)),
        )
        Slow.now.synchronize()
        over_voxels(add_up, (curves.T,), (np.ones(TIMES, np.float32),), (sums, state), GPU, (Scratch((1,)),))
        Slow.now.synchronize()
        assert isinstance(sums, Late)
        np.testing.assert_allclose(sums, curves.sum(0), rtol=1e-6)
        np.testing.assert_array_equal(state, np.where(curves[0] > 0.5, 7, np.arange(VOXELS)))


def test_what_is_under_way_lands_where_a_later_cut_fails(slow):
    slow(cut=100)
    sums, begun = np.zeros(VOXELS, np.float32), []

    def failing(curves, sums):
        begun.append(curves.shape[-1])
        if len(begun) > 4:
            raise RuntimeError("a launch failed")
        sums[:] = 1

    with pytest.raises(RuntimeError, match="a launch failed"):
        over_voxels(failing, (np.ones((VOXELS, TIMES), np.float32),), (), (sums,), GPU)
    assert sums[:400].sum() >= 200  # nothing is still on its way to memory that is given away
