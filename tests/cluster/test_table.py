"""scans.tsv: a row per scan, sorted, whole, and untouched where nothing changed."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path

from bolus_cluster.ledger import table
from bolus_cluster.ledger.records import Record, enter, look_up

DONE = Record("sub-2_dsc", "2", "b", "dsc", "done", attempts=1, seconds=1.5, voxels=7, numbers={"cbf": 40.25})
FAILED = Record("sub-1_asl", "1", None, "asl", "failed", code="E_META", message="a\tb\nc", attempts=2)


def test_rows_are_sorted_escaped_and_hold_the_union_of_numbers(tmp_path: Path) -> None:
    enter(tmp_path, DONE)
    enter(tmp_path, FAILED)
    enter(tmp_path, replace(DONE, scan="sub-3_dsc", numbers={"mtt": 4.0}))
    assert table.write(tmp_path)
    head, *rows = [line.split("\t") for line in (tmp_path / table.FILE).read_text().splitlines()]
    assert head == [*table.COLUMNS, "cbf", "mtt"]
    assert [row[0] for row in rows] == ["sub-1_asl", "sub-2_dsc", "sub-3_dsc"]
    assert dict(zip(head, rows[0], strict=True)) == {
        **dict.fromkeys(head, "n/a"),
        "scan": "sub-1_asl", "subject": "1", "modality": "asl", "state": "failed", "code": "E_META",
        "message": "a b c", "attempts": "2", "seconds": "0", "voxels": "0",
    }  # fmt: skip
    assert rows[1][-2:] == ["40.25", "n/a"]
    assert rows[2][-2:] == ["n/a", "4"]


def test_an_unchanged_table_is_not_written(tmp_path: Path) -> None:
    enter(tmp_path, DONE)
    assert table.write(tmp_path)
    before = (tmp_path / table.FILE).stat()
    assert not table.write(tmp_path)
    after = (tmp_path / table.FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_every_column_is_a_field_of_the_record() -> None:
    assert set(table.COLUMNS) <= {field.name for field in fields(Record)}


def test_a_row_is_a_row_whatever_stands_in_it(tmp_path: Path) -> None:
    odd = '"opened\tand\r\nnever\x1b[31m closed\u2028 \udcff'
    enter(tmp_path, replace(FAILED, message=odd, file=odd))
    enter(tmp_path, DONE)
    table.write(tmp_path)
    text = (tmp_path / table.FILE).read_text(encoding="utf-8")
    assert len(text.splitlines()) == 3
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        rows = list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=quoting))
        assert [row["scan"] for row in rows] == ["sub-1_asl", "sub-2_dsc"]
        assert "never\\x1b[31m closed \\udcff" in rows[0]["message"] and rows[0]["attempts"] == "2"
    found = look_up(tmp_path, FAILED.scan)
    assert found is not None and found.message == odd
