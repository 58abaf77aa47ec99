"""A site's file: where it is looked for, what its keys mean, how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bolus.errors import BolusError
from bolus_cluster.site import Site, find, load


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("BOLUS_SITE", raising=False)


def test_the_named_file_comes_first_then_the_variable_then_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(None) is None and load() == Site()
    own = written(tmp_path / "home" / ".config" / "bolus", "cpus = 2")
    assert find(None) == own and load().cpus == 2
    said = written(tmp_path / "said", "cpus = 3")
    monkeypatch.setenv("BOLUS_SITE", str(said))
    assert load().cpus == 3
    assert load(written(tmp_path / "named", "cpus = 4")).cpus == 4


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    text = 'partition = "gpu"\ngpus = 2\nmemory = "1.5 GiB"\nwalltime = "2-03:04:05"\nmodules = ["a", "b"]\n'
    site = load(written(tmp_path, text))
    assert (site.queue, site.gpus, site.modules) == ("gpu", 2, ("a", "b"))
    assert site.mebibytes == 1536
    assert site.seconds == ((2 * 24 + 3) * 60 + 4) * 60 + 5
    assert load(written(tmp_path, 'walltime = "12:30"')).seconds == 12 * 3600 + 30 * 60
    assert Site().mebibytes is Site().seconds is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('memroy = "8G"', "memory"),
        ('partion = "gpu"', "partition"),
        ('memory = "8"', "K, M, G or T"),
        ("memory = 8", "a text"),
        ('walltime = "2 days"', "hours:minutes"),
        ('walltime = "00:00:00"', "hours:minutes"),
        ("cpus = 0", "from 1"),
        ("cpus = true", "from 1"),
        ("gpus = -1", "from 0"),
        ('modules = "python"', "a list"),
        ('scheduler = "slrum"', "slurm"),
        ('queue = "a\\n#SBATCH --x"', "one line"),
        ('directives = ["a\\nrm"]', "one line"),
        ('logs = "here"', "slash"),
        ("cpus = ", "TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_with_the_right_word(
    tmp_path: Path, text: str, told: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BolusError, match="E_RECIPE") as refused:
        load(path)
    assert refused.value.file == str(path)
    assert told in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BolusError, match=r"E_RECIPE .*nowhere"):
        load(tmp_path / "nowhere.toml")
