"""Fit the short series of float32: two of `numerics/dirichlet_kl.py`, one of `numerics/beta.py`.

Each is the polynomial of its degree with the smallest largest error, found by a linear program on
400 Chebyshev points. For the divergence that error is relative to what the series becomes a part
of: Stirling's to the trigamma function, the logarithm's to `u - log(1 + u)`. It prints each with
its error, and the error of the coefficients that the library has:
`python tests/data/make_series.py`, a second.
"""

import numpy as np
from scipy import special
from scipy.optimize import linprog

from jaxvae.numerics import beta, dirichlet_kl

BEYOND = 1e4  # float32 does not see the rest of these series further out


def chebyshev(low, high, count=400):
    return low + (high - low) * (np.cos(np.linspace(0, np.pi, count)) + 1) / 2


def stirling():
    """Of the second derivative of Stirling's series, for X from two on."""
    x = 1 / chebyshev(1 / BEYOND, 1 / 2)
    exact = special.polygamma(1, x)
    terms = [2 * i * (2 * i - 1) * x ** (-2 * i - 1) for i in range(1, 5)]
    return np.stack(terms, axis=1) / exact[:, None], (exact - 1 / x - 1 / (2 * x**2)) / exact


def atanh():
    """Of (2 atanh(s) - 2 s) / s^3 in q = s^2 up to 1/9, for the negative s, which is the worse."""
    q = chebyshev(1e-8, 1 / 9)
    s = np.sqrt(q)
    by_terms = sum(2 / (2 * i + 3) * q**i for i in range(25))
    u = -2 * s / (1 + s)
    weight = s * q / (u - np.log1p(u))
    return np.stack([q**i for i in range(4)], axis=1) * weight[:, None], by_terms * weight


def digamma():
    """Of digamma(h + 1/2) - log(h), for h from 3/2 on."""
    h = 1 / chebyshev(1 / BEYOND, 2 / 3)
    terms = [h ** (-2.0 * i) for i in range(1, 5)]
    return np.stack(terms, axis=1), special.digamma(h + 0.5) - np.log(h)


def minimax(terms, values):
    """The coefficients whose largest error is the smallest."""
    scale, unit = np.abs(terms).max(axis=0), np.abs(values).max() * 1e-5
    scaled, goal, one = terms / (scale * unit), values / unit, np.ones((len(values), 1))
    found = linprog(
        np.append(np.zeros(terms.shape[1]), 1),
        A_ub=np.block([[scaled, -one], [-scaled, -one]]),
        b_ub=np.append(goal, -goal),
        bounds=[(None, None)] * terms.shape[1] + [(0, None)],
    )
    return found.x[:-1] / scale


def main():
    kl = dirichlet_kl._FITTED
    for series, own in (
        (stirling, kl.stirling),
        (atanh, kl.atanh),
        (digamma, beta._FITTED_SERIES),
    ):
        terms, values = series()
        best = minimax(terms, values)
        error, own_error = (np.abs(terms @ c - values).max() for c in (best, own))
        print(f"{series.__name__}: {tuple(float(f'{c:.9g}') for c in best)}")
        print(f"  largest error {error:.2e}; of the library's coefficients {own_error:.2e}")


if __name__ == "__main__":
    main()
