"""Many small scans: what a scan costs beside its computation, what a rerun costs, and what kills cost."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cohort.commands import SMALL, bare, by_turns, digest, run, states
from benchmarks.cohort.killed import KILLS, killed
from bolus.phantom import Design, write_cohort, write_frame, write_session
from bolus_cluster.pool import spawned
from bolus_kernels.device import processors

MANY = int(os.environ.get("BOLUS_COHORT", "2000"))
ROUNDS = 3
Row = dict[str, Any]


def small_scans(root: Path) -> list[Row]:
    """Each round is the bare processes and the run, by turns: of their ratios the median."""
    data = root / "small"
    design = Design(MANY, **SMALL)
    write_frame(data, design)
    write = partial(write_session, data, design, session=1)
    deque(spawned(write, range(1, MANY + 1), processors()), maxlen=0)
    write_cohort(root / "one", 1, **SMALL)
    by_turns(run(root / "one", root / "first"))  # compiles what has to be
    rounds = [
        by_turns(bare(data, root / f"bare{k}"), run(data, root / f"out{k}", MANY)) for k in range(ROUNDS)
    ]
    out = root / "out0"
    took = median(one.wall for _, one in rounds)
    alone = median(one.processor for one, _ in rounds)
    beside = median(ours.processor / theirs.processor for theirs, ours in rounds) - 1
    grown = max(one.grown for _, one in rounds)
    again = by_turns(run(data, out))[0].wall
    kills, resumed = killed(data, root / "killed", MANY)
    same = digest(root / "killed") == digest(out)
    done = sum(state.startswith("done") for state in states(out))
    return [
        {
            "what": f"{MANY} small scans in one run, from the command to its end",
            "rate": MANY / took,
            "ratio": median(theirs.wall / ours.wall for theirs, ours in rounds),
            "against": "as many processes without ledger or scheduler",
        },
        {
            "what": "processor time of ledger, scheduler and driver",
            "said": f"{1000 * alone * beside / MANY:+.1f} ms a scan of {1000 * alone / MANY:.1f}: "
            f"{100 * beside:+.1f} % (5)",
            "value": beside,
        },
        {
            "what": "driver's memory, first tenth to last scan",
            "said": f"{grown:+.1f} MiB (50)",
            "value": grown,
            "failed": grown > 50,
        },
        {
            "what": f"running again over {MANY} scans",
            "said": f"{again:.1f} s (5)",
            "value": again,
            "failed": again > 5,
        },
        {
            "what": f"killed {kills} times at random, resumed",
            "said": f"{resumed} of {MANY} done, maps {'identical' if same else 'NOT identical'}; {done} undisturbed",
            "value": resumed,
            "failed": not (same and resumed == done == MANY and kills == KILLS),
        },
    ]
