"""The rooms of the cohort: scans of one modality whose maps have one shape, and which maps there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bolus.errors import BolusError, Code
from bolus_cluster.store.notes import shard_of

MOST_SOURCES = 256


@dataclass
class Room:
    """All scans of one modality whose maps have one shape: their shards in order, and unit and text of each map."""

    modality: str
    shape: tuple[int, ...]
    shards: list[str] = field(default_factory=list)
    maps: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Where it is in cohort.h5: `dsc/128x128x20`."""
        return f"{self.modality}/{'x'.join(map(str, self.shape))}"

    def blocks(self) -> Iterator[list[str]]:
        """Its shards, at most 256 at a time."""
        for first in range(0, len(self.shards), MOST_SOURCES):
            yield self.shards[first : first + MOST_SOURCES]


def survey(out: Path, shards: Iterable[str]) -> dict[str, Room]:
    """The rooms of the cohort, by name. Raises BolusError (E_META) where one map comes in two units."""
    rooms: dict[tuple[str, tuple[int, ...]], Room] = {}
    for name in shards:
        shard = shard_of(out, name)
        for ending, image in shard.images.items():
            room = rooms.setdefault((shard.modality, image.shape), Room(shard.modality, image.shape))
            if not room.shards or room.shards[-1] != name:
                room.shards.append(name)
            units, _ = room.maps.setdefault(ending, (image.units, image.description))
            if units != image.units:
                seen = f"{ending} in {image.units} here, in {units} in the scans before"
                mend = "Run the level `participant` over all scans with one recipe, then `group` again."
                raise BolusError(Code.META, shard.scan, seen, "one unit for all scans", mend)
    found = {room.name: room for room in rooms.values()}
    return dict(sorted(found.items()))
