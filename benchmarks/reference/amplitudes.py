"""Flow, arterial volume and noise of one voxel with their times given: two models, everything analytic."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import stdtr

Array = NDArray[Any]


class ArterialPrior(NamedTuple):
    """Of ATT (s), as `asl.Prior`; SD of CBF in ml/100g/min, of aBV in ml/ml; weight of s2; P(artery).

    arterial_lead : s, by how much blood is expected in the artery before the tissue.
    """

    att_mean: float
    att_sd: float
    cbf_sd: float
    abv_sd: float
    noise_weight: float
    arterial_probability: float
    arterial_lead: float = 0.3
    att_tail: float = 0.0


class Given(NamedTuple):
    """Log density, and first and second moments of (f, aBV, arrival), at each node; moments (2, 3, ...)."""

    log_density: Array
    moments: Array


def without(y: Array, g: Array, s2: float, prior: ArterialPrior) -> Given:
    """y = f g + noise, given ATT: a Student t in y, f normal-inverse-gamma; g : (m, t) s. Gives (m,).

    The priors of `benchmarks.reference.asl.multi_delay`; Gelman, Bayesian Data Analysis, 3rd ed., ch. 14.
    """
    nu, kappa = prior.noise_weight + len(y), s2 / (prior.cbf_sd / 6000) ** 2
    precision = kappa + np.sum(g * g, axis=-1)
    f = g @ y / precision
    residual = np.sum((y - f[:, None] * g) ** 2, axis=-1)
    scatter = prior.noise_weight * s2 + residual + kappa * f**2
    log_density = 0.5 * np.log(kappa / precision) - 0.5 * nu * np.log(scatter)
    none = np.zeros_like(f)
    second = f**2 + scatter / (nu - 2) / precision
    return Given(log_density, np.array([[f, none, none], [second, none, none]]))


def with_artery(y: Array, g: Array, h: Array, s2: float, prior: ArterialPrior) -> Given:
    """y = f g + aBV h + noise, given ATT and arrival, aBV >= 0; g, h : (..., t). Gives (...).

    (f, aBV) given sigma2 is normal with precision [[kf + g.g, g.h], [g.h, ka + h.h]]/sigma2; sigma2 integrated,
    aBV is Student t with nu = nu0 + n degrees, cut at 0 and renormalised in the prior, P(aBV > 0) = 1/2.
    The moments of a Student t cut at -z: E t = nu/(nu-1) (1 + z2/nu) p(z)/F(z),
    E t2 = nu [(nu-1)/(nu-2) F_{nu-2}(z sqrt((nu-2)/nu))/F(z) - 1].
    """
    nu = prior.noise_weight + len(y)
    kf, ka = s2 / (prior.cbf_sd / 6000) ** 2, s2 / prior.abv_sd**2
    gg, hh, gh = kf + np.sum(g * g, axis=-1), ka + np.sum(h * h, axis=-1), np.sum(g * h, axis=-1)
    gy, hy, det = g @ y, h @ y, gg * hh - gh**2
    f, a = (hh * gy - gh * hy) / det, (gg * hy - gh * gy) / det
    residual = np.sum((y - f[..., None] * g - a[..., None] * h) ** 2, axis=-1)
    scatter = prior.noise_weight * s2 + residual + kf * f**2 + ka * a**2
    width = np.sqrt(gg / det * scatter / nu)  # of the Student t of aBV
    z = a / width
    positive = stdtr(nu, z)
    log_density = 0.5 * np.log(kf * ka / det) - 0.5 * nu * np.log(scatter) + np.log(2 * positive)
    t1 = nu / (nu - 1) * (1 + z**2 / nu) * stats.t.pdf(z, nu) / positive
    t2 = nu * ((nu - 1) / (nu - 2) * stdtr(nu - 2, z * np.sqrt((nu - 2) / nu)) / positive - 1)
    slope = -gh / gg  # of f on aBV
    variance = scatter * (1 + t2 / nu) / (nu - 1) / gg  # of f given aBV, sigma2 averaged over aBV > 0
    first_f, first_a = f + slope * width * t1, a + width * t1
    second_f = f**2 + 2 * f * slope * width * t1 + (slope * width) ** 2 * t2 + variance
    second_a = a**2 + 2 * a * width * t1 + width**2 * t2
    return Given(log_density, np.array([[first_f, first_a], [second_f, second_a]]))
