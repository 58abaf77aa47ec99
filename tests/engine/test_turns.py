"""Whose turn it is, where several scans are under way in one process: on a processor, and beside a GPU."""

from contextlib import ExitStack
from threading import Event, Thread

import pytest

from bolus.pipeline import FREE, turns
from bolus_kernels.device import Device, cpu

VERBS = ("read", "prepare", "compute", "write")


def waits(turn):
    """Whether one more would have to wait."""
    begun = Event()

    def one():
        with turn:
            begun.set()

    Thread(target=one, daemon=True).start()
    return not begun.wait(0.2)


@pytest.mark.parametrize("verb", VERBS)
def test_a_processor_does_each_with_one_scan_at_a_time(verb):
    found = turns(cpu(4))
    with getattr(found, verb):
        assert waits(getattr(found, verb))
        others = set(VERBS) - {verb} - ({"prepare", "compute"} if verb in ("prepare", "compute") else set())
        assert not any(waits(getattr(found, other)) for other in others)
    assert not waits(getattr(found, verb))


def test_it_prepares_none_while_it_computes_one():
    found = turns(cpu(4))
    with found.compute:
        assert waits(found.prepare)


def test_beside_a_gpu_every_processor_reads_prepares_or_writes_while_one_scan_is_computed():
    found = turns(Device("cuda", "a GPU", 3))
    with found.compute, ExitStack() as others:
        assert waits(found.compute)
        for verb in ("read", "prepare", "write"):
            others.enter_context(getattr(found, verb))
        assert all(waits(getattr(found, verb)) for verb in ("read", "prepare", "write"))
    assert not any(waits(getattr(found, verb)) for verb in VERBS)


def test_alone_nobody_waits():
    with FREE.read, FREE.read, FREE.compute:
        assert not waits(FREE.compute)
