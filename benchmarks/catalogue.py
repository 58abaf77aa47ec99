"""Every benchmark by name: the file that measures it, the question that it answers, and whether `all` runs it."""

from __future__ import annotations

from typing import NamedTuple


class Benchmark(NamedTuple):
    """A module with a function `measure() -> rows`, its question, and whether it is part of `all`."""

    module: str
    question: str
    in_all: bool = True


BENCHMARKS = {
    "limits": Benchmark("benchmarks.limits", "What can this machine do at all?"),
    "kernels": Benchmark("benchmarks.kernels", "How many voxels a second does one core compute?"),
    "scan": Benchmark("benchmarks.scan", "How long does a whole scan take, files to files?"),
    "growth": Benchmark("benchmarks.growth", "How does a run grow with its scans and its workers?"),
    "cohort": Benchmark("benchmarks.cohort", "How long does a cohort take, and what do kills cost?", False),
    "store": Benchmark("benchmarks.store", "How fast is one map, or one voxel, of all scans read?", False),
    "gpu": Benchmark("benchmarks.gpu", "What does a GPU do, and does it agree with the CPU?", False),
    "accuracy": Benchmark("benchmarks.accuracy", "How near is each method to its reference, and to the truth?"),
    "peers": Benchmark("benchmarks.peers.compare", "How do others do on the same voxels?"),
    "aif": Benchmark("benchmarks.dsc.aif", "Is the arterial input found, and is its area right?"),
    "leakage": Benchmark("benchmarks.dsc.leakage", "What is left of leakage after its correction?"),
    "delays": Benchmark("benchmarks.dsc.delays", "Does flow depend on when the bolus arrives?"),
    "bayes": Benchmark("benchmarks.dsc.bayes", "Is the posterior nearer to the truth than oSVD, and honest?"),
    "asl_mode": Benchmark("benchmarks.asl.mode", "Is the likeliest pair of flow and arrival found?", False),
    "asl_spatial": Benchmark("benchmarks.asl.spatial", "What does the spatial prior gain, and what does it lose?"),
    "asl_arrivals": Benchmark("benchmarks.asl.arrivals", "Does the prior of arrivals hold where blood is late?", False),
    "asl_tissues": Benchmark("benchmarks.asl.tissues", "Is the flow of pure tissue told from mixed voxels?"),
}  # fmt: skip
"""In the order of the report."""

ALL, RESULTS = "all", "results"
"""Beside the names: every benchmark that `in_all` marks; and only the report, from the JSONs that are there."""
