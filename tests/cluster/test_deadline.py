"""A process ends where a scan takes longer than it may, and only there; each scan has the whole time."""

import subprocess
import sys

import pytest

from bolus_cluster.workers.deadline import TOO_LONG

BEGIN = "import time; from bolus_cluster.workers.deadline import Deadline\nwith Deadline() as deadline:\n"


@pytest.mark.parametrize(
    ("within", "after", "code"),
    [
        ("deadline.allow(0.2); time.sleep(20)", "", TOO_LONG),
        ("deadline.allow(60); deadline.allow(0.2); time.sleep(20)", "", TOO_LONG),
        ("[(deadline.allow(1.0), time.sleep(0.4)) for _ in range(4)]", "", 0),
        ("[(deadline.allow(each), time.sleep(0.5)) for each in (60, 0.2, 60)]", "", TOO_LONG),
        ("deadline.allow(0.2)", "time.sleep(0.6)", 0),
        ("deadline.allow(1e30)", "", 0),
    ],
    ids=["too long", "told less", "put off", "the second", "over", "for ever"],
)
def test_it_ends_the_process_past_the_moment(within: str, after: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", f"{BEGIN}    {within}\n{after}"], timeout=60)
    assert done.returncode == code
