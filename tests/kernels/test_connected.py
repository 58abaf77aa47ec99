"""Parts and holes of masks: those that SciPy's labels tell, at every width, corner and tie."""

import numpy as np
import pytest
from scipy import ndimage

from bolus_kernels.connected import filled, largest_part

SHAPES = [(1, 1, 1), (1, 1, 9), (1, 7, 1), (5, 1, 1), (2, 3, 4), (6, 17, 33), (9, 30, 64)]


def mask_of(shape, share, seed):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_the_largest_part_is_that_of_the_most_voxels(shape, share):
    for seed in range(5):
        mask = mask_of(shape, share, seed)
        labels, count = ndimage.label(mask)
        sizes = np.bincount(labels.ravel(), minlength=2)[1:]
        expected = labels == 1 + int(np.argmax(sizes)) if count else mask
        np.testing.assert_array_equal(largest_part(mask), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.6, 0.8, 1.0])
def test_holes_are_what_the_corner_does_not_reach_within_its_slice(shape, share):
    for seed in range(5):
        mask = mask_of(shape, share, seed)
        mask[:, 0, 0] = False
        expected = np.stack(
            [ndimage.label(~each)[0] != ndimage.label(~each)[0][0, 0] for each in mask]
        )  # slices: no path leads from one to the next
        np.testing.assert_array_equal(filled(mask), expected)


def test_a_slice_without_an_outside_is_full():
    mask = np.zeros((2, 3, 3), np.bool_)
    mask[1, 0, 0] = True
    assert not filled(mask)[0].any() and filled(mask)[1].all()


def test_parts_that_meet_late_are_one():
    comb = np.zeros((1, 4, 9), np.bool_)
    comb[0, :, ::2] = True
    comb[0, 3] = True
    np.testing.assert_array_equal(largest_part(comb), comb)
    np.testing.assert_array_equal(filled(np.pad(comb, ((0, 0), (1, 1), (1, 1))))[0, 1:-1, 1:-1], comb[0])


def test_a_mask_in_another_order_of_memory_is_the_same_mask():
    mask = mask_of((6, 17, 33), 0.5, 1)
    mask[:, 0, 0] = False
    for f in (largest_part, filled):
        np.testing.assert_array_equal(f(np.asfortranarray(mask)), f(mask))
        np.testing.assert_array_equal(f(mask[:, ::-1][:, ::-1]), f(mask))
