"""Scans on disk for the tests of the door: one that can be read, and trees of empty files."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import BolusError
from bolus.read import read

DSC_FIELDS = {"EchoTime": 0.03, "RepetitionTime": 1.5, "FlipAngle": 90, "MagneticFieldStrength": 3}
ASL_FIELDS = {
    "ArterialSpinLabelingType": "PCASL",
    "PostLabelingDelay": 1.8,
    "LabelingDuration": 1.5,
    "BackgroundSuppression": False,
    "M0Type": "Separate",
    "MagneticFieldStrength": 3,
    "MRAcquisitionType": "3D",
    "RepetitionTimePreparation": 4.5,
}
CONTEXT = ("control", "label") * 3


class Tree:
    """One scan on disk that is good until a test changes it."""

    shape = (5, 4, 3)
    affine = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -80], [0, 0, 4, -30], [0, 0, 0, 1]])

    def __init__(self, root: Path, contrast: str, fields: dict):
        self.root, self.contrast, self.fields = root, contrast, dict(fields)
        self.perf = root / "sub-01/perf"
        self.perf.mkdir(parents=True)
        self.image = self.file(f"{contrast}.nii.gz")
        self.json = self.file(f"{contrast}.json")
        self.json.write_text(json.dumps(fields))
        self.derivatives = root / "derivatives/given"
        (self.derivatives / "sub-01/perf").mkdir(parents=True)

    def measured(self, volumes, dtype=np.int16):
        values = np.random.default_rng(3).integers(100, 30000, (*self.shape, volumes))
        return values.astype(dtype)

    def file(self, ending):
        return self.perf / f"sub-01_{ending}"

    def meta(self, **changes):
        fields = {key: value for key, value in (self.fields | changes).items() if value is not None}
        self.json.write_text(json.dumps(fields))

    def put(self, data, path=None, affine=None, step=None):
        image = nibabel.Nifti1Image(data, self.affine if affine is None else affine)
        if step:
            image.header.set_xyzt_units("mm", step[1])
            image.header["pixdim"][4] = step[0]
        nibabel.save(image, path or self.image)

    def give(self, ending, data=None, **options):
        path = self.derivatives / "sub-01/perf" / f"sub-01_{ending}"
        if isinstance(data, str):
            path.write_text(data)
        else:
            self.put(np.ones(self.shape, np.uint8) if data is None else data, path, **options)
        return path

    def context(self, *rows, head="volume_type"):
        self.file("aslcontext.tsv").write_text("\n".join((head, *rows)) + "\n")

    def read(self):
        (found,) = find_scans(self.root, derivatives=[self.derivatives])
        if found.problem:
            raise found.problem
        return read(found.scan)


@pytest.fixture
def dsc(tmp_path):
    tree = Tree(tmp_path, "dsc", DSC_FIELDS)
    tree.put(tree.measured(12))
    return tree


@pytest.fixture
def echoes(dsc):
    """A maker of a series of several echoes (s), with what they share in a sidecar without an echo."""

    def make(*times):
        dsc.image.unlink()
        dsc.meta(EchoTime=None)
        for number, time in enumerate(times, 1):
            dsc.put(dsc.measured(12) // number + 1, dsc.file(f"echo-{number}_dsc.nii.gz"))
            dsc.file(f"echo-{number}_dsc.json").write_text(json.dumps({"EchoTime": time}))
        return dsc

    return make


@pytest.fixture
def asl(tmp_path):
    tree = Tree(tmp_path, "asl", ASL_FIELDS)
    tree.put(tree.measured(6))
    tree.context(*CONTEXT)
    tree.put(tree.measured(1)[..., 0], tree.file("m0scan.nii.gz"))
    tree.file("m0scan.json").write_text(json.dumps({"RepetitionTimePreparation": 6.0}))
    return tree


@pytest.fixture
def scans(request):
    """The good scan of either contrast, by name."""
    return lambda name: request.getfixturevalue(name)


@pytest.fixture
def study(tmp_path):
    """A maker of files below a data set: `study("sub-01/perf/sub-01_dsc.nii.gz", ...)` gives its root."""
    root = tmp_path / "study"
    root.mkdir()

    def make(*names, **contents):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if name.endswith(".json") else "")
        for name, content in contents.items():
            (root / name).write_text(content)
        return root

    return make


@pytest.fixture
def refused():
    """Call a function that must refuse, and give its error, which must be one that helps."""

    def call(function, *args, **kwargs):
        with pytest.raises(BolusError) as caught:
            function(*args, **kwargs)
        error = caught.value
        assert error.file and error.seen and error.expected and error.mend
        return error

    return call
