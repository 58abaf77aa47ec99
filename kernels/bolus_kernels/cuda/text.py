"""CUDA C++ as a kernel of the launcher, for what Numba cannot say: the instructions of tensor cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bolus_kernels.device import from_text


@dataclass(frozen=True)
class Text:
    """A file of CUDA C++, the name of a kernel in it, and what its macros are: "STEPS=8".

    An array comes to the kernel as a pointer, its rows (1 of a vector) and its columns, all whole numbers as int.
    """

    file: Path
    name: str
    macros: tuple[str, ...]

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def options(self) -> tuple[str, ...]:
        """For the compiler."""
        return tuple(f"-D{macro}" for macro in self.macros)


class Compiled:
    """A text as Numba's kernels are: to launch as `kernel[blocks, threads, stream](...)` in the current stream."""

    def __init__(self, text: Text) -> None:
        self._kernel = from_text(text.file.read_text(), text.name, text.options)

    def __getitem__(self, configuration: Any) -> Callable[..., None]:
        return partial(self._launch, configuration[0], configuration[1])

    def _launch(self, blocks: int, threads: int, *given: Any) -> None:
        self._kernel((blocks,), (threads,), told(given))

    def get_regs_per_thread(self) -> dict[str, int]:
        """As Numba's kernel tells it."""
        return {"": self._kernel.num_regs}

    def get_local_mem_per_thread(self) -> dict[str, int]:
        """As Numba's kernel tells it."""
        return {"": self._kernel.local_size_bytes}


def told(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments as a text takes them."""
    out: list[Any] = []
    for one in given:
        if hasattr(one, "__cuda_array_interface__"):
            described = one.__cuda_array_interface__
            shape = described["shape"]
            sizes = (1, *shape) if len(shape) == 1 else shape
            out += [np.uintp(described["data"][0]), *map(np.int32, sizes)]
        else:
            out.append(np.int32(one) if isinstance(one, int) else one)
    return tuple(out)
