"""The benchmarks' door and their report: names resolve, the page is fresh, every target is listed and can be judged."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.catalogue import ALL, BENCHMARKS, RESULTS
from benchmarks.report.guide import GUIDE, filled
from benchmarks.report.page import NAME, NOTHING, figure, page, read, verdict
from benchmarks.report.plots import draw
from benchmarks.report.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_name_leads_to_a_file_that_measures(name):
    found = find_spec(BENCHMARKS[name].module)
    assert found is not None and found.origin is not None
    assert re.search(r"^def measure\(\) -> ", Path(found.origin).read_text(), re.M)
    assert BENCHMARKS[name].question.endswith("?")


def test_every_file_that_measures_has_a_name():
    named = {benchmark.module for benchmark in BENCHMARKS.values()}
    for file in (ROOT / "benchmarks").rglob("*.py"):
        if re.search(r"^def measure\(\)", file.read_text(), re.M):
            parts = file.relative_to(ROOT).with_suffix("").parts
            assert ".".join(parts).removesuffix(".__init__") in named, file


def test_the_door_names_them_all():
    command = [sys.executable, "-m", "benchmarks", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert all(name in said for name in (*BENCHMARKS, ALL, RESULTS))


def test_the_report_is_what_the_committed_results_say():
    fresh = page(read(FOLDER), sorted(path.name for path in FOLDER.glob("*.png")))
    assert (ROOT / "benchmarks" / NAME).read_text() == fresh, "stale: run `python -m benchmarks results`"


def test_the_guide_quotes_the_committed_results():
    text = GUIDE.read_text()
    assert text == filled(text, read(FOLDER)), "stale: run `python -m benchmarks results`"


def test_every_result_tells_of_its_machine_and_belongs_to_a_benchmark():
    files = sorted(FOLDER.glob("*.json"))
    assert files
    for file in files:
        assert file.stem in BENCHMARKS
        result = json.loads(file.read_text())
        assert {"processor", "python", "numpy", "commit"} <= set(result["machine"])
        assert result["rows"] and all("what" in row for row in result["rows"])


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: f"{one.benchmark}: {one.says}")
def test_a_target_is_listed_and_finds_its_numbers(target):
    assert target.benchmark in BENCHMARKS and target.relation in ("at least", "at most")
    results = read(FOLDER)
    line = verdict(target, results)
    assert line in (ROOT / "benchmarks" / NAME).read_text().splitlines()
    if target.benchmark in results:
        assert target.values(results[target.benchmark]["rows"]), "no row has such a number"
    else:
        assert NOTHING in line


def test_a_target_is_judged_by_its_worst_row():
    rows = [{"what": "a 1", "ratio": 3.0}, {"what": "a 2", "ratio": 1.0}, {"what": "b", "ratio": 9.0}]
    least = Target("kernels", "a", "a .*", "ratio", "at least", 2.0, "floor")
    most = least._replace(relation="at most")
    assert least.values(rows) == [3.0, 1.0]
    assert least.worst([3.0, 1.0]) == 1.0 and not least.met([3.0, 1.0])
    assert most.worst([3.0, 1.0]) == 3.0 and not most.met([3.0, 1.0]) and most.met([1.0])
    told = {"kernels": {"rows": rows}}
    assert "**missed**" in verdict(least, told) and "(1 of 2 rows)" in verdict(least, told)
    assert NOTHING in verdict(least, {})


def test_a_nested_field_and_an_opponent_are_found():
    row = {"what": "x", "against": "y", "cbf": {"scatter": 0.2}}
    nested = Target("peers", "x", "x", "cbf.scatter", "at most", 0.3, "floor", "y")
    assert nested.values([row]) == [0.2]
    assert nested._replace(against="z").values([row]) == []


def test_without_results_the_report_says_so(tmp_path):
    text = page(read(tmp_path), [])
    assert text.count(NOTHING) + text.count("Not yet measured") >= 2 * len(BENCHMARKS)
    assert "**missed**" not in text


def test_figures_keep_three_digits():
    assert figure(5498204.29) == "5,500,000"
    assert figure(0.0123456) == "0.0123"
    assert figure(99.94) == "99.9"
    assert figure(100.4) == "100"
    assert figure(0) == "0"


def test_plots_are_drawn_of_any_axis(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"what": f"{at} workers", "rate": 3.0 * at, "curve": {"of": "DSC", "over": "workers", "at": at}}
        for at in (1, 2, 4)
    ]
    (tmp_path / "kernels.json").write_text(json.dumps({"machine": {}, "rows": rows}))
    (tmp_path / "peers.json").write_text(json.dumps({"machine": {}, "rows": [{"what": "us", "rate": 2.0}]}))
    assert {path.name for path in draw(tmp_path)} == {"over_workers.png", "peers.png"}
    assert all(path.stat().st_size > 1000 for path in tmp_path.glob("*.png"))
