"""Fit the five nodes and weights of `numerics/beta.py` to the integrands that occur.

The unknowns are the 5 x 8 coefficients of `beta._RULE`. What is made small, by Gauss-Newton steps
on the p-th power with p from 2 to 64, is the largest relative error that the rule makes in the
derivative, over laws with the smaller parameter up to 128 and the larger one up to 1e12. It prints
the table, and the largest error at a million points that it has not seen. Run once:
`python tests/data/make_beta_rule.py` (a minute on a core). Another machine may end in other digits
of a table as good.
"""

import jax
import numpy as np
from scipy import special

from jaxvae.numerics import beta


def laws(rng, count):
    """Parameters and a logit: draws, points out to six standard deviations, and near the switch."""
    exponents = np.where(rng.random(count) < 0.5, -6, -2)
    small = 10 ** rng.uniform(exponents, np.log10(128))
    large = 10 ** np.where(
        rng.random(count) < 0.7, rng.uniform(-6, 6, count), rng.uniform(-2, 12, count)
    )
    swap = rng.random(count) < 0.5
    a, b = np.where(swap, large, small), np.where(swap, small, large)

    def log_gamma(shape):
        return np.log(rng.gamma(shape + 1)) + np.log(rng.random(count)) / shape

    drawn = log_gamma(a) - log_gamma(b)
    mean = special.digamma(a) - special.digamma(b)
    far = 6 * np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
    wide = mean + np.clip((drawn - mean) * rng.uniform(0, 4, count), -far, far)
    log_z = np.where(
        b < 1e-3,
        -b * special.polygamma(1, a + 1 + b / 2),
        special.digamma(a + 1) - special.digamma(a + b + 1),
    ) * np.exp(rng.uniform(-1, 1, count) * 10 ** rng.uniform(-3, 0.7, count))
    switch = log_z - np.log(-np.expm1(np.minimum(log_z, -1e-300)))
    kind = rng.random(count)
    return a, b, np.where(kind < 0.35, drawn, np.where(kind < 0.65, wide, switch))


def integrands(a, b, logit):
    """What `beta._logit_beta_grad` has before it sums, and the sum that is right, by 32 nodes."""
    gap, _, odds, _ = (np.asarray(v) for v in beta._gap(a, b, logit, 12, beta._SERIES))
    lower = logit < 0
    below = np.where(lower, b * odds, b) <= (a + 0.53) * np.where(lower, 1, odds)
    grow, rest = np.where(below, a, b) + 1, np.where(below, b, a) - 1
    rho = np.where(below == lower, odds, 1 / odds)
    edge = np.where(below, gap, -a * gap)
    start, step = np.where(below, edge, 1 + edge), np.where(below, -1, a)
    end, nodes = beta._gauss_legendre(grow, rest, rho)
    part = {"grow": grow, "rest": rest, "rho": rho, "start": start, "step": step, "below": below}
    nodes = [(np.asarray(x), np.asarray(weight)) for x, weight in nodes]
    # The rule for float64 takes the other line at some of these points, and here loses 3e-9.
    part["exact"] = end * sum(weight * integrand(part, -end * x)[0] for x, weight in nodes)
    n = a + b
    total = edge + np.where(below, 1, b) / n + n * rho * part["exact"]
    part["share"] = n * rho / total  # of an error of the integral in the derivative
    part["end"], part["terms"] = terms(grow, rest, rho)
    return {key: np.asarray(value) for key, value in part.items()}


def terms(grow, rest, rho):
    """The length of `beta._fitted`, and 1 with the three terms that it combines."""
    bend = np.maximum(rest, 0) * rho
    slope = np.maximum(grow - bend, 0)
    pace = slope + np.sqrt(slope**2 + 8 * (1 + rho) * bend)
    layer = 1 / np.sqrt(1 + 0.3 * rho * 8 / pace)
    return 8 / pace, np.stack([np.ones_like(rho), layer**2, layer, pace / (2 * grow)])


def integrand(part, t):
    """Its value at t, and its derivative."""
    v = -np.expm1(np.minimum(t, 0))  # an attempt may leave the range
    d, slope = np.log1p(part["rho"] * v), -part["rho"] * (1 - v) / (1 + part["rho"] * v)
    factor = part["start"] + part["step"] * np.where(part["below"], t, d)
    factor_slope = part["step"] * np.where(part["below"], 1, slope)
    density = np.exp(np.maximum(part["grow"] * t + part["rest"] * d, -700))
    factor_slope += factor * (part["grow"] + part["rest"] * slope)
    return factor * density, factor_slope * density


def errors(table, part, used):
    """The rule's relative errors, and their derivatives by the coefficients of the used terms."""
    points, weights = table @ part["terms"]
    t = -part["end"] * points
    value, slope = integrand(part, t)
    share = part["share"] * part["end"]
    error = share * (weights * value).sum(axis=0) - part["share"] * part["exact"]
    by_node = np.stack([-share * part["end"] * weights * slope, share * value])
    by_table = by_node[:, :, None] * part["terms"][used]
    return error, by_table.reshape(-1, error.size)


def fit(table, part, used, powers):
    """A table with smaller errors, of which only the columns `used` have changed."""
    for power in powers:
        damping = 1e-3
        error, slopes = errors(table, part, used)
        for _ in range(300):
            largest = np.abs(error).max()
            weighted = slopes * (np.abs(error) / largest) ** (power - 2)
            normal, down = weighted @ slopes.T, weighted @ error / (power - 1)
            before, largest_before = np.mean((np.abs(error) / largest) ** power), largest
            while damping < 1e6:
                scale = np.diag(normal) + 1e-14 * np.diag(normal).max()
                move = np.linalg.solve(normal + damping * np.diag(scale), down)
                new = table.copy()
                new[:, :, used] -= move.reshape(2, -1, len(used))
                new_error, new_slopes = errors(new, part, used)
                # A node may not leave the range by much: it comes back.
                inside = (new[0] @ part["terms"]).min() > -1e-3
                if inside and np.mean((np.abs(new_error) / largest_before) ** power) < before:
                    break
                damping *= 6
            else:
                break
            table, error, slopes, damping = new, new_error, new_slopes, damping / 3
    return table


def main():
    jax.config.update("jax_enable_x64", True)  # here alone: whoever imports this keeps float32
    rng = np.random.default_rng(0)
    some = integrands(*laws(rng, 60_000))
    counts = np.flatnonzero(some["share"] * some["exact"] > 0.02)[:9000]
    some = {key: value[..., counts] for key, value in some.items()}
    x, weights = np.polynomial.legendre.leggauss(5)
    x, weights = (x + 1) / 2, weights / 2
    drawn, slopes = (x**4 + x**5) / 2, weights * (4 * x**3 + 5 * x**4) / 2
    table = np.zeros((2, 5, 4))
    table[:, :, 0] = 2 * drawn, 2 * slopes
    table[:, :, 1] = 1.6 * (x - drawn), 1.6 * (weights - slopes)
    for used in ([0, 1], [0, 1, 2], [0, 1, 2, 3]):
        table = fit(table, some, used, (2, 4, 8))
        print(f"{len(used)} terms: {np.abs(errors(table, some, used)[0]).max():.2e}")
    for _ in range(2):  # with the worst of many more
        many = integrands(*laws(rng, 400_000))
        worst = np.argsort(-np.abs(np.nan_to_num(errors(table, many, [0])[0])))[:1500]
        some = {
            key: np.concatenate([value, many[key][..., worst]], -1) for key, value in some.items()
        }
        table = fit(table, some, used, (8, 16, 32, 64))
        print(f"{len(worst)} more: {np.abs(errors(table, some, used)[0]).max():.2e}")
    for row in zip(*np.round(table, 10).tolist(), strict=True):
        print(f"    {tuple(map(tuple, row))},")
    many = integrands(*laws(rng, 1_000_000))
    points = (table @ many["terms"])[0]
    print(f"elsewhere: {np.nanmax(np.abs(errors(table, many, [0])[0])):.2e}, {points.min():.1e}")


if __name__ == "__main__":
    main()
