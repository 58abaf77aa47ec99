"""Every benchmark by name: the file that measures it, the question that it answers, and whether `all` runs it."""

from __future__ import annotations

from typing import NamedTuple


class Benchmark(NamedTuple):
    """A module with a function `measure() -> rows`, its question, whether `all` runs it, and how to read its rows."""

    module: str
    question: str
    in_all: bool = True
    note: str = ""


GROWTH = (
    "In wall time on whatever else the machine was doing; with few scans, starting the workers is most of it."
)
PEERS = (
    "Level is the median of estimate over truth, a matter of scale and convention as well as of method; scatter the "
    "root mean square error left once the level is taken out, as a share of the mean truth. Tissue of five residues "
    "without leakage, signal to noise 50 (DSC), 8 delays with one pair each (ASL). Everyone with its own defaults, one "
    "core, and told what its documentation asks for. The delays of osipy's ASL model count from the start of labelling "
    "(0.1.4), so it was given both. asltk takes T1 of blood for that of tissue, and a scale of its own."
)
ACCURACY = (
    "Differences are shares of the value; what is below a hundredth of the map's mean size counts as that. The tests "
    "ask 1e-4 of a map in closed form, 0.01 of a search, and 0.05 to 0.2 SD of a posterior's mean."
)
BOUNDS = (
    "Posterior means under the simulation's own laws, noise told: nothing has a smaller mean square error. With the "
    "residue not told, the least geometric mean over residues. docs/limits.md says what follows."
)

BENCHMARKS = {
    "limits": Benchmark("benchmarks.limits", "What can this machine do at all?"),
    "kernels": Benchmark("benchmarks.kernels", "How many voxels a second does one core compute?"),
    "scan": Benchmark("benchmarks.scan", "How long does a whole scan take, files to files?"),
    "growth": Benchmark("benchmarks.growth", "How does a run grow with its scans and its workers?", False, GROWTH),
    "cohort": Benchmark("benchmarks.cohort", "How long does a cohort take, and what do kills cost?", False),
    "store": Benchmark("benchmarks.store", "How fast is one map, or one voxel, of all scans read?", False),
    "gpu": Benchmark("benchmarks.gpu.visit", "What does a GPU do, and does it agree with the CPU?", False),
    "accuracy": Benchmark("benchmarks.accuracy", "How near is each method to reference and truth?", note=ACCURACY),
    "peers": Benchmark("benchmarks.peers.compare", "How do others do on the same voxels?", note=PEERS),
    "aif": Benchmark("benchmarks.dsc.aif", "Is the arterial input found, and is its area right?"),
    "leakage": Benchmark("benchmarks.dsc.leakage", "What is left of leakage after its correction?"),
    "delays": Benchmark("benchmarks.dsc.delays", "Does flow depend on when the bolus arrives?"),
    "bayes": Benchmark("benchmarks.dsc.bayes", "Is the posterior nearer to the truth than oSVD, and honest?"),
    "bounds": Benchmark("benchmarks.dsc.bounds", "What can no estimator do better on the same voxels?", False, BOUNDS),
    "asl_mode": Benchmark("benchmarks.asl.mode", "Is the likeliest pair of flow and arrival found?", False),
    "asl_spatial": Benchmark("benchmarks.asl.spatial", "What does the spatial prior gain, and what does it lose?"),
    "asl_arrivals": Benchmark("benchmarks.asl.arrivals", "Does the prior of arrivals hold where blood is late?", False),
    "asl_bounds": Benchmark("benchmarks.asl.bounds", "How well can one voxel's flow be known at all?"),
    "asl_tissues": Benchmark("benchmarks.asl.tissues", "Is the flow of pure tissue told from mixed voxels?"),
}  # fmt: skip
"""In the order of the report."""

ALL, RESULTS = "all", "results"
"""Beside the names: every benchmark that `in_all` marks; and only the report, from the JSONs that are there."""
