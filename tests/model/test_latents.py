"""Each latent against SciPy, mpmath and TFP: densities, draws, gradients, divergences, means.

Draws are held to their exact distribution functions by the Dvoretzky-Kiefer-Wolfowitz band, the
gradients of means to quadrature; keys are fixed, and each statistical test says how often it would
fail a right sampler. In each, a neighbouring parameter is seen to fail.
"""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest
from scipy import integrate, special, stats

import jaxvae
from jaxvae import latents, likelihoods, objectives, priors
from jaxvae.latents import (
    Dirichlet,
    Kumaraswamy,
    Logits,
    Normal,
    concrete,
    dirichlet,
    dirichlet_with,
    logistic_normal,
    normal,
    product,
    stick_breaking,
)
from jaxvae.numerics.distributions import tfp_distributions

KEY = jax.random.key(0)
SINGLE = {
    "normal": normal,
    "dirichlet": dirichlet,
    "logistic_normal": logistic_normal,
    "concrete": concrete(0.6),
    "stick_breaking": stick_breaking,
}


def parameters(name: str, rows: int, seed: int = 0, width: int = 3) -> Any:
    """Some parameters of a family for z [rows, width], of moderate size."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, rows, width)).astype(np.float32)
    return {
        "normal": lambda: Normal(first, np.exp(0.5 * second)),
        "logistic_normal": lambda: Normal(first, np.exp(0.5 * second)),
        "dirichlet": lambda: Dirichlet(np.exp(first)),
        "concrete": lambda: Logits(first),
        "stick_breaking": lambda: Kumaraswamy(np.exp(first[:, :-1]), np.exp(second[:, :-1])),
    }[name]()


def wide(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def draws(latent, q, count, seed=0):
    """u of `count` examples of the same parameters, by a key each, as training draws."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(count))
    return jax.jit(jax.vmap(latent.sample, (0, None)))(keys, jax.tree.map(jnp.asarray, q))


# --- densities


def concrete_by_quadrature(logits, temperature, u):
    """Integrate the common shift out of K independent Gumbel variables, by the log-ratios of z.

    w_k = (logits_k + g_k) / temperature; of w only the differences are seen.
    """

    def joint(s):
        g = temperature * (u + s) - logits
        return np.exp(np.sum(-g - np.exp(-g)) + len(u) * np.log(temperature))

    center = (special.logsumexp(logits - temperature * u) - np.log(len(u))) / temperature
    reach = 60 / temperature
    value, _ = integrate.quad(joint, center - reach, center + reach, points=[center], limit=500)
    return np.log(value)


def stick_density(a, b, u):
    """The derivative of the distribution function of a fraction v = exp(u), by mpmath."""
    with mpmath.workdps(40):
        v = mpmath.exp(mpmath.mpf(float(u)))
        function = lambda t: 1 - (1 - t ** mpmath.mpf(float(a))) ** mpmath.mpf(float(b))  # noqa: E731
        return float(mpmath.log(mpmath.diff(function, v)))


def exact_log_prob(name, q, u):
    u = np.asarray(u, np.float64)
    if name in ("normal", "logistic_normal"):
        loc, scale = wide(q)
        return stats.norm(loc, scale).logpdf(u).sum(axis=-1)
    if name == "dirichlet":
        z = np.exp(u) / np.exp(u).sum(axis=-1, keepdims=True)
        return np.array(
            [stats.dirichlet(a).logpdf(row) for a, row in zip(wide(q)[0], z, strict=True)]
        )
    if name == "concrete":
        return np.array(
            [
                concrete_by_quadrature(logits, 0.6, row)
                for logits, row in zip(wide(q)[0], u, strict=True)
            ]
        )
    return np.vectorize(stick_density)(*wide(q), u).sum(axis=-1)


@pytest.mark.parametrize("name", SINGLE)
def test_log_prob(name):
    """Within 1e-5 of a float64 or 40-digit reference, relative or in nats."""
    latent, q = SINGLE[name], parameters(name, 6)
    u = latent.sample(KEY, jax.tree.map(jnp.asarray, q))
    found = jax.jit(latent.log_prob)(q, u)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, exact_log_prob(name, q, u), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.6, 3.0])
def test_concrete_against_tfp(temperature):
    q = parameters("concrete", 50, width=5)
    family = concrete(temperature)
    u = family.sample(KEY, Logits(jnp.asarray(q.logits)))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        tfp = tfp_distributions().ExpRelaxedOneHotCategorical(temperature, logits=q.logits)
        expected = tfp.log_prob(u)
    np.testing.assert_allclose(family.log_prob(q, u), expected, rtol=1e-4, atol=1e-4)


def test_log_prob_of_parameters_without_leading_axes():
    """And of draws with more: [k, B, K] by [K] and by [B, K], as priors and posteriors are."""
    for name, latent in SINGLE.items():
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), parameters(name, 1))
        rows = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), one)
        u = jnp.stack([latent.sample(jax.random.key(i), rows) for i in range(2)])
        lacking, full = latent.log_prob(one, u), latent.log_prob(rows, u)
        assert lacking.shape == full.shape == (2, 4), name
        np.testing.assert_allclose(lacking, full, rtol=1e-6)


# --- draws


class Law(NamedTuple):
    """A function of z whose distribution is known: how to take it, and its distribution."""

    latent: str
    q: Any
    of: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (u, z) -> values
    cdf: Callable[..., Callable[[np.ndarray], np.ndarray]]  # leaves of q -> function


def kumaraswamy(a, b):
    return lambda v: -np.expm1(b * np.log1p(-(np.minimum(v, 1) ** a)))


def logit(z):
    return np.log(z) - np.log1p(-z)


LAWS = {
    "normal": Law(
        "normal", Normal([1.0, -2.0], [0.5, 2.0]), lambda u, z: z[:, 1],
        lambda loc, scale: stats.norm(loc[1], scale[1]).cdf,
    ),
    "dirichlet": Law(
        "dirichlet", Dirichlet([0.7, 0.2, 3.0]), lambda u, z: z[:, 1],
        lambda c: stats.beta(c[1], c.sum() - c[1]).cdf,
    ),
    "logistic_normal": Law(
        "logistic_normal", Normal([1.0, 0.3], [0.5, 1.2]), lambda u, z: logit(z[:, 0]),
        lambda loc, scale: stats.norm(loc[0] - loc[1], np.hypot(*scale)).cdf,
    ),
    "concrete": Law(
        "concrete", Logits([1.0, 0.3]), lambda u, z: u[:, 0] - u[:, 1],
        lambda logits: stats.logistic((logits[0] - logits[1]) / 0.6, 1 / 0.6).cdf,
    ),
    "stick_breaking, first": Law(
        "stick_breaking", Kumaraswamy([0.6, 2.0], [1.5, 0.8]), lambda u, z: z[:, 0],
        lambda a, b: kumaraswamy(a[0], b[0]),
    ),
    "stick_breaking, second": Law(
        "stick_breaking", Kumaraswamy([0.6, 2.0], [3.5, 0.8]), lambda u, z: z[:, 1] / (1 - z[:, 0]),
        lambda a, b: kumaraswamy(a[1], b[1]),
    ),
}  # fmt: skip
DRAWS = 100_000
BAND = np.sqrt(np.log(2 / 1e-9) / (2 * DRAWS))  # 0.0104


def distance(values, cdf):
    """Kolmogorov's, of draws from their law."""
    u = cdf(np.sort(values))
    steps = np.arange(len(u) + 1) / len(u)
    return max((steps[1:] - u).max(), (u - steps[:-1]).max())


def float32_leaves(q):
    return [np.float64(np.float32(leaf)) for leaf in q] if isinstance(q, tuple) else [
        np.float64(np.float32(q.concentration))
    ]  # fmt: skip


def as_arrays(q):
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), q, is_leaf=lambda node: isinstance(node, list)
    )


@pytest.mark.parametrize("name", LAWS)
def test_law_of_the_draws(name):
    """A right sampler leaves the band once in 1e9; parameters that are 8% off are outside it."""
    law = LAWS[name]
    latent = SINGLE[law.latent]
    u = draws(latent, as_arrays(law.q), DRAWS)
    z = np.asarray(latent.value(u), np.float64)
    values = law.of(np.asarray(u, np.float64), z)
    leaves = float32_leaves(law.q)
    assert distance(values, law.cdf(*leaves)) < BAND
    assert distance(values, law.cdf(*[leaf * 1.08 for leaf in leaves])) > BAND


def test_largest_category_of_a_concrete_draw_is_by_its_logits():
    """P(argmax z = k) = softmax(logits)_k: by Hoeffding, a right one fails once in 1e8."""
    logits = jnp.array([0.5, -1.0, 1.5, 0.0])
    u = draws(concrete(0.3), Logits(logits), DRAWS)
    shares = np.bincount(np.argmax(u, axis=-1), minlength=4) / DRAWS
    exact = special.softmax(np.float64(logits))
    np.testing.assert_allclose(shares, exact, atol=np.sqrt(np.log(8e8) / (2 * DRAWS)))


@pytest.mark.parametrize("gradient", ["beta", "gamma"])
def test_either_dirichlet_has_the_law(gradient):
    law = LAWS["dirichlet"]
    u = draws(dirichlet_with(gradient), as_arrays(law.q), DRAWS, seed=5)
    values = np.exp(np.asarray(u[:, 1], np.float64))
    assert distance(values, law.cdf(*float32_leaves(law.q))) < BAND


@pytest.mark.parametrize("name", SINGLE)
def test_values_are_on_the_simplex(name):
    latent, q = SINGLE[name], jax.tree.map(jnp.asarray, parameters(name, 2000, width=7))
    z = np.asarray(latent.value(latent.sample(KEY, q)), np.float64)
    assert z.shape == (2000, 7)
    middle = np.asarray(latent.mean(q), np.float64)
    assert middle.shape == z.shape
    if latent.support == "simplex":
        for point in (z, middle):
            np.testing.assert_allclose(point.sum(axis=-1), 1, atol=1e-6)
            assert (point >= 0).all()
    else:
        assert latent.support == "real"
        assert (z < 0).any()


# --- means and gradients of means


def over_normal(function, loc, scale):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return (weights * function(loc + scale * nodes)).sum() / np.sqrt(2 * np.pi)


def over_logistic(function, loc, scale):
    inner = lambda t: function(loc + scale * t) * stats.logistic.pdf(t)  # noqa: E731
    return integrate.quad(inner, -40, 40, limit=300, epsabs=1e-12)[0]


def fraction(a, b):
    return np.exp(np.log(b) + special.betaln(1 + 1 / a, b))


# E f(z) as a float64 function of the parameters' leaves; f of one example's z.
MEANS = {
    "normal: z_0^2": (
        "normal", Normal([0.7], [0.4]), lambda z: z[0] ** 2,
        lambda loc, scale: loc[0] ** 2 + scale[0] ** 2,
    ),
    "dirichlet: z_0": (
        "dirichlet", Dirichlet([0.4, 1.5, 0.9]), lambda z: z[0], lambda c: c[0] / c.sum(),
    ),
    "dirichlet: z_0 z_1": (
        "dirichlet", Dirichlet([0.4, 1.5, 0.9]), lambda z: z[0] * z[1],
        lambda c: c[0] * c[1] / (c.sum() * (c.sum() + 1)),
    ),
    "logistic_normal: z_0": (
        "logistic_normal", Normal([0.7, -0.3], [0.4, 0.9]), lambda z: z[0],
        lambda loc, scale: over_normal(special.expit, loc[0] - loc[1], np.hypot(*scale)),
    ),
    "concrete: z_0^2": (
        "concrete", Logits([0.7, -0.3]), lambda z: z[0] ** 2,
        lambda t: over_logistic(lambda v: special.expit(v) ** 2, (t[0] - t[1]) / 0.6, 1 / 0.6),
    ),
    "stick_breaking: z_0": (
        "stick_breaking", Kumaraswamy([0.7, 2.0], [1.3, 0.6]), lambda z: z[0],
        lambda a, b: fraction(a[0], b[0]),
    ),
    "stick_breaking: z_2": (
        "stick_breaking", Kumaraswamy([0.7, 2.0], [1.3, 0.6]), lambda z: z[2],
        lambda a, b: (1 - fraction(a[0], b[0])) * (1 - fraction(a[1], b[1])),
    ),
}  # fmt: skip


def slope(function, leaves):
    """Central differences in float64, one number for each parameter."""
    found = []
    for i, leaf in enumerate(leaves):
        for k in range(len(leaf)):
            moved = [[v.copy() for v in leaves] for _ in range(2)]
            moved[0][i][k] += 1e-5
            moved[1][i][k] -= 1e-5
            found.append((function(*moved[0]) - function(*moved[1])) / 2e-5)
    return np.array(found)


@pytest.mark.parametrize("case", MEANS)
def test_gradient_of_a_mean(case):
    """Of E f(z), by the draws: within 5 standard errors of quadrature, value and slopes.

    A right one fails once in 250,000 for each of up to five numbers. A slope of 3% more fails.
    """
    name, q, function, mean = MEANS[case]
    latent, rows = SINGLE[name], 200_000
    keys = jax.random.split(jax.random.key(4), rows)

    @jax.jit
    @jax.vmap
    def each(key):
        value = lambda q: function(latent.value(latent.sample(key, q)))  # noqa: E731
        return jax.value_and_grad(value)(as_arrays(q))

    values, gradients = each(keys)
    found = np.column_stack([np.asarray(values), *wide(gradients)]).astype(np.float64)
    leaves = float32_leaves(q)
    exact = np.concatenate([[mean(*leaves)], slope(mean, leaves)])
    error = found.std(axis=0) / rows**0.5 + 1e-6
    assert (np.abs(found.mean(axis=0) - exact) < 5 * error).all()
    assert (np.abs(1.03 * found.mean(axis=0) - exact) > 5 * error).any()


@pytest.mark.parametrize("name", ["normal", "dirichlet", "stick_breaking"])
def test_mean_is_the_mean_of_the_draws(name):
    """Within 5 standard errors of 100,000 draws, a right one fails once in 600,000."""
    latent = SINGLE[name]
    q = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), parameters(name, 1))
    z = np.asarray(latent.value(draws(latent, q, DRAWS)), np.float64)
    error = z.std(axis=0) / DRAWS**0.5
    assert (np.abs(z.mean(axis=0) - latent.mean(q)) < 5 * error).all()


def test_middle_of_what_has_no_mean_in_closed_form():
    np.testing.assert_allclose(
        logistic_normal.mean(Normal(jnp.array([1.0, 2.0]), jnp.ones(2))),
        special.softmax([1, 2]), rtol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        concrete(0.1).mean(Logits(jnp.array([1.0, 2.0]))), special.softmax([1, 2]), rtol=1e-6
    )


# --- divergences


def exact_kl(name, q, p):
    if name == "dirichlet":
        (a,), (b,) = wide(q), wide(p)
        total = a.sum(axis=-1, keepdims=True)
        log_norm = special.gammaln(total[..., 0]) - special.gammaln(b.sum(axis=-1))
        log_norm = log_norm - (special.gammaln(a) - special.gammaln(b)).sum(axis=-1)
        return log_norm + ((a - b) * (special.digamma(a) - special.digamma(total))).sum(axis=-1)
    (loc, scale), (p_loc, p_scale) = wide(q), wide(p)
    each = np.log(p_scale / scale) + (scale**2 + (loc - p_loc) ** 2) / (2 * p_scale**2) - 0.5
    return each.sum(axis=-1)


@pytest.mark.parametrize("name", ["normal", "logistic_normal", "dirichlet"])
def test_kl(name):
    """In closed form to 1e-5; and by 100,000 draws within 5 standard errors (once in 1.7e6)."""
    latent = SINGLE[name]
    q, p = (jax.tree.map(jnp.asarray, parameters(name, 5, seed)) for seed in (0, 1))
    kl = latent.kl(q, p)
    np.testing.assert_allclose(kl, exact_kl(name, q, p), rtol=1e-5)
    np.testing.assert_allclose(latent.kl(q, q), np.zeros(5), atol=1e-6)
    one, other = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (q, p))
    u = draws(latent, one, DRAWS)
    ratio = np.asarray(latent.log_prob(one, u) - latent.log_prob(other, u), np.float64)
    assert abs(ratio.mean() - kl[0]) < 5 * ratio.std() / DRAWS**0.5
    # A prior without leading axes is each row's.
    np.testing.assert_allclose(
        latent.kl(q, other), latent.kl(q, jax.tree.map(lambda v: jnp.stack([v] * 5), other)),
        rtol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_kl_by_dimension_sums_to_kl(name):
    latent = SINGLE[name]
    if latent.kl_by_dimension is None:
        assert latent.kl is None or name == "dirichlet"
        return
    q, p = (jax.tree.map(jnp.asarray, parameters(name, 5, seed)) for seed in (0, 1))
    each = latent.kl_by_dimension(q, p)
    assert each.shape == (5, 3)
    np.testing.assert_allclose(each.sum(axis=-1), latent.kl(q, p), rtol=1e-5)
    (loc, scale), (p_loc, p_scale) = q, p
    last = exact_kl(
        "normal", Normal(loc[:, 2:], scale[:, 2:]), Normal(p_loc[:, 2:], p_scale[:, 2:])
    )
    np.testing.assert_allclose(each[:, 2], last, rtol=1e-5)


# --- extreme parameters


EXTREMES = [10.0**e for e in range(-4, 7)]


def extreme_parameters(name):
    """Each pair of magnitudes from 1e-4 to 1e6, a row each; signs both ways where there are."""
    first, second = (grid.ravel() for grid in np.meshgrid(EXTREMES, EXTREMES))
    pairs = [jnp.asarray(np.stack(two, axis=1), jnp.float32) for two in (
        (first, second), (second, first), (first, -second))]  # fmt: skip
    same = jnp.asarray(np.stack([second, second], axis=1), jnp.float32)
    return {
        "normal": [Normal(pairs[2], pairs[1])],
        "logistic_normal": [Normal(pairs[2], pairs[1])],
        "dirichlet": [Dirichlet(pairs[0])],
        "concrete": [Logits(pairs[2])],
        "stick_breaking": [Kumaraswamy(pairs[0], pairs[1]), Kumaraswamy(pairs[0], same)],
    }[name]


@pytest.mark.parametrize("name", [*SINGLE, "concrete(1e-4)", "concrete(1e6)"])
def test_extreme_parameters_are_finite(name):
    """From 1e-4 to 1e6: draws, values, means, densities, divergences and all gradients."""
    latent = SINGLE.get(name) or concrete(float(name[9:-1]))

    def everything(q, key):
        u = latent.sample(key, q)
        z, middle, density = latent.value(u), latent.mean(q), latent.log_prob(q, u)
        kl = jnp.zeros(()) if latent.kl is None else latent.kl(q, jax.tree.map(jnp.ones_like, q))
        return (jnp.sum(z[..., 0]) + jnp.sum(middle[..., 0]) + jnp.sum(density) + jnp.sum(kl)), (
            u, z, middle, density, kl)  # fmt: skip

    run = jax.jit(jax.grad(everything, has_aux=True))
    for q in extreme_parameters(name.split("(")[0]):
        for seed in range(3):
            gradient, values = run(q, jax.random.key(seed))
            for leaf in jax.tree.leaves((gradient, values)):
                assert np.isfinite(leaf).all()
            if latent.support == "simplex":
                np.testing.assert_allclose(values[1].sum(axis=-1), 1, atol=1e-6)
                np.testing.assert_allclose(values[2].sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("b", [1e-2, 1.0, 1e4])
@pytest.mark.parametrize("a", [1e-4, 1.0, 1e6])
def test_mean_of_extreme_sticks(a, b):
    """Against mpmath, either share within 1e-3 of it or 1e-5: float32's betaln is no better."""
    with mpmath.workdps(40):
        ma, mb = mpmath.mpf(float(np.float32(a))), mpmath.mpf(float(np.float32(b)))
        v = mb * mpmath.beta(1 + 1 / ma, mb)
        exact = [float(v), float(1 - v)]
    found = stick_breaking.mean(Kumaraswamy(jnp.full(1, a), jnp.full(1, b)))
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-5)


# --- what a network returns, shapes, landmarks


def test_wrap_names_what_is_bare():
    a, b = jnp.ones((4, 2)), jnp.zeros((4, 2))
    for latent, kind in (
        (normal, Normal),
        (logistic_normal, Normal),
        (stick_breaking, Kumaraswamy),
    ):
        for pair in ((a, b), [a, b], kind(a, b)):
            wrapped = latent.wrap(pair)
            assert type(wrapped) is kind
            assert wrapped[0] is a
            assert wrapped[1] is b
        for other in (a, (a,), (a, b, a), Logits(a)):
            assert latent.wrap(other) is other
    for latent, kind in ((dirichlet, Dirichlet), (concrete(0.5), Logits)):
        for array in (a, np.ones((4, 2))):
            wrapped = latent.wrap(array)
            assert type(wrapped) is kind
            assert jax.tree.leaves(wrapped)[0] is array
        for other in ((a, b), kind(a), {"a": a}):
            assert latent.wrap(other) is other


@pytest.mark.parametrize("name", SINGLE)
def test_shapes_are_those_of_the_parameters(name):
    shapes = SINGLE[name].shapes((4, 3))
    expected = parameters(name, 4)
    assert jax.tree.structure(shapes) == jax.tree.structure(expected)
    assert [s.shape for s in jax.tree.leaves(shapes)] == [
        leaf.shape for leaf in jax.tree.leaves(expected)
    ]
    assert {s.dtype for s in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    assert [s.shape[:-1] for s in jax.tree.leaves(SINGLE[name].shapes((2, 5, 3)))] == [
        (2, 5)
    ] * len(jax.tree.leaves(shapes))


def test_landmarks_are_corners_of_the_simplex():
    for latent in SINGLE.values():
        marks = latent.landmarks(3)
        if latent.support == "simplex":
            assert list(marks) == ["0", "1", "2"]
            np.testing.assert_array_equal(np.stack(list(marks.values())), np.eye(3))
        else:
            assert marks == {}


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf, "hot", None])
def test_concrete_refuses_its_temperature(temperature):
    with pytest.raises((ValueError, TypeError), match="temperature must be"):
        concrete(temperature)


def test_concrete_takes_a_traced_temperature():
    """So that a sweep compiles once."""
    u = jnp.log(jnp.array([0.2, 0.8]))
    q = Logits(jnp.array([0.3, 0.1]))
    swept = jax.jit(jax.vmap(lambda t: concrete(t).log_prob(q, u)))(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(swept, [concrete(t).log_prob(q, u) for t in (0.5, 2.0)], rtol=1e-6)


# --- several side by side

BOTH = product(category=dirichlet, style=normal)
BOTH_Q = {
    "category": Dirichlet(jnp.array([0.7, 0.2, 3.0])),
    "style": Normal(jnp.array([1.0, -2.0]), jnp.array([0.5, 2.0])),
}


def test_product_has_the_parts_laws_independently():
    """Marginals by the band; correlations below 6 standard errors. A right one fails 1 in 1e8."""
    z = BOTH.value(draws(BOTH, BOTH_Q, DRAWS))
    assert set(z) == {"category", "style"}
    category, style = (np.asarray(z[name], np.float64) for name in ("category", "style"))
    assert (
        distance(category[:, 1], LAWS["dirichlet"].cdf(*float32_leaves(LAWS["dirichlet"].q))) < BAND
    )
    assert distance(style[:, 1], LAWS["normal"].cdf(*float32_leaves(LAWS["normal"].q))) < BAND
    for i in range(3):
        for j in range(2):
            assert abs(np.corrcoef(category[:, i], style[:, j])[0, 1]) < 6 / DRAWS**0.5
    two = product(a=normal, b=normal)
    q = {"a": BOTH_Q["style"], "b": BOTH_Q["style"]}
    u = draws(two, q, 1000)
    assert abs(np.corrcoef(u["a"][:, 0], u["b"][:, 0])[0, 1]) < 0.2  # 1 if they shared a key


def test_product_is_its_parts_by_name():
    u = BOTH.sample(KEY, BOTH_Q)
    log_prob, middle = BOTH.log_prob(BOTH_Q, u), BOTH.mean(BOTH_Q)
    for name, latent in (("category", dirichlet), ("style", normal)):
        np.testing.assert_array_equal(log_prob[name], latent.log_prob(BOTH_Q[name], u[name]))
        np.testing.assert_array_equal(middle[name], latent.mean(BOTH_Q[name]))
    shapes = BOTH.shapes({"category": (4, 3), "style": (4, 2)})
    assert shapes["category"].shape == (4, 3)
    assert shapes["style"].scale.shape == (4, 2)
    bare = {"category": jnp.ones((4, 3)), "style": (jnp.ones((4, 2)), jnp.ones((4, 2)))}
    wrapped = BOTH.wrap(bare)
    assert isinstance(wrapped["category"], Dirichlet)
    assert isinstance(wrapped["style"], Normal)
    for other in ({"category": 1}, jnp.ones(3), {**bare, "more": 1}):
        assert BOTH.wrap(other) is other
    assert BOTH.support == "product"
    assert [name for name, _ in BOTH.parts] == ["category", "style"]


def test_product_refuses():
    with pytest.raises(ValueError, match=r"latents must be at least two by name, got \['a'\]"):
        product(a=normal)
    with pytest.raises(TypeError, match=r"a must be a jaxvae.latents.Latent, got 'normal'"):
        product(a="normal", b=normal)
    with pytest.raises(ValueError, match="a must be a single latent, got a product"):
        product(a=BOTH, b=normal)


# --- values: equal by what made them


def module_function(own, context):
    return jnp.full(3, 0.5)


EQUAL = """
latents.normal
latents.logistic_normal
latents.dirichlet
latents.dirichlet_with("gamma")
latents.concrete(0.5)
latents.concrete(0.7)
latents.stick_breaking
latents.product(a=latents.normal, b=latents.concrete(0.5))
latents.product(b=latents.concrete(0.5), a=latents.normal)
latents.product(a=latents.normal, c=latents.concrete(0.5))
priors.standard_normal()
priors.standard_normal(2.0)
priors.symmetric()
priors.symmetric(0.1)
priors.from_labels()
priors.from_labels(smoothness=0.1)
priors.from_labels(frequencies="learned")
priors.from_labels(frequencies=[1.0, 2.0])
priors.from_labels(frequencies=[1.0, 3.0])
priors.learned(priors.symmetric())
priors.learned(priors.standard_normal())
priors.mixture(latents.normal)
priors.mixture(latents.normal, 3)
priors.mixture(latents.normal, of="members")
priors.product(a=priors.standard_normal(), b=priors.symmetric())
likelihoods.normal()
likelihoods.normal(0.5)
likelihoods.normal(learned=True)
likelihoods.bernoulli()
likelihoods.poisson()
likelihoods.poisson(totals=True)
likelihoods.negative_binomial()
likelihoods.negative_binomial(2.0)
likelihoods.negative_binomial(totals=True)
likelihoods.dirichlet_multinomial()
likelihoods.dirichlet_multinomial(2.0)
likelihoods.dirichlet_multinomial(learned=False)
likelihoods.multinomial()
likelihoods.multinomial("probabilities")
likelihoods.categorical()
objectives.elbo()
objectives.elbo(0.5)
objectives.elbo({"z": 0.5})
objectives.elbo(draws=2)
objectives.elbo(gradient="stl")
objectives.iwae(5)
objectives.iwae(5, "dreg")
""".strip().split("\n")  # fmt: skip


def make(expression):
    names = {"latents": latents, "priors": priors, "likelihoods": likelihoods,
             "objectives": objectives}  # fmt: skip
    return eval(expression, names)


def test_equal_arguments_make_equal_values_and_others_do_not():
    first, second = ([make(expression) for expression in EQUAL] for _ in range(2))
    for i, (a, expression) in enumerate(zip(first, EQUAL, strict=True)):
        for j, b in enumerate(second):
            assert (a == b) == (i == j), (expression, EQUAL[j])
        assert hash(a) == hash(second[i]), expression
    assert len(set(first + second)) == len(EQUAL)


@pytest.mark.parametrize("expression", EQUAL)
def test_copies_and_pickles_are_equal(expression):
    value = make(expression)
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value
        assert hash(other) == hash(value)


def test_pickles_are_equal_in_another_process():
    """A spawned interpreter finds each equal to its own, and sends back what is equal here."""
    program = (
        "import pickle, sys\n"
        "from jaxvae import latents, likelihoods, objectives, priors\n"
        "pairs = pickle.load(sys.stdin.buffer)\n"
        "for expression, value in pairs:\n"
        "    assert eval(expression) == value, expression\n"
        "    assert hash(eval(expression)) == hash(value), expression\n"
        "pickle.dump([eval(expression) for expression, _ in pairs], sys.stdout.buffer)\n"
    )
    pairs = [(expression, make(expression)) for expression in EQUAL]
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(pairs), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert pickle.loads(done.stdout) == [value for _, value in pairs]


def test_an_equal_value_is_compiled_once():
    traced = []

    @jax.jit
    def plain(u):
        return u

    def function(value, u):
        traced.append(value)
        return plain(u)

    compiled = jax.jit(function, static_argnums=0)
    for expression in EQUAL:
        before = len(traced)
        compiled(make(expression), 1.0)
        compiled(make(expression), 1.0)
        compiled(pickle.loads(pickle.dumps(make(expression))), 1.0)
        assert len(traced) == before + 1, expression


def test_repr_is_what_made_it():
    assert "concrete(temperature=0.5)" in repr(concrete(0.5))
    assert "product(" in repr(BOTH.sample)
    assert "elbo(kl_weight=2.0" in repr(objectives.elbo(2.0))
    assert "symmetric(concentration=0.1)" in repr(priors.symmetric(0.1))


def test_functions_are_compared_by_their_code():
    same = [priors.in_family(dirichlet, lambda own, context: jnp.full(3, 0.1)) for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != priors.in_family(dirichlet, lambda own, context: jnp.full(3, 0.2))
    made = [objectives.elbo(optax.linear_schedule(0.0, 1.0, n)) for n in (10, 10, 20)]
    assert made[0] == made[1] != made[2]
    other = jax.random.key(1)  # an array in a cell goes by its content

    def closing(key):
        return priors.in_family(dirichlet, lambda own, c: jax.random.uniform(key, (3,)))

    assert closing(jax.random.key(1)) == closing(other) != closing(jax.random.key(2))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (priors.in_family(dirichlet, lambda own, c: jnp.ones(3)), "parameters of in_family"),
        (
            priors.learned(priors.in_family(dirichlet, lambda own, c: jnp.ones(3))),
            "parameters of in_family",
        ),
        (likelihoods.distribution(lambda d: d), "make of distribution"),
        (objectives.elbo(lambda step: 1.0), "kl_weight of elbo"),
        (objectives.elbo({"a": lambda step: 1.0}), "kl_weight of elbo"),
        (objectives.elbo(optax.linear_schedule(0.0, 1.0, 10)), "kl_weight of elbo"),
    ],
)
def test_local_functions_are_refused_by_name_when_pickled(value, message):
    with pytest.raises(pickle.PicklingError, match=f"{message} must be made of functions that a"):
        pickle.dumps(value)


def test_a_function_of_a_module_is_pickled():
    value = priors.in_family(dirichlet, module_function)
    assert pickle.loads(pickle.dumps(value)) == value


# --- a Dirichlet is the array that it holds


def test_dirichlet_behaves_as_its_array():
    c = jnp.array([[1.0, 2.0, 4.0], [0.5, 1.5, 3.0]])
    q, other = Dirichlet(c), jnp.array([[2.0, 1.0, 0.5], [3.0, 2.0, 1.0]])
    operators = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
        "/": lambda a, b: a / b, "//": lambda a, b: a // b, "%": lambda a, b: a % b,
        "**": lambda a, b: a**b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }  # fmt: skip
    for name, operator in operators.items():
        for value in (other, 2.0, Dirichlet(other), np.asarray(other)):
            plain = value.concentration if isinstance(value, Dirichlet) else value
            expected = operator(c, plain), operator(plain, c)
            found = operator(q, value), operator(value, q)
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(q @ other.T, c @ other.T)
    np.testing.assert_array_equal(other.T @ q, other.T @ c)
    np.testing.assert_array_equal(-q, -c)
    np.testing.assert_array_equal(abs(-q), c)
    np.testing.assert_array_equal(q[1, 2], c[1, 2])
    np.testing.assert_array_equal(q.at[0, 0].set(9.0), c.at[0, 0].set(9.0))
    np.testing.assert_array_equal(np.asarray(q), np.asarray(c))
    np.testing.assert_array_equal(np.log(q), np.log(np.asarray(c)))
    np.testing.assert_array_equal(jnp.log(q), jnp.log(c))
    np.testing.assert_array_equal(jnp.where(c > 1, q, 0), jnp.where(c > 1, c, 0))
    np.testing.assert_array_equal(q.sum(axis=-1), c.sum(axis=-1))
    assert np.asarray(q, np.float64).dtype == np.float64
    assert (q.shape, q.ndim, q.dtype, len(q)) == (c.shape, 2, c.dtype, 2)
    assert [row.tolist() for row in q] == c.tolist()
    assert repr(Dirichlet(1)) == "Dirichlet(concentration=1)"
    with pytest.raises(AttributeError):
        _ = q.nonsense


def test_dirichlet_goes_through_transformations():
    c = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    q = Dirichlet(c)
    assert isinstance(jax.jit(lambda q: q)(q), Dirichlet)
    assert jax.vmap(lambda q: q.sum())(q).tolist() == [3, 7]
    assert isinstance(jax.grad(lambda q: jnp.sum(q**2))(q), Dirichlet)
    np.testing.assert_array_equal(jax.grad(lambda q: jnp.sum(q**2))(q).concentration, 2 * c)
    ((path, _),) = jax.tree.leaves_with_path({"q": q})
    assert jax.tree_util.keystr(path) == "['q'].concentration"
    for other in (copy.deepcopy(q), pickle.loads(pickle.dumps(q)), jax.device_get(q)):
        assert isinstance(other, Dirichlet)
        assert np.array_equal(other, c)
    assert jax.eval_shape(lambda: q).shape == (2, 2)


def test_named_parameters_unpack_and_have_public_names():
    loc, scale = Normal(1, 2)
    assert (loc, scale) == (1, 2)
    for kind in (Normal, Dirichlet, Logits, Kumaraswamy):
        assert kind.__module__ == "jaxvae.latents"
    assert jaxvae.latents.normal is normal
