"""Meshes with Explicit and with Auto axes: whatever is split, the same numbers as unsplit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxvae
from conftest import small_vae
from jaxvae import Batch

KEY = jax.random.key(0)
MESHES = {
    "explicit 1d": ((4,), ("x",), AxisType.Explicit),
    "explicit 2d": ((4, 2), ("x", "y"), AxisType.Explicit),
    "auto 1d": ((4,), ("x",), AxisType.Auto),
    "auto 2d": ((4, 2), ("x", "y"), AxisType.Auto),
}
ROWS, CATEGORIES = 8, 4
A, B = (
    10.0 ** jax.random.uniform(jax.random.key(seed), (ROWS, CATEGORIES), minval=-1.0, maxval=1.0)
    for seed in (1, 2)
)


def make_mesh(name):
    shape, axes, axis_type = MESHES[name]
    return jax.make_mesh(shape, axes, axis_types=(axis_type,) * len(axes))


def put(tree, mesh, *spec):
    return jax.device_put(tree, NamedSharding(mesh, P(*spec)))


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), actual, expected
    )


def draws_and_divergences(a, b):
    return {
        "normal": jaxvae.sample_normal(KEY, a, b),
        "log_gamma": jaxvae.sample_log_gamma(KEY, a),
        "dirichlet": jaxvae.sample_dirichlet(KEY, a),
        "log_prob": jaxvae.log_prob_dirichlet(a, -b),
        "kl_normal": jaxvae.kl_normal(a, b),
        "kl_dirichlet": jaxvae.kl_dirichlet(a, b),
    }


def everything(a, b):
    """Every function of distributions, and the gradients, as one program."""

    def total(a, b):
        values = draws_and_divergences(a, b)
        return sum(jnp.sum(value**2) for value in values.values()), values

    gradients, values = jax.grad(total, (0, 1), has_aux=True)(a, b)
    return values, gradients, jaxvae.log_gamma_grad(a, b)


@pytest.fixture(scope="module")
def unsplit():
    return jax.jit(everything)(A, B)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("explicit 1d", ("x",)),
        ("explicit 1d", (None, "x")),
        ("explicit 2d", (None, "y")),
        ("explicit 2d", ("x", "y")),
        ("auto 1d", (None, "x")),
        ("auto 2d", ("x", "y")),
    ],
)
def test_draws_densities_divergences_and_gradients(name, spec, unsplit):
    mesh = make_mesh(name)
    with jax.set_mesh(mesh):
        split = jax.jit(everything)(put(A, mesh, *spec), put(B, mesh, *spec))
    assert_close(split, unsplit)
    if name.startswith("explicit"):
        rows, categories = (*spec, None)[:2]
        for value in (split[0]["dirichlet"], split[0]["normal"], split[2], *split[1]):
            assert value.sharding.spec == P(rows, categories)
        assert split[0]["kl_dirichlet"].sharding.spec == P(rows)


@pytest.mark.parametrize("spec", [("x",), (None, "y"), ("x", "y"), (("x", "y"),)])
def test_what_explicit_axes_could_refuse_is_traced(spec):
    """Under each transformation, and with one argument split only; tracing is enough to see it."""
    mesh = make_mesh("explicit 2d")
    a, b, key = put(A, mesh, *spec), put(B, mesh, *spec), put(KEY, mesh)
    keys = jax.random.split(KEY, ROWS)
    split_keys = put(keys, mesh, spec[0])

    def loss(a):
        return jnp.max(jaxvae.sample_dirichlet(key, a))

    with jax.set_mesh(mesh):
        for pair in ((a, b), (a, B), (A, b), (a, jnp.ones(CATEGORIES)), (a, jnp.ones(()))):
            for function in (jaxvae.kl_dirichlet, jaxvae.kl_normal, jaxvae.log_gamma_grad):
                jax.eval_shape(function, *pair)
            jax.eval_shape(jaxvae.sample_normal, key, *pair)
        z = jax.eval_shape(jax.vmap(jaxvae.sample_dirichlet), split_keys, a)
        assert z.shape == A.shape
        jax.eval_shape(jax.vmap(jaxvae.sample_dirichlet, (None, 0)), key, a)
        jax.eval_shape(jax.vmap(jaxvae.sample_dirichlet, (0, None)), split_keys, put(A[0], mesh))
        jax.eval_shape(jax.vmap(jax.grad(loss)), a)
        jax.eval_shape(jax.vmap(jaxvae.kl_dirichlet, (0, None)), a, jnp.ones(CATEGORIES))
        jax.eval_shape(jax.grad(jax.checkpoint(loss)), a)
        jax.eval_shape(jax.jacrev(lambda a: jnp.sum(jaxvae.sample_dirichlet(key, a), 0)), a)
        jax.eval_shape(lambda a: jax.jvp(loss, (a,), (a,)), a)
        in_map = jax.shard_map(
            lambda a: jaxvae.sample_dirichlet(KEY, a), in_specs=P(*spec), out_specs=P(*spec)
        )
        jax.eval_shape(in_map, a)
        jax.eval_shape(lambda a: jaxvae.sample_dirichlet(KEY, a, method="tfp"), a)


def test_a_split_vmap_has_the_unsplit_draws():
    mesh = make_mesh("explicit 2d")
    keys = jax.random.split(KEY, ROWS)
    draw = jax.jit(jax.vmap(jaxvae.sample_dirichlet))
    assert_close(draw(put(keys, mesh, "x"), put(A, mesh, "x", "y")), draw(keys, A))


def test_draws_need_no_compiled_caller():
    """Nor a mesh that is set: an array brings its own."""
    mesh = make_mesh("explicit 2d")
    a = put(A, mesh, "x", "y")
    assert_close(jaxvae.sample_log_gamma(KEY, a), jaxvae.sample_log_gamma(KEY, A))


# Models.

X, Y = jax.random.uniform(KEY, (24, 64)), jnp.arange(24) % 10
WEIGHT = jnp.array([1.0] * 21 + [0.0] * 3)
OPTIMIZER = optax.sgd(0.1)  # its update is the gradient


def fresh(vae):
    return jaxvae.init_state(KEY, vae, OPTIMIZER, X)


@pytest.mark.parametrize("name", ["explicit 2d", "auto 2d"])
def test_a_step_on_split_rows(name, vae):
    """Without position and weight, and with a weight that is not split."""
    mesh = make_mesh(name)
    step = jaxvae.make_train_step(vae, OPTIMIZER)
    for weight in (None, WEIGHT) if name == "explicit 2d" else (None,):
        expected = step(KEY, fresh(vae), Batch(X, Y, weight))
        with jax.set_mesh(mesh):
            x, y = put((X, Y), mesh, "x")
            actual = step(put(KEY, mesh), put(fresh(vae), mesh), Batch(x, y, weight))
        assert_close(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch_size"), [("explicit 2d", 8), ("explicit 2d", 7), ("auto 2d", 7)]
)
def test_an_epoch_of_split_examples(name, batch_size):
    """Also where the mesh does not divide the batch, nor the batch the examples."""
    mesh, vae = make_mesh(name), small_vae("normal")
    epoch = jaxvae.make_train_epoch(vae, OPTIMIZER, batch_size=batch_size)
    weight = jnp.linspace(0.5, 1.5, len(X))
    expected = epoch(KEY, fresh(vae), X, Y, weight)
    with jax.set_mesh(mesh):
        data = put((X, Y, weight), mesh, "x")
        actual = epoch(put(KEY, mesh), put(fresh(vae), mesh), *data)
    assert_close(actual, expected)


@pytest.mark.parametrize("likelihood", ["normal", "bernoulli"])
def test_what_a_model_is_made_of_is_traced(model, likelihood):
    mesh, vae = make_mesh("explicit 2d"), small_vae(model, likelihood=likelihood)
    step = jaxvae.make_train_step(vae, OPTIMIZER)
    with jax.set_mesh(mesh):
        state = put(fresh(vae), mesh)
        for spec in (("x",), (("x", "y"),), ("x", "y"), (None, "y")):
            x, y, weight = put(X, mesh, *spec), put(Y, mesh, spec[0]), put(WEIGHT, mesh, spec[0])
            posterior = jax.eval_shape(vae.encode, state.params, x)
            z = jax.tree.leaves(posterior)[0]
            assert z.sharding.spec[0] == spec[0]
            decoded = jax.eval_shape(vae.decode, state.params, z)
            assert decoded.sharding.spec[0] == spec[0]
            for batch in (Batch(x, y), Batch(x, y, weight, jnp.arange(24)), Batch(x, Y, WEIGHT)):
                _, terms = jax.eval_shape(vae.loss, state.params, KEY, batch)
                assert terms.kl.sharding.spec == P(spec[0])
            jax.eval_shape(step, KEY, state, Batch(x, y))
        jax.eval_shape(lambda key: vae.sample_prior({}, key, (5, 10)), put(KEY, mesh))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["explicit 1d", "auto 1d"])
def test_a_step_in_shard_map(name):
    mesh, vae = make_mesh(name), small_vae("normal")
    expected = jaxvae.make_train_step(vae, OPTIMIZER)(KEY, fresh(vae), Batch(X, Y))
    step = jaxvae.make_train_step(vae, OPTIMIZER, axis_name="x")
    mapped = jax.shard_map(
        step, mesh=mesh, in_specs=(P(), P(), P("x")), out_specs=P(), check_vma=False
    )
    batch = Batch(X, Y, jnp.ones(24), jnp.arange(24))
    with jax.set_mesh(mesh):
        actual = mapped(put(KEY, mesh), put(fresh(vae), mesh), put(batch, mesh, "x"))
    assert_close(actual, expected)


@pytest.mark.slow
def test_training_and_evaluation_under_a_mesh(digits):
    """`jax.set_mesh` around them changes nothing, not even for what brings a mesh of its own."""
    x, y, vae = digits.x_train[:24], None, small_vae("normal")
    options = {"batch_size": 8, "epochs": 1}
    keys = jax.random.split(KEY, 2)

    def runs():
        one, _ = jaxvae.fit(KEY, vae, x, y, **options)
        many, _ = jaxvae.fit_many(keys, vae, x, y, **options)
        step = jaxvae.pmap_train_step(vae, OPTIMIZER, devices=2)
        mapped, _ = step(KEY, fresh(vae), Batch(x, y))
        params = jax.device_get([state.params for state in (one, many, mapped)])
        means = jaxvae.evaluate(KEY, vae, params[0], x, y)
        return params, means, jaxvae.encode_mean(vae, params[0], x)

    expected = runs()
    with jax.set_mesh(make_mesh("explicit 2d")):
        assert_close(runs(), expected)
