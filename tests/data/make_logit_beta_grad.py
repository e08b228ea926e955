"""Make logit_beta_grad.npz: the implicit derivative of a Beta draw, with 30 digits.

For z ~ Beta(a, b) it is d logit(z) / d a at a fixed quantile. Inputs are exact float32 numbers, a
and b log-uniform in [1e-6, 1e6], logit z over the whole range of quantiles. Every value is the
integral of the definition; a tenth of them are checked against a series that shares nothing with
it. Run once: `python tests/data/make_logit_beta_grad.py` (about ten minutes on two cores).
"""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 30
POINTS = 3000


def log_z(s):
    return -mp.log1p(mp.exp(-s)) if s > 0 else s - mp.log1p(mp.exp(s))


def by_quadrature(a, b, y):
    """-(dF / da) / f: the integral of (log z - E log z) f over the tail where it has one sign."""
    a, b, y = map(mp.mpf, (a, b, y))
    mean = mp.digamma(a) - mp.digamma(a + b)
    side = -1 if log_z(y) < mean else 1

    def exponent(t):
        s = y + side * t
        return a * (log_z(s) - log_z(y)) + b * (log_z(-s) - log_z(-y))

    def integrand(t):
        return side * (log_z(y + side * t) - mean) * mp.exp(exponent(t))

    end = mp.mpf(1)
    while exponent(end) > -70:
        end *= 2
    while exponent(end / 2) < -70:
        end /= 2
    # Panels that shrink towards the start, and around z = 1/2, where the exponent bends.
    cuts = {end * mp.mpf(2) ** -k for k in range(30)} | {mp.mpf(0)}
    bends = [-side * (y - sign * mp.mpf(2) ** k) for sign in (-1, 1) for k in range(-1, 30)]
    cuts |= {t for t in bends if 0 < t < end}
    return mp.quad(integrand, sorted(cuts), method="gauss-legendre", maxdegree=5)


def by_series(a, b, y):
    """The same from z^a (1 - z)^b / a sum_k (a + b)_k / (a + 1)_k z^k, or its mirror image."""
    with mp.workdps(80):
        a, b, y = map(mp.mpf, (a, b, y))
        n, mean = a + b, mp.digamma(a) - mp.digamma(a + b)
        lower = y < 0
        z = mp.exp(log_z(y if lower else -y))
        first = a if lower else b
        term, k = mp.mpf(1), 0
        slope = total = total_slope = mp.mpf(0)
        while term > mp.mpf(10) ** -75 * (1 + total) or (n + k) * z > first + 1 + k:
            total += term
            total_slope += term * slope
            slope += 1 / (n + k) - (1 / (a + 1 + k) if lower else 0)
            term *= (n + k) / (first + 1 + k) * z
            k += 1
        if lower:
            return (total / a - (log_z(y) - mean) * total - total_slope) / a
        return ((log_z(y) - mean) * total + total_slope) / b


def inputs(rng):
    """Parameters and a logit: a draw, or one of the far tails of a tenth of the points."""
    a, b = (np.float32(10 ** rng.uniform(-6, 6, POINTS)) for _ in range(2))

    def log_gamma(shape):
        boost = np.log(rng.uniform(size=POINTS)) / shape
        return np.log(rng.standard_gamma(shape + 1)) + boost

    y = log_gamma(np.float64(a)) - log_gamma(np.float64(b))
    # Six standard deviations out in the logarithm of x and of its rival.
    tail = rng.uniform(size=POINTS) < 0.1
    far = rng.choice([-6, 6], POINTS) * np.sqrt(1 / np.float64(a) + 1 / np.float64(b))
    y = np.where(tail, np.log(np.float64(a) / b) + np.clip(far, -1e4, 1e4), y)
    return a, b, np.float32(y)


def main():
    a, b, y = inputs(np.random.default_rng(0))
    rows = [tuple(map(float, row)) for row in zip(a, b, y, strict=True)]
    with ProcessPoolExecutor() as pool:
        values = list(pool.map(by_quadrature, *zip(*rows, strict=True), chunksize=20))
        cheap = [i for i in range(0, POINTS, 5) if rows[i][0] + rows[i][1] < 1e4][: POINTS // 10]
        others = pool.map(by_series, *zip(*(rows[i] for i in cheap), strict=True), chunksize=5)
        worst = max(abs(values[i] / other - 1) for i, other in zip(cheap, others, strict=True))
    print(f"{len(cheap)} checked by the series, the worst relative difference {float(worst):.1e}")
    assert worst < 1e-15
    path = Path(__file__).with_name("logit_beta_grad.npz")
    grad = np.array([float(value) for value in values])
    np.savez_compressed(path, a=a, b=b, logit=y, grad=grad)


if __name__ == "__main__":
    main()
