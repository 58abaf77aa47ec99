"""numbers.csv: every number of every finished scan, exact, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bolus_cluster.ledger import numbers, table
from bolus_cluster.ledger.records import Record, enter

DONE = Record("sub-2_ses-b_dsc", "2", "b", "dsc", "done", numbers={"median_cbf": 1 / 3, "median_att": -2.5})


def rows(out: Path) -> list[dict[str, str]]:
    with (out / numbers.FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_number_of_each_finished_scan(tmp_path: Path) -> None:
    enter(tmp_path, DONE)
    enter(tmp_path, Record("sub-1_asl", "1", None, "asl", "failed", code="E_DATA", numbers={"old": 1.0}))
    enter(tmp_path, Record("sub-3_asl", "3", None, "asl", "done_with_warnings", numbers={"n": 4}))
    numbers.write(tmp_path)
    assert [tuple(row.values()) for row in rows(tmp_path)] == [
        ("sub-2_ses-b_dsc", "2", "b", "dsc", "median_att", "-2.5"),
        ("sub-2_ses-b_dsc", "2", "b", "dsc", "median_cbf", repr(1 / 3)),
        ("sub-3_asl", "3", "", "asl", "n", "4.0"),
    ]
    assert tuple(rows(tmp_path)[0]) == numbers.COLUMNS


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r\n@", " +"])
def test_text_that_looks_like_a_formula_is_text(tmp_path: Path, start: str) -> None:
    evil = f"{start}1+1"
    enter(tmp_path, replace(DONE, subject=evil, numbers={evil: -1.0}, message=f"{evil} told"))
    numbers.write(tmp_path)
    (row,) = rows(tmp_path)
    assert row["subject"] == row["name"] == f"'{evil.strip()}"
    assert row["value"] == "-1.0"
    table.write(tmp_path)
    head, line = (text.split("\t") for text in (tmp_path / table.FILE).read_text().splitlines())
    cells = dict(zip(head, line, strict=True))
    assert cells["subject"] == f"'{evil.strip()}" and cells["message"] == f"'{evil.strip()} told"
    assert cells[f"'{evil.strip()}"] == "-1"


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    from pyarrow import parquet

    enter(tmp_path, DONE)
    numbers.write(tmp_path)
    found = parquet.read_table(tmp_path / numbers.PARQUET).to_pylist()
    assert [tuple(row.values()) for row in found] == list(numbers.rows(tmp_path))
    assert isinstance(found[0]["value"], float)
    (tmp_path / numbers.PARQUET).write_bytes(b"old")
    enter(tmp_path, replace(DONE, state="failed"))
    numbers.write(tmp_path)
    assert parquet.read_table(tmp_path / numbers.PARQUET).num_rows == 0


def test_without_pyarrow_there_is_no_parquet_not_even_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(tmp_path, DONE)
    (tmp_path / numbers.PARQUET).write_bytes(b"of another day")
    find = numbers.importlib.util.find_spec
    monkeypatch.setattr(
        numbers.importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find(name)
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    numbers.write(tmp_path)
    assert len(rows(tmp_path)) == 2
    assert not (tmp_path / numbers.PARQUET).exists()
