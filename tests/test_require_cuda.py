"""The lane for a machine with a GPU: skipped with a reason where there is none, or failing where one is required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ONE = "tests/kernels/test_on_gpu.py::test_many_streams_at_once_give_what_one_gives"
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("option", "code", "told"), [((), 0, "1 skipped"), (("--require-cuda",), 1, "1 error")]
)
def test_without_a_gpu_its_tests_say_why_they_did_not_run(option, code, told):
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "--numprocesses=0", *option, ONE]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=hidden, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert told in done.stdout and "no GPU: " in done.stdout
