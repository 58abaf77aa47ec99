"""Where a run lives: a small or read-only disk, another user, no home, few files, no network."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import bolus_kernels
from tests.cluster.broken import Place, place, says, text, voxels
from tests.cluster.tools import bolus, table

SCANS = ["sub-01_asl", "sub-01_dsc", "sub-02_asl", "sub-02_dsc"]
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
SPAWN = "import multiprocessing as m; p = m.get_context('spawn').Process(target=print); p.start(); p.join(); exit(p.exitcode)"
"""Whether a process can start another: not where the Python below the environment is in a folder shut to its user."""
LOOPBACK = 'ip link set lo up && exec "$@"'


def works(*command: str) -> bool:
    """Whether a command can be given here at all."""
    return (
        shutil.which(command[0]) is not None and not subprocess.run(command, capture_output=True).returncode
    )


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A maker of file systems in memory: `mounted("size=2m")` gives the folder of one."""
    made: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if not works(*command):
            pytest.skip("no file system can be mounted here (it takes root, or a user namespace)")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may reach, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for below in folder.rglob("*"):
        if below.is_dir():
            below.chmod(0o755)
    shutil.rmtree(folder)


def nobody_words() -> tuple[str, ...]:
    """The words that let a command run as another user than root, for root may read and write everything."""
    if os.geteuid() != 0:
        return ()
    if not works(*AS_NOBODY, sys.executable, "-c", "import bolus_cluster.cli, bolus.pipeline, scipy.ndimage"):
        pytest.skip(f"user {NOBODY} cannot run {sys.executable} here")
    return AS_NOBODY


@pytest.fixture
def nobody() -> tuple[str, ...]:
    return nobody_words()


def run(
    data: Path, out: Path, *options: object, workers: int = 1, **how: object
) -> subprocess.CompletedProcess[str]:
    return bolus("run", data, out, "participant", "--workers", workers, *options, **how)


def final(out: Path) -> dict[str, bytes]:
    """Every map and sidecar under its final name."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.glob("sub-*/perf/*")
        if not path.name.startswith(".")
    }


@pytest.mark.parametrize(("left", "workers"), [(150, 1), (320, 2), (0, 1)])
def test_a_full_disk_costs_no_scan_its_row_and_leaves_no_half_map(
    shared: Path, mounted: Callable[..., Path], left: int, workers: int
) -> None:
    out = mounted("size=2m")
    others = out / "of-others.bin"
    with others.open("wb") as file:
        file.write(bytes((2048 - left) << 10))
    said = run(shared / "data", out, workers=workers)
    whole = final(shared / "maps")
    assert all(whole[name] == content for name, content in final(out).items())
    assert "E_SPACE" in said.stderr and str(out) in said.stderr and "Traceback" not in said.stderr
    if said.returncode == 1:
        rows = {row["scan"]: row for row in table(out)}
        assert sorted(rows) == SCANS
        failed = [row for row in rows.values() if row["state"] == "failed"]
        assert failed and all(
            (row["code"], row["file"][: len(str(out))]) == ("E_SPACE", str(out)) for row in failed
        )
    else:
        assert said.returncode == 3
    others.unlink()
    said = run(shared / "data", out)
    assert said.returncode == 0, said.stderr
    assert final(out) == whole
    assert [row["state"] for row in table(out)] == ["done"] * 4
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]


def test_maps_alone_fill_a_disk(shared: Path, mounted: Callable[..., Path], tmp_path: Path) -> None:
    """The file system's two megabytes are taken by this run alone, of many scans."""
    for number in range(14):
        for kind in ("dsc", "asl"):
            place(shared / "data", tmp_path / kind, f"{number:02d}", kind)
        shutil.copytree(tmp_path / "asl", tmp_path / "data", dirs_exist_ok=True)
        shutil.copytree(tmp_path / "dsc", tmp_path / "data", dirs_exist_ok=True)
    out = mounted("size=2m")
    said = run(tmp_path / "data", out)
    assert f"E_SPACE  {out}" in said.stderr
    if said.returncode == 1:  # the disk had room for the ledger still
        rows = table(out)
        assert len(rows) == 28
        assert {row["code"] for row in rows if row["state"] == "failed"} == {"E_SPACE"}
    else:
        assert said.returncode == 3
    subprocess.run(["mount", "-o", "remount,size=32m", out], check=True)
    said = run(tmp_path / "data", out)
    assert said.returncode == 0 and len(table(out)) == 28
    assert run(tmp_path / "data", tmp_path / "out").returncode == 0
    assert final(out) == final(tmp_path / "out")


def test_a_read_only_disk_is_told_and_ends_with_3(shared: Path, mounted: Callable[..., Path]) -> None:
    out = mounted("ro")
    said = run(shared / "data", out)
    assert said.returncode == 3
    assert f"E_PERM  {out}" in said.stderr and "a read-only file system" in said.stderr
    assert "Traceback" not in said.stderr and not list(out.iterdir())


def test_an_output_folder_of_another_is_told_and_ends_with_3(
    shared: Path, open_folder: Path, nobody: tuple[str, ...]
) -> None:
    data = shutil.copytree(shared / "data", open_folder / "data")
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o555)
    for out in (open_folder / "out", open_folder / "out" / "new"):
        said = run(data, out, before=nobody)
        assert said.returncode == 3
        assert f"E_PERM  {open_folder / 'out'}" in said.stderr and "chmod" in said.stderr
        assert "Traceback" not in said.stderr and not list((open_folder / "out").iterdir())


def test_few_open_files_are_enough(shared: Path, tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    said = run(shared / "data", tmp_path / "out", workers=2, preexec_fn=few)
    assert said.returncode == 0, said.stderr
    assert final(tmp_path / "out") == final(shared / "maps")


def test_local_workers_need_no_network(shared: Path, tmp_path: Path) -> None:
    apart = ("unshare", "--net", "sh", "-c", LOOPBACK, "sh")
    if not works(*apart, "true"):
        pytest.skip("no network namespace can be made here (it takes root, unshare and ip)")
    said = run(shared / "data", tmp_path / "out", workers=2, before=apart)
    assert said.returncode == 0, said.stderr
    assert final(tmp_path / "out") == final(shared / "maps")


@dataclass(frozen=True)
class Stranger:
    """A run of a user without a home, who may not read everything, nor write where bolus is installed."""

    said: subprocess.CompletedProcess[str]
    out: Path
    shut: dict[str, Path]
    changed: bool


@pytest.fixture(scope="module")
def stranger(shared: Path) -> Iterator[Stranger]:
    words = nobody_words()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root, out, shut = folder / "data", folder / "out", {}
    for name, hidden in {"image": "dsc.nii.gz", "words": "dsc.json", "listing": "", "looking": ""}.items():
        at = place(shared / "data", root, name, "dsc")
        shut[name] = at.file(hidden) if hidden else at.perf
    shut["m0"] = one_delay(place(shared / "data", root, "m0", "asl")).file("m0scan.nii.gz")
    for name in ("good", "well"):
        one_delay(place(shared / "data", root, name, "asl"))
    for name, path in shut.items():
        path.chmod(0o444 if name == "looking" else 0)
    out.mkdir()
    out.chmod(0o777)
    installed = Path(bolus_kernels.__file__).parent
    homeless = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    workers = int(works(*words, sys.executable, "-c", SPAWN))
    said = run(root, out, workers=workers, before=words, env=homeless)
    # By its owner: other tests compile kernels there meanwhile, as the user who installed it.
    changed = any(path.stat().st_uid == NOBODY for path in sorted(installed.rglob("*")) if path.exists())
    yield Stranger(said, out, shut, changed)
    for path in shut.values():
        path.chmod(0o755)
    shutil.rmtree(folder)


def one_delay(at: Place) -> Place:
    """The scan with one of its delays: the quickest there is to compile and compute."""
    for spoil in (
        voxels(lambda values: values[..., -4:]),
        says(PostLabelingDelay=1.8, TotalAcquiredPairs=2),
        text(lambda rows: "volume_type\n" + "control\nlabel\n" * 2, "aslcontext.tsv"),
    ):
        spoil(at)
    return at


def test_what_one_may_not_read_is_a_row_and_all_else_is_done(stranger: Stranger) -> None:
    assert stranger.said.returncode == 1, stranger.said.stderr
    rows = {row["file"]: row for row in table(stranger.out) if row["state"] == "failed"}
    assert len(rows) == len(stranger.shut)
    for path in stranger.shut.values():
        (row,) = [row for file, row in rows.items() if file.startswith(str(path))]
        assert row["code"] == "E_PERM" and "chmod" in row["message"]


def test_no_home_and_an_install_that_one_may_not_write_to(stranger: Stranger) -> None:
    done = [row["scan"] for row in table(stranger.out) if row["state"] == "done"]
    assert done == ["sub-good_asl", "sub-well_asl"]
    assert "Traceback" not in stranger.said.stderr
    assert not stranger.changed or os.geteuid() != 0
