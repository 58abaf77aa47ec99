"""numbers.csv: every number of every finished scan, one a row; as Parquet too where there is pyarrow."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

from bolus_cluster.ledger.records import DONE, records, write_whole
from bolus_cluster.ledger.table import harmless

FILE, PARQUET = "numbers.csv", "numbers.parquet"
COLUMNS = ("scan", "subject", "session", "modality", "name", "value")
Row = tuple[str, str, str, str, str, float]


def write(out: Path) -> None:
    """Write OUT_DIR/numbers.csv, and numbers.parquet or none, from the ledger; atomically. Raises OSError."""
    write_whole(out / FILE, as_text(out).encode())
    if importlib.util.find_spec("pyarrow"):
        write_whole(out / PARQUET, _as_parquet(out))
    else:  # one of an earlier run would tell other numbers than the table beside it
        (out / PARQUET).unlink(missing_ok=True)


def as_text(out: Path) -> str:
    """The table as CSV: no cell runs as a formula, numbers in full; an empty session where there is none."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for *words, value in rows(out):
        writer.writerow([*map(harmless, map(str, words)), repr(value)])
    return text.getvalue()


def rows(out: Path) -> Iterator[Row]:
    """One row for each number of each finished scan, sorted by scan and name."""
    for record in records(out):
        if record.state in DONE:
            who = (record.scan, record.subject, record.session or "", record.modality)
            for name, value in sorted(record.numbers.items()):
                yield (*who, name, float(value))


def _as_parquet(out: Path) -> bytes:
    import pyarrow
    from pyarrow import parquet

    columns = list(zip(*rows(out), strict=True)) or [()] * len(COLUMNS)
    kinds = [*[pyarrow.string()] * (len(COLUMNS) - 1), pyarrow.float64()]
    table = pyarrow.table(
        {
            name: pyarrow.array(values, kind)
            for name, values, kind in zip(COLUMNS, columns, kinds, strict=True)
        }
    )
    buffer = BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
