"""Work side by side: in order, few in the air, and a worker's death is a refusal that says so."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from bolus.errors import BolusError
from bolus_cluster.pool import IN_THE_AIR, spawned, threaded


def _square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def _dies(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def _raises(number: int) -> int:
    raise OSError(28, "No space left on device")


def test_results_come_in_the_order_of_the_work_and_few_are_drawn_ahead() -> None:
    drawn = []

    def pieces() -> Iterator[int]:
        for number in range(40):
            drawn.append(number)
            yield number

    for done, result in enumerate(threaded(_square, pieces(), 2)):
        assert result == done * done
        assert len(drawn) - done <= 2 * IN_THE_AIR
    assert len(drawn) == 40


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same_and_hand_on_what_a_piece_raises(workers: int) -> None:
    assert list(spawned(_square, range(7), workers)) == [number * number for number in range(7)]
    with pytest.raises(OSError, match="No space left"):
        list(spawned(_raises, range(3), workers))


def test_a_process_that_dies_is_a_refusal() -> None:
    with pytest.raises(BolusError, match=r"E_WORKER_DIED.*--workers"):
        list(spawned(_dies, range(8), 2))
