"""The house itself: style, types, the law of imports, the size of rooms, captions, and one test command."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SOURCES = sorted(
    file for root in ("kernels", "engine", "cluster", "benchmarks") for file in (ROOT / root).rglob("*.py")
)


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "--strict"],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_a_judge_of_style_or_structure_has_no_complaint(command):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_room_is_too_large():
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_opens_with_its_caption_and_public_functions_are_explained(file):
    tree = ast.parse(file.read_text())
    caption = ast.get_docstring(tree)
    assert caption and caption.splitlines()[0].endswith((".", ";", ","))
    silent = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def owner(name):
    """Which files import a package, as `kernels/bolus_kernels/device.py`."""
    pattern = re.compile(rf"^\s*(?:import|from) {name}\b|import_module\(\"{name}\"\)", re.M)
    return {str(file.relative_to(ROOT)) for file in SOURCES if pattern.search(file.read_text())}


def test_a_heavy_library_has_one_owner():
    assert owner("cupy") == {"kernels/bolus_kernels/device.py"}
    assert owner("nibabel") == {"engine/bolus/nifti.py"}
    assert {Path(name).parent.name for name in owner("h5py") | owner("hdf5plugin")} == {"store"}
    rooms = {
        Path(name).parent.as_posix()
        for package in ("dask", "distributed", "dask_jobqueue")
        for name in owner(package)
    }
    assert rooms <= {"cluster/bolus_cluster/workers"}


def test_continuous_integration_runs_the_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- test -->\n```\w*\n(.+?)\n```", readme, re.S)
    assert block and "pytest" in block.group(1) and "[test]" in block.group(1)
    script = (ROOT / ".ci" / "run").read_text()
    assert "<!-- test -->" in script and "pytest" not in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
