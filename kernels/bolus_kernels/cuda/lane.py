"""A lane to the GPU: some voxels go over in it, are computed and come back, while other lanes do the same."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba import config, cuda
from numpy.typing import NDArray

from bolus_kernels.device import bring_back, full_on_device, is_on_device, on_device, pinned

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small scan is no mistake
THREADS = 128
ON_GPU = "__cuda_array_interface__"


class Lane:
    """A stream of the GPU, and pinned memory through which arrays of the host pass without anybody waiting.

    Use it as `with lane.stream:`, from one thread. What is asked of it is done in order; `land` waits for it.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._rooms: list[NDArray[np.uint8]] = []
        self._taken = 0
        self._coming: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def over(self, array: Any) -> Any:
        """An array on the GPU, in C order: itself where it is that already, else a copy."""
        if is_on_device(array):
            return on_device(array)
        staged = self._staged(array)
        staged[...] = array
        return on_device(staged)

    def to_fill(self, array: Any) -> Any:
        """A map as a kernel fills it: of one in the host's memory only the one value that it holds goes over."""
        if is_on_device(array):
            return on_device(array)
        return full_on_device(array.shape, array.dtype, array.flat[0] if array.size else 0)

    def start(self, kernel: Any, voxels: int, *given: Any) -> None:
        """Launch a kernel, a thread for each voxel."""
        stream = cuda.external_stream(self.stream.ptr) if self.stream.ptr else 0
        # CuPy's arrays as Numba's own: Numba would wait for the stream of any other's
        seen = [cuda.as_cuda_array(one, sync=False) if hasattr(one, ON_GPU) else one for one in given]
        kernel[-(-voxels // THREADS), THREADS, stream](*seen)

    def back(self, made: Any, to: Any) -> None:
        """Bring a map that was filled to where it belongs; into the host's memory once the lane has landed."""
        if is_on_device(to):
            if made is not to:
                to[...] = made
        elif to.size:
            staged = self._staged(to)
            bring_back(made, staged)
            self._coming.append((staged, to))

    def land(self) -> None:
        """Wait until all is done; then the lane is free for other voxels."""
        self.stream.synchronize()
        for staged, to in self._coming:
            to[...] = staged
        self._coming.clear()
        self._taken = 0

    def _staged(self, like: NDArray[Any]) -> NDArray[Any]:
        """Pinned memory for an array, where that of the same turn lay before the lane landed last."""
        size = prod(like.shape) * like.dtype.itemsize
        if self._taken == len(self._rooms):
            self._rooms.append(pinned(size))
        elif self._rooms[self._taken].size < size:
            self._rooms[self._taken] = pinned(size)
        self._taken += 1
        return self._rooms[self._taken - 1][:size].view(like.dtype).reshape(like.shape)
