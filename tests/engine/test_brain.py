"""The brain mask: skull off, tumour in, and no mask at all where there is no brain."""

import numpy as np
import pytest
from scipy import ndimage

from bolus.brain import brain_mask, otsu
from bolus.errors import Code

ZOOMS = (3.5, 3.5, 5.0)
SHAPE = (64, 64, 9)


def distance(shape=SHAPE, zooms=ZOOMS, at=(0, 0, 0)):
    """How far (mm) each voxel's centre lies from a point, given from the middle of the image."""
    axes = [(np.arange(n) - (n - 1) / 2) * zoom - c for n, zoom, c in zip(shape, zooms, at, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2)


def head(shape=SHAPE, zooms=ZOOMS, noise=15.0):
    """A brain (1000) of 75 mm radius, a dark skull from 75 to 83 mm, a scalp (600) to 90 mm, and noise."""
    radius = distance(shape, zooms)
    image = np.select([radius < 75, radius < 83, radius < 90], [1000.0, 40.0, 600.0], 10.0)
    return image + np.random.default_rng(1).normal(0, noise, shape), radius < 75


def ball(size, zooms):
    """Voxels within half a size (mm) of the middle one, at most three along an axis."""
    axes = [np.arange(-r, r + 1) * zoom for r, zoom in ((min(int(size / 2 / z), 3), z) for z in zooms)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= (size / 2) ** 2


def dice(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def test_the_brain_is_kept_and_skull_and_scalp_are_cut_off():
    image, brain = head()
    mask = brain_mask(image, ZOOMS, "x")
    assert mask.shape == SHAPE and mask.dtype == bool
    assert dice(mask, brain) > 0.97
    assert not mask[distance() > 83].any()
    assert ndimage.label(mask)[1] == 1


@pytest.mark.parametrize("level", [0.0, 100.0, 4000.0])
@pytest.mark.parametrize("at", [(30, 10, 0), (-20, -30, 10)])
def test_a_tumour_dark_or_bright_stays_inside(level, at):
    image, brain = head()
    tumour = (distance(at=at) < 20) & brain
    image[tumour] = level
    mask = brain_mask(image, ZOOMS, "x")
    assert mask[tumour].all()
    assert dice(mask, brain) > 0.97


@pytest.mark.parametrize("zooms", [(3.5, 3.5, 10.0), (1.75, 3.5, 2.5), (2.0, 2.0, 2.0)])
def test_anisotropic_voxels_change_nothing(zooms):
    shape = (*(int(224 / zoom) for zoom in zooms[:2]), 7)
    image, brain = head(shape, zooms)
    mask = brain_mask(image, zooms, "x")
    assert dice(mask, brain) > 0.97
    assert not mask[distance(shape, zooms) > 84].any()


@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_one_slice_is_enough(thickness):
    zooms = (3.5, 3.5, thickness)
    image, brain = head((64, 64, 1), zooms)
    mask = brain_mask(image, zooms, "x")
    assert dice(mask, brain) > 0.97


def test_voxels_without_a_number_are_passed_over():
    image, brain = head()
    image = image.astype(np.float32)
    image[30:33, 30:33, 4] = np.nan
    image[2, 2, 2] = np.inf
    image[0, 0, 0] = -np.inf
    mask = brain_mask(image, ZOOMS, "x")
    assert dice(mask, brain) > 0.97 and mask[31, 31, 4]


def test_stored_whole_numbers_do_as_well():
    image, brain = head()
    assert dice(brain_mask(np.rint(image).clip(0).astype(np.int16), ZOOMS, "x"), brain) > 0.97


@pytest.mark.parametrize(
    "image",
    [
        np.full(SHAPE, 7.0),
        np.zeros(SHAPE),
        np.full(SHAPE, np.nan),
        np.pad([[[900.0]]], ((9, 9), (9, 9), (3, 3))),
    ],
    ids=["constant", "zero", "nan", "one voxel"],
)
def test_an_image_without_a_brain_is_refused(refused, image):
    error = refused(brain_mask, image, ZOOMS, "sub-01_dsc.nii.gz")
    assert error.code is Code.DATA and error.file == "sub-01_dsc.nii.gz" and "label-brain_mask" in error.mend


def test_otsu_lies_between_two_classes():
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(10, 2, 3000), random.normal(100, 10, 1000)])
    assert abs((values > otsu(values)).sum() - 1000) <= 5


@pytest.mark.parametrize("shape", [(40, 33, 1), (64, 50, 8), (33, 64, 21)])
@pytest.mark.parametrize("zooms", [(3.5, 3.5, 5.0), (1.2, 2.5, 2.0)])
def test_the_mask_is_that_of_morphology_by_the_book(shape, zooms):
    random = np.random.default_rng(5)
    image = ndimage.gaussian_filter(random.normal(0, 1, shape), 3) + 0.02 * random.normal(0, 1, shape)
    image = (1000 * (image - image.min())).astype(np.float32)
    smooth = ndimage.gaussian_filter(image, 0.7)
    small, large = ball(4.0, zooms), ball(8.0, zooms)
    bright = smooth > otsu(smooth)
    opened = ndimage.binary_opening(bright, small)
    opened = opened if opened.any() else bright
    labels = ndimage.label(opened)[0]
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    wide = np.pad(largest, 4)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(wide, large), large, border_value=1) | wide
    expected = np.stack([ndimage.binary_fill_holes(closed[..., z]) for z in range(closed.shape[2])], axis=2)
    np.testing.assert_array_equal(brain_mask(image, zooms, "x"), expected[4:-4, 4:-4, 4:-4])
