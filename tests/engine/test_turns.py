"""Whose turn it is, where several scans are under way in one process: on a processor, and beside a GPU."""

from contextlib import ExitStack
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from bolus import turns as module
from bolus.compute.blocks import Asked
from bolus.turns import FREE, TOGETHER, turns
from bolus_kernels.device import Device, cpu

GPU = Device("cuda", "a GPU", 3)
VERBS = ("read", "prepare", "write")


def waits(turn):
    """Whether one more would have to wait."""
    begun = Event()

    def one():
        with turn:
            begun.set()

    Thread(target=one, daemon=True).start()
    return not begun.wait(0.2)


class Scans:
    """Scans of one method each, which takes until it is let go: which are computed at a time."""

    def __init__(self, monkeypatch, machine):
        self.machine, self.batches, self.begun, self.go = machine, [], Event(), Event()
        monkeypatch.setattr(module, "compute", self.compute)
        monkeypatch.setattr(module, "run_method", lambda asked: self.run([asked])[0])
        monkeypatch.setattr(module, "run_together", self.run)

    def compute(self, curves, recipe, device, answer=None):
        asked = Asked("a method", curves, "a protocol", {}, self.machine, None)
        return f"{curves.name}'s {self.run([asked])[0] if answer is None else answer(asked)}"

    def run(self, asked):
        self.batches.append([one.curves.name for one in asked])
        self.begun.set()
        assert self.go.wait(10)
        if "broken launcher" in self.batches[-1]:
            raise ZeroDivisionError
        return [ValueError() if one.curves.name == "bad" else "maps" for one in asked]

    def come(self, compute, *names, voxels=10):
        """Threads that bring scans to be computed, one after the other, and where their maps come to lie."""
        found = {}

        def bring(name):
            try:
                scan = SimpleNamespace(name=name, voxels=range(voxels))
                found[name] = compute(scan, "a recipe", self.machine)
            except Exception as error:
                found[name] = error

        threads = [Thread(target=bring, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
            thread.join(0.2)
        return threads, found

    def let_go(self, threads):
        self.go.set()
        for thread in threads:
            thread.join(10)


@pytest.mark.parametrize("verb", VERBS)
def test_a_processor_does_each_with_one_scan_at_a_time(verb):
    found = turns(cpu(4))
    with getattr(found, verb):
        assert waits(getattr(found, verb))
        assert not any(waits(getattr(found, other)) for other in set(VERBS) - {verb})
    assert not waits(getattr(found, verb))


def test_it_prepares_none_while_it_computes_one_but_reads_and_writes_others(monkeypatch):
    found, scans = turns(cpu(4)), Scans(monkeypatch, cpu(4))
    threads, _ = scans.come(found.compute, "a")
    assert waits(found.prepare)
    assert not waits(found.read) and not waits(found.write)
    scans.let_go(threads)
    assert not waits(found.prepare)


def test_it_computes_one_after_the_other(monkeypatch):
    found, scans = turns(cpu(2)), Scans(monkeypatch, cpu(2))
    threads, maps = scans.come(found.compute, "a", "b", "c")
    assert scans.batches == [["a"]]
    scans.let_go(threads)
    assert sorted(scans.batches) == [["a"], ["b"], ["c"]]
    assert maps == {name: f"{name}'s maps" for name in "abc"}


def test_beside_a_gpu_every_processor_reads_prepares_or_writes_while_a_method_runs(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch, GPU)
    threads, _ = scans.come(found.compute, "a")
    assert scans.begun.wait(10)
    with ExitStack() as others:
        for verb in VERBS:
            others.enter_context(getattr(found, verb))
        assert all(waits(getattr(found, verb)) for verb in VERBS)
    scans.let_go(threads)
    assert not any(waits(getattr(found, verb)) for verb in VERBS)


def test_what_is_not_for_the_gpu_needs_a_processor_and_waits_for_nobody(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch, cpu())
    threads, maps = scans.come(found.compute, "a", "b", "c")
    assert scans.batches == [["a"], ["b"], ["c"]]
    assert all(waits(getattr(found, verb)) for verb in VERBS)
    scans.let_go(threads)
    assert len(maps) == 3 and not waits(found.read)


def test_scans_that_wait_for_the_gpu_are_computed_together_and_each_has_its_own_maps_or_error(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch, GPU)
    threads, maps = scans.come(found.compute, "a", "b", "bad", "c")
    scans.let_go(threads)
    assert scans.batches == [["a"], ["b", "bad", "c"]]
    assert isinstance(maps.pop("bad"), ValueError)
    assert maps == {name: f"{name}'s maps" for name in "abc"}


def test_large_scans_are_computed_alone(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch, GPU)
    threads, maps = scans.come(found.compute, *"abcdef", voxels=TOGETHER // 2)
    scans.let_go(threads)
    assert scans.batches == [["a"], ["b", "c"], ["d", "e"], ["f"]] and len(maps) == 6
    scans.batches.clear()
    scans.let_go(scans.come(found.compute, *"ab", voxels=TOGETHER + 1)[0])
    assert sorted(scans.batches) == [["a"], ["b"]]


def test_nobody_waits_for_ever_where_computing_together_fails(monkeypatch):
    found, scans = turns(GPU), Scans(monkeypatch, GPU)
    threads, maps = scans.come(found.compute, "a", "b", "broken launcher")
    scans.let_go(threads)
    assert maps.pop("a") == "a's maps"
    assert [type(error) for error in maps.values()] == [ZeroDivisionError] * 2
    assert not any(waits(getattr(found, verb)) for verb in VERBS)


def test_alone_nobody_waits():
    with FREE.read, FREE.read:
        assert not waits(FREE.read)
    assert FREE.compute is module.compute
