"""Smoothing of images: the Gaussian is SciPy's, to the last bit of single precision but one."""

import numpy as np
import pytest
from scipy import ndimage

from bolus_kernels.smooth import gaussian


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 4), (2, 3, 130), (7, 1, 2), (20, 33, 64)])
@pytest.mark.parametrize("sigma", [0.3, 0.7, 2.0])
def test_it_is_the_gaussian_of_scipy(shape, sigma):
    image = np.random.default_rng(3).normal(100, 30, shape).astype(np.float32)
    expected = ndimage.gaussian_filter(image, sigma)
    np.testing.assert_allclose(gaussian(image, sigma), expected, rtol=2 * np.finfo(np.float32).eps)


def test_an_image_in_the_order_of_a_file_is_taken_as_it_lies():
    image = np.asfortranarray(np.random.default_rng(4).normal(size=(9, 8, 3)).astype(np.float32))
    np.testing.assert_array_equal(gaussian(image.T, 0.7), gaussian(image.T.copy(), 0.7))


def test_what_is_the_same_everywhere_stays_so():
    np.testing.assert_allclose(gaussian(np.full((3, 4, 5), 7.0, np.float32), 1.5), 7.0, rtol=1e-6)
