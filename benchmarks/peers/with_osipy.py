"""osipy over the voxels of a benchmark, by its documented functions; run by an interpreter that has it, not by ours."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

ROUNDS = 3


def main(told: Any, out: str) -> None:
    """Maps to `out`, one line of JSON with versions and CPU seconds to the terminal."""
    from osipy.asl.quantification.multi_pld import MultiPLDParams, quantify_multi_pld
    from osipy.dsc import compute_perfusion_maps

    def deconvolved(name: str) -> dict[str, Any]:
        curves = told["dsc"].reshape(-1, 1, 1, told["dsc"].shape[1])
        maps = compute_perfusion_maps(curves, told["aif"], told["times"], deconvolution_method=name)
        return {"cbf": maps.cbf.values, "mtt": maps.mtt.values, "cbv": maps.cbv.values}

    def fitted(delays: Any) -> dict[str, Any]:
        parameters = MultiPLDParams(
            plds=1000 * delays,
            label_duration=1000 * float(told["duration"]),
            t1_blood=1000 * float(told["t1_blood"]),
            t1_tissue=1000 * float(told["t1_tissue"]),
            partition_coefficient=float(told["partition"]),
            labeling_efficiency=float(told["efficiency"]),
        )
        m0 = 1 / float(
            told["partition"]
        )  # its model takes the M0 of blood; the curves are fractions of tissue's
        maps = quantify_multi_pld(told["asl"].reshape(-1, 1, 1, len(delays)), m0, parameters)
        return {"cbf": maps.cbf_map.values, "att": maps.att_map.values / 1000}

    works: dict[str, Callable[[], dict[str, Any]]] = {
        "cSVD": lambda: deconvolved("cSVD"),
        "oSVD": lambda: deconvolved("oSVD"),
        "multi-PLD, given delays": lambda: fitted(told["delays"]),
        "multi-PLD, given delay + duration": lambda: fitted(told["delays"] + told["duration"]),
    }
    found: dict[str, Any] = {}
    seconds = {}
    for name, work in works.items():
        maps = work()
        found |= {f"{name}/{key}": np.asarray(values, np.float64).ravel() for key, values in maps.items()}
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
        seconds[name] = min(spent)
    np.savez(out, **found)
    print(json.dumps({"version": version("osipy"), "numpy": np.__version__, "seconds": seconds}))


if __name__ == "__main__":
    main(dict(np.load(sys.argv[1])), sys.argv[2])
