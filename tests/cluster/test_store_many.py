"""A cohort of more scans than files may be open: nothing is NaN that is present, and no block is too wide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bolus.errors import BolusError
from bolus_cluster.store import hdf5, read
from bolus_cluster.store.build import build
from bolus_cluster.store.rooms import MOST_SOURCES
from tests.cluster.stored import cohort

SCANS, LIMIT = 300, 256
NAME = "dsc/6x5x4/cbf"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("many")
    made = cohort(out, SCANS, ("cbf",))
    build(out, rechunk=True)
    np.save(out / "expected.npy", np.stack([each["cbf"] for each in made.values()]))
    return out


def limited(kind: str, program: str, out: Path) -> str:
    """Run a program in a process that may open few files: `-S` as long as it does not ask, `-SH` whatever it asks."""
    lines = (
        "import sys, numpy as np; from pathlib import Path; from bolus_cluster.store import hdf5, read;"
        "out = Path(sys.argv[1]); expected = np.load(out / 'expected.npy');" + program
    )
    shell = f'ulimit {kind} -n {LIMIT} && exec "$0" -c "$1" "$2"'
    command = ["bash", "-c", shell, sys.executable, lines, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_reader_misses_no_scan_however_few_files_may_be_open(many: Path) -> None:
    for by_voxel in (False, True):
        program = (
            f"read._by_voxel_is_nearer = lambda *given: {by_voxel}; found = read.find(out, '{NAME}');"
            "values, present = read.read(found); assert present.all();"
            "np.testing.assert_array_equal(values, expected); print(len(values))"
        )
        assert limited("-SH", program, many) == str(SCANS)


def test_hdf5_itself_is_given_more_files_where_the_user_may_have_them(many: Path) -> None:
    raw = f"with hdf5.opened(out / 'cohort.h5') as file: values = file['{NAME}'][...]\n"
    missed = "print(int(np.isnan(values).any(axis=(1, 2, 3)).sum()))"
    # Without a higher limit HDF5 loses scans and says nothing: what all of this is for.
    assert int(limited("-S", f"\n{raw}{missed}", many)) > 0
    raised = f"\nwith read.raw(out) as file: values = file['{NAME}'][...]\n"
    check = "np.testing.assert_array_equal(values, expected)\n"
    assert limited("-S", f"{raised}{check}{missed}", many) == "0"


def test_no_virtual_data_set_joins_more_than_256_files(many: Path) -> None:
    with read.raw(many) as file:
        blocks = file[NAME].virtual_sources()
    widths = []
    for block in blocks:
        with hdf5.opened(many / block.file_name) as below:
            widths.append(len(below["cbf"].virtual_sources()))
    assert widths == [MOST_SOURCES, SCANS - MOST_SOURCES]


def test_a_lost_shard_is_refused_by_name_in_the_last_block_too(many: Path) -> None:
    found = read.find(many, NAME)
    shard = many / found.shards[-1]
    aside = shard.rename(shard.with_suffix(".aside"))
    try:
        with pytest.raises(BolusError) as refused:
            read.read(found)
    finally:
        aside.rename(shard)
    assert (refused.value.code, refused.value.file) == ("E_PATH", str(shard))
    assert read.read(found)[1].all()
