"""The demonstration: it runs, shows every tissue class with truth and estimate, and runs again at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bolus.errors import BolusError
from bolus_cluster.demo import run_demo
from bolus_cluster.ledger.records import records
from tests.cluster.tools import contents

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
CLASSES = (
    "grey matter", "white matter", "grey matter delayed", "white matter delayed", "tumour rim",
    "tumour necrosis", "oedema",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "bolus-demo"


def rows(said: str, name: str) -> list[str]:
    return [line for line in said.splitlines() if line.strip().rstrip("0123456789.± -").strip() == name]


def test_the_demo_shows_truth_and_estimate_of_every_class(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(folder) == 0
    said = capsys.readouterr().out
    for name in CLASSES:
        dsc, asl = rows(said, name)
        assert len(dsc.removeprefix(f"  {name}").split()) == 7
        assert asl.count("±") == 2
    assert str(folder / "maps" / "scans.tsv") in said
    assert "bolus run BIDS_DIR OUT_DIR participant" in said
    assert [record.scan for record in records(folder / "maps")] == [
        "sub-01_asl", "sub-01_dsc", "sub-02_asl", "sub-02_dsc",
    ]  # fmt: skip


def test_the_demo_again_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    assert run_demo(folder) == 0
    assert contents(folder) == before
    assert len(rows(capsys.readouterr().out, "grey matter")) == 2


def test_the_maps_are_a_bids_derivative(folder: Path) -> None:
    said = subprocess.run(
        [VALIDATOR, str(folder / "maps"), "--json"], check=False, capture_output=True, text=True
    )
    assert '"severity":"error"' not in said.stdout.replace(" ", "")
    assert said.returncode == 0, said.stdout


def test_a_folder_with_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(BolusError, match="E_PATH"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
