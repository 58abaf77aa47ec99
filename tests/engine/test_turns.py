"""Whose turn it is, where several scans are under way in one process: on a processor, and beside a GPU."""

from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from bolus import turns as module
from bolus.turns import FREE, TOGETHER, turns
from bolus_kernels.device import Device, cpu

GPU = Device("cuda", "a GPU", 3)


def waits(turn):
    """Whether one more would have to wait."""
    begun = Event()

    def one():
        with turn:
            begun.set()

    Thread(target=one, daemon=True).start()
    return not begun.wait(0.2)


class Scans:
    """Scans of so many voxels that take until they are let go; which are computed together."""

    def __init__(self, monkeypatch):
        self.batches, self.begun, self.go = [], Event(), Event()
        monkeypatch.setattr(module, "compute", lambda *scan: self.together([scan[:2]], scan[2])[0])
        monkeypatch.setattr(module, "compute_together", self.together)

    def together(self, scans, device):
        self.batches.append([curves.name for curves, _ in scans])
        self.begun.set()
        assert self.go.wait(5)
        if "broken launcher" in self.batches[-1]:
            raise ZeroDivisionError
        return [
            ValueError(curves.name) if curves.name == "bad" else f"{curves.name}'s maps"
            for curves, _ in scans
        ]

    def come(self, compute, device, *names, voxels=10):
        """Threads that bring scans to be computed, one after the other, and where their maps come to lie."""
        found = {}

        def bring(name):
            try:
                found[name] = compute(SimpleNamespace(name=name, voxels=range(voxels)), "a recipe", device)
            except Exception as error:
                found[name] = error

        threads = [Thread(target=bring, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
            thread.join(0.1)
        return threads, found


@contextmanager
def computing(found, device, monkeypatch):
    """While one scan is computed."""
    scans = Scans(monkeypatch)
    threads, _ = scans.come(found.compute, device, "one")
    assert scans.begun.wait(5)
    yield
    scans.go.set()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize("verb", ["read", "prepare", "write"])
def test_a_processor_does_each_with_one_scan_at_a_time(verb):
    found = turns(cpu(4))
    with getattr(found, verb):
        assert waits(getattr(found, verb))
        assert not any(waits(getattr(found, other)) for other in {"read", "prepare", "write"} - {verb})
    assert not waits(getattr(found, verb))


def test_it_prepares_none_while_it_computes_one_but_reads_and_writes_others(monkeypatch):
    found = turns(cpu(4))
    with computing(found, cpu(4), monkeypatch):
        assert waits(found.prepare)
        assert not waits(found.read) and not waits(found.write)
    assert not waits(found.prepare)


def test_it_computes_one_after_the_other(monkeypatch):
    found, scans = turns(cpu(2)), Scans(monkeypatch)
    threads, maps = scans.come(found.compute, cpu(2), "a", "b", "c")
    assert scans.batches == [["a"]]
    scans.go.set()
    for thread in threads:
        thread.join(5)
    assert sorted(scans.batches) == [["a"], ["b"], ["c"]]
    assert maps == {name: f"{name}'s maps" for name in "abc"}


def test_beside_a_gpu_every_processor_reads_prepares_or_writes_while_one_scan_is_computed(monkeypatch):
    found = turns(GPU)
    with computing(found, GPU, monkeypatch), ExitStack() as others:
        for verb in ("read", "prepare", "write"):
            others.enter_context(getattr(found, verb))
        assert all(waits(getattr(found, verb)) for verb in ("read", "prepare", "write"))
    assert not any(waits(getattr(found, verb)) for verb in ("read", "prepare", "write"))


def test_scans_that_wait_for_the_gpu_are_computed_together_and_each_has_its_own_maps_or_error(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch)
    threads, maps = scans.come(found.compute, GPU, "a", "b", "bad", "c")
    scans.go.set()
    for thread in threads:
        thread.join(5)
    assert scans.batches == [["a"], ["b", "bad", "c"]]
    assert isinstance(maps.pop("bad"), ValueError)
    assert maps == {name: f"{name}'s maps" for name in "abc"}


def test_large_scans_are_computed_alone(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch)
    threads, maps = scans.come(found.compute, GPU, *"abcdef", voxels=TOGETHER // 2)
    scans.go.set()
    for thread in threads:
        thread.join(5)
    assert scans.batches == [["a"], ["b", "c"], ["d", "e"], ["f"]] and len(maps) == 6
    scans.batches.clear()
    for thread in scans.come(found.compute, GPU, *"ab", voxels=TOGETHER + 1)[0]:
        thread.join(5)
    assert sorted(scans.batches) == [["a"], ["b"]]


def test_nobody_waits_for_ever_where_computing_together_fails(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch)
    threads, maps = scans.come(found.compute, GPU, "a", "b", "broken launcher")
    scans.go.set()
    for thread in threads:
        thread.join(5)
    assert maps.pop("a") == "a's maps"
    assert [type(error) for error in maps.values()] == [ZeroDivisionError] * 2


def test_alone_nobody_waits():
    with FREE.read, FREE.read:
        assert not waits(FREE.read)
    assert FREE.compute is module.compute
