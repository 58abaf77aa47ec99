"""What the tests of the cluster share: a tiny cohort, and a finished run over it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bolus.phantom import write_cohort
from tests.cluster.tools import go

SHAPE = (24, 24, 4)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders to leave alone: `data`, two subjects with DSC and ASL, and `maps`, their finished run."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder / "data", 2, shape=SHAPE, volumes=40)
    assert go(folder / "data", folder / "maps").exit_code == 0
    return folder


@pytest.fixture
def data(shared: Path, tmp_path: Path) -> Path:
    """A copy of the cohort to break."""
    return shutil.copytree(shared / "data", tmp_path / "data")


@pytest.fixture
def maps(shared: Path, tmp_path: Path) -> Path:
    """A copy of the finished run over the cohort."""
    return shutil.copytree(shared / "maps", tmp_path / "maps")
