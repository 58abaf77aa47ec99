"""What all tests share: those that need a GPU are skipped without one and say why, or fail where one is required."""

import os

import pytest

from bolus_kernels.device import why_no_cuda

# Hundreds of commands are started here: where this is set, each would compile the sources once more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser):
    parser.addoption(
        "--require-cuda",
        action="store_true",
        help="fail, rather than skip, what needs a GPU where there is none",
    )


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") is None:
        return
    reason = why_no_cuda()
    if reason is not None:
        (pytest.fail if item.config.getoption("--require-cuda") else pytest.skip)(f"no GPU: {reason}")
