"""The front door: quick to open, exact about what it refuses, with the exit codes of the contract."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bolus.phantom import write_cohort
from bolus_cluster.cli import main
from bolus_cluster.cli.door import SECTIONS
from bolus_cluster.ledger.lock import LOCKS, held
from bolus_cluster.workers import attempt
from bolus_kernels import device

OPEN = [sys.executable, "-c", "from bolus_cluster.cli import main; main()"]
HEAVY = {"numpy", "numba", "nibabel", "scipy", "dask", "distributed", "rich", "h5py"}


def bolus(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="bolus")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "data"
    write_cohort(folder, 1, shape=(24, 24, 4), volumes=40)
    return folder


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    took = []
    for _ in range(12):  # other tests run beside: the least is its own time
        started = time.perf_counter()
        said = subprocess.run([*OPEN, "--help"], check=True, capture_output=True, text=True).stdout
        took.append(time.perf_counter() - started)
    assert min(took) <= 0.3
    program = "import sys, bolus_cluster.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not HEAVY & set(loaded.stdout.split())
    for heading, commands in SECTIONS.items():
        assert heading in said
        assert all(command.name in said for command in commands if command.name)


def test_what_a_worker_imports_is_what_every_scan_needs() -> None:
    program = (
        "import sys; from bolus_kernels.shelf import shelf; import bolus.pipeline, bolus_cluster.workers.handful;"
        "shelf(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    found = set(loaded.stdout.split())
    assert "bolus_kernels.dsc.deconvolution.toeplitz" in found
    assert not {"numba.cuda", "cupy", "scipy.linalg", "scipy.special", "scipy.ndimage", "distributed"} & found
    assert not {name for name in found if name.startswith("bolus_kernels.") and name.endswith("cuda")}


@pytest.mark.parametrize("command", ["run", "submit", "status", "demo", "phantom", "methods", "doctor"])
def test_every_command_explains_itself(command: str) -> None:
    result = bolus(command, "--help")
    assert result.exit_code == 0
    assert "Usage: bolus" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rum",), "run"),
        (("run", "DATA", "out", "participant", "--wrokers", "2"), "--workers"),
        (("run", "DATA", "out", "group"), "no ledger"),
        (("run", "DATA", "out", "participants"), "participant"),
        (("run", "DATA", "out", "participant", "--shard", "3/2"), "k/N"),
        (("run", "DATA", "out", "participant", "--workers", "-1"), "--workers"),
        (("run", "DATA", "out", "participant", "--set", "dsc.deconvolutoin=csvd"), "dsc.deconvolution"),
        (("run", "DATA", "out", "participant", "--set", "dsc.deconvolution=osdv"), "osvd"),
        (("run", "DATA", "out", "participant", "--participant-label", "sub-1"), "01"),
        (("run", "DATA/sub-01", "out", "participant"), "E_PATH"),
        (("run", "nowhere", "out", "participant"), "E_PATH"),
        (("run", "DATA", "DATA", "participant"), "E_PATH"),
        (("status", "DATA"), "E_PATH"),
        (("verify", "DATA"), "E_PATH"),
    ],
)
def test_a_wrong_request_ends_with_2_and_says_what_is_right(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = bolus(*(argument.replace("DATA", str(data)) for argument in arguments))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_says_what_was_seen_what_was_expected_and_what_to_do(tmp_path: Path) -> None:
    lines = bolus("run", tmp_path / "nowhere", tmp_path / "out", "participant").stderr.splitlines()
    assert lines[0] == f"E_PATH  {tmp_path / 'nowhere'}"
    assert [line.split()[0] for line in lines[1:4]] == ["saw", "expected", "do"]


def test_a_setting_that_changes_nothing_is_told(data: Path, tmp_path: Path) -> None:
    given = ("run", data, tmp_path / "out", "participant", "--dry-run", "--set", "dsc.csvd.threshold=0.15")
    assert (
        bolus(*given).stderr
        == "dsc.csvd.threshold is set, but this recipe does not use csvd: it changes nothing\n"
    )
    assert bolus(*given, "--set", "dsc.deconvolution=csvd").stderr == ""


def test_a_dry_run_writes_nothing(data: Path, tmp_path: Path) -> None:
    result = bolus("run", data, tmp_path / "out", "participant", "--dry-run")
    assert result.exit_code == 0
    assert "sub-01_asl  new" in result.stdout
    assert "2 scans to compute, 0 stand as they are" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_run_its_status_and_its_failure(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = bolus("run", data, out, "participant", "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "2 scans: 2 done" in result.stdout
    assert "\r" not in result.stderr
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["sub-01_asl", "sub-01_dsc"]
    sidecar = data / "sub-01" / "perf" / "sub-01_asl.json"
    good = sidecar.read_text()
    sidecar.write_text("{}")
    try:
        result = bolus("run", data, out, "participant", "--workers", 0, "-v")
    finally:
        sidecar.write_text(good)
    assert result.exit_code == 1
    assert "sub-01_asl  changed input: sub-01/perf/sub-01_asl.json" in result.stdout
    assert "1 done, 1 failed; 1 stood as they were" in result.stdout
    status = bolus("status", out)
    assert status.exit_code == 0
    assert "2 scans: 1 done, 1 failed" in status.stdout
    assert "sub-01_asl  E_META" in status.stdout
    with held(out, 2):
        assert "running: process" in bolus("status", out).stdout


def test_a_folder_in_use_ends_with_3(data: Path, tmp_path: Path) -> None:
    with held(tmp_path, 1):
        result = bolus("run", data, tmp_path, "participant", "--workers", 0)
    assert result.exit_code == 3
    assert "E_LOCKED" in result.stderr
    assert list((tmp_path / LOCKS).iterdir()) == []


def test_no_gpu_where_one_is_demanded_ends_with_3(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "why_no_cuda", lambda: "no driver answers")
    result = bolus("run", data, tmp_path / "out", "participant", "--device", "cuda")
    assert result.exit_code == 3
    assert "E_DEVICE" in result.stderr and "no driver answers" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_ledger_ends_with_3(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attempt, "enter", full)
    result = bolus("run", data, tmp_path / "out", "participant", "--workers", 0, "--modality", "asl")
    assert result.exit_code == 3
    assert "E_SPACE" in result.stderr


def test_a_mistake_in_bolus_shows_its_traceback_and_ends_with_3(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*given: object) -> None:
        raise ZeroDivisionError("nothing to divide")

    monkeypatch.setattr("bolus_cluster.plan.plan", mistaken)
    result = bolus("run", data, tmp_path / "out", "participant")
    assert result.exit_code == 3
    assert "E_INTERNAL" in result.stderr and "Traceback" in result.stderr


def test_the_shelf_is_shown_whole() -> None:
    from bolus_kernels.shelf import shelf

    said = bolus("methods").stdout
    for method in shelf().values():
        assert method.name in said
        assert all(method.ending(name) in said for name in method.maps)
        assert all(name in said for name in method.parameters)


def test_the_printed_recipe_is_the_default(tmp_path: Path) -> None:
    from bolus.recipe import load

    printed = tmp_path / "recipe.toml"
    printed.write_text(bolus("methods", "--recipe").stdout)
    assert load(printed).hash == load(None).hash


def test_the_doctor_knows_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_no_cuda", lambda: "no driver answers")
    said = bolus("doctor").stdout
    assert re.search(r"^cuda +none: no driver answers$", said, re.M)
    for word in ("numpy", "numba", "kernel cache", "bolus_kernels", sys.executable):
        assert word in said


def test_a_phantom_is_made_to_measure(tmp_path: Path) -> None:
    made = bolus(
        "phantom", tmp_path / "p", "--subjects", 2, "--shape", 12, 12, 2, "--volumes", 24, "--contrast", "dsc"
    )
    assert made.exit_code == 0, made.output
    assert sorted(path.name for path in (tmp_path / "p").glob("sub-*")) == ["sub-01", "sub-02"]
    assert not list((tmp_path / "p").rglob("*_asl.nii.gz"))


def test_the_group_level_makes_one_cohort_and_verify_finds_it_whole(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    early = bolus("run", data, out, "group")
    assert early.exit_code == 2 and "no ledger" in early.stderr and not out.exists()
    assert bolus("run", data, out, "participant", "--workers", 1, "--modality", "asl").exit_code == 0
    # The inputs are not asked for: any folder does.
    said = bolus("run", tmp_path / "nowhere", out, "group", "--rechunk", "--portable", "--workers", 1)
    assert said.exit_code == 0, said.output
    assert re.match(r"1 of 1 scans, \d+ maps on 1 grid \(asl/\d+x\d+x\d+\), \d+\.\d MB", said.stdout)
    assert (out / "cohort.h5").is_file() and (out / "numbers.csv").is_file()
    whole = bolus("verify", out)
    assert whole.exit_code == 0 and "all as they were written" in whole.stdout
    with held(out, 1):
        busy = bolus("run", data, out, "group")
    assert busy.exit_code == 3 and "E_LOCKED" in busy.stderr
    image = next(out.rglob("*_cbf.nii.gz"))
    image.write_bytes(image.read_bytes()[:-1])
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    sidecar.write_text("{}")
    assert bolus("verify", out).stdout.count("damaged  ") == 2
    # The store stands: it is what the scan's record says, whatever became of the files since.
    assert bolus("run", data, out, "group", "--portable").exit_code == 0
    left_out = bolus("run", data, out, "group")
    assert left_out.exit_code == 1 and "left out  E_CORRUPT" in left_out.stdout


def test_options_of_one_level_are_refused_at_the_other(data: Path, tmp_path: Path) -> None:
    for option in (("--participant-label", "01"), ("--shard", "1/2"), ("--recipe", "r.toml"), ("--dry-run",)):
        said = bolus("run", data, tmp_path / "out", "group", *option)
        assert said.exit_code == 2 and f"{option[0]} has no meaning" in said.stderr
    for option in ("--rechunk", "--portable"):
        said = bolus("run", data, tmp_path / "out", "participant", option)
        assert said.exit_code == 2 and "level `group`" in said.stderr
    assert list(tmp_path.iterdir()) == []
