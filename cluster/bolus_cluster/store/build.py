"""The sentence of the group level: a shard for every finished scan, blocks, tiles, the cohort, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bolus.errors import BolusError, Code
from bolus_cluster.ledger import numbers, table
from bolus_cluster.ledger.lock import held
from bolus_cluster.ledger.records import LEDGER, scans
from bolus_cluster.pool import spawned
from bolus_cluster.store import columns, shard, virtual
from bolus_cluster.store.notes import COHORT, put_cohort, shard_of, stamp_of, sweep, write_index
from bolus_cluster.store.rooms import survey

FEW = 8
"""Work of fewer pieces is done before a second process would have started."""
Tick = Callable[[str, int, int], None]
Piece = TypeVar("Piece")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Built:
    """What the group level came to: scans in the ledger and in the cohort, maps, rooms, bytes, and the refused."""

    known: int
    scans: int
    maps: int
    rooms: tuple[str, ...]
    size: int
    problems: tuple[BolusError, ...]

    @property
    def exit_code(self) -> int:
        """0 when every finished scan is in the cohort, 1 when some could not be taken in."""
        return 1 if self.problems else 0


def build(
    out: Path, *, rechunk: bool = False, portable: bool = False, workers: int = 1,
    tick: Tick = lambda what, done, total: None,
) -> Built:  # fmt: skip
    """Write cohort.h5, scans.tsv and the numbers from the ledger; only what changed is built again.

    Scans that failed are not present; a finished one whose maps are damaged is left out and told.
    Raises BolusError: E_PATH without a ledger, E_LOCKED, E_META (two units), E_WORKER_DIED; OSError.
    """
    if not (out / LEDGER).is_dir():
        mend = "Run the level `participant` first, with the same OUT_DIR."
        raise BolusError(Code.PATH, out, "no ledger (.bolus/scans)", "the output folder of a run", mend)
    known = scans(out)
    with held(out, len(known)):
        table.write(out)
        numbers.write(out)
        orders = [shard.Order(out, scan, portable) for scan in known]
        made = list(_made("scans", shard.make, orders, workers, tick))
        shards = [name for name in made if isinstance(name, str)]
        rooms = survey(out, shards)
        blocks = {name: virtual.write_blocks(out, room) for name, room in rooms.items()}
        tiles = {name: columns.tiles_of(out, room, portable) for name, room in rooms.items() if rechunk}
        wanted = [tile for maps in tiles.values() for pieces in maps.values() for tile in pieces]
        built = list(_made("by voxel", columns.make, wanted, workers, tick))
        cohort = put_cohort(out, virtual.cohort_bytes(out, rooms, blocks, tiles, portable))
        files = [*shards, *(name for names in blocks.values() for name in names), *built]
        stamps = {COHORT: cohort} | {name: stamp for name in files if (stamp := stamp_of(out, name))}
        write_index(out, stamps)
        sweep(out, set(files))
    maps = sum(len(shard_of(out, name).images) for name in shards)
    size = sum(stamp.size for stamp in stamps.values())
    problems = tuple(name for name in made if isinstance(name, BolusError))
    return Built(len(known), len(shards), maps, tuple(rooms), size, problems)


def _made(
    what: str, make: Callable[[Piece], Result], pieces: Sequence[Piece], workers: int, tick: Tick
) -> Iterator[Result]:
    workers = 1 if len(pieces) < FEW else min(workers, len(pieces))
    for done, result in enumerate(spawned(make, pieces, workers), 1):
        tick(what, done, len(pieces))
        yield result
