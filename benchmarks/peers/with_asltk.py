"""asltk over the voxels of a benchmark, as it documents; run by an interpreter that has it, not by ours."""

from __future__ import annotations

import json
import resource
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np


def main(told: Any, out: str) -> None:
    """Maps to `out`, one line of JSON with versions and CPU seconds (its own processes included) to the terminal."""
    import SimpleITK
    from asltk.asldata import ASLData
    from asltk.reconstruction import CBFMapping
    from asltk.utils.io import ImageIO

    curves = told["asl"]
    with TemporaryDirectory() as folder:
        # (echo, delay, z, y, x), and M0 of blood, as its model has it; the curves are fractions of the tissue's
        series = np.ascontiguousarray(1000 * curves.T[None, :, None, None, :], np.float32)
        m0 = np.full((1, 1, len(curves)), 1000 / float(told["partition"]), np.float32)
        calibration = str(Path(folder) / "m0.nii")
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(m0, isVector=False), calibration)
        data = ASLData(
            pcasl=series,  # a NIfTI file would lose the axis of one echo, which the fit expects
            m0=calibration,
            ld_values=[1000 * float(told["duration"])] * curves.shape[1],
            pld_values=[1000 * float(delay) for delay in told["delays"]],
        )
        mapping = CBFMapping(data)
        mapping.set_brain_mask(ImageIO(image_array=np.ones(m0.shape, np.uint8)))
        began = _spent()
        maps = mapping.create_map(cores=1)
        seconds = _spent() - began
        cbf = np.asarray(maps["cbf_norm"].get_as_numpy(), np.float64).ravel()
        att = np.asarray(maps["att"].get_as_numpy(), np.float64).ravel() / 1000
    np.savez(out, **{"CBFMapping/cbf": cbf, "CBFMapping/att": att})
    said = {"version": version("asltk"), "numpy": np.__version__, "seconds": {"CBFMapping": seconds}}
    print("\n" + json.dumps(said))


def _spent() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(dict(np.load(sys.argv[1])), sys.argv[2])
