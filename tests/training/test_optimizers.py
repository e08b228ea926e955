"""Any Optax transformation: what optimizers ask for, and the two wrappers among Optax's own."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import Batch, compat
from jaxvae.training import ensembles, steps, updates

X = np.random.default_rng(0).random((40, 6), np.float32)
# One matrix a side: the optimizers are what is compiled here.
NETWORK = jaxvae.Network(
    init=lambda key, x: {
        "encoder": 0.1 * jax.random.normal(key, (x.shape[1], 2)),
        "decoder": 0.1 * jax.random.normal(jax.random.fold_in(key, 1), (2, x.shape[1])),
    },
    encode=lambda params, x: (x @ params["encoder"], jnp.exp(-x @ params["encoder"])),
    decode=lambda params, z: z @ params["decoder"],
)
VAE = jaxvae.normal_vae(NETWORK, likelihood=jaxvae.likelihoods.normal(1.0))
KEY = jax.random.key(0)
SGD = optax.sgd(0.1)
NORMALIZED = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
PLATEAU = optax.chain(optax.adam(1e-3), optax.contrib.reduce_on_plateau(patience=2))
LBFGS = optax.lbfgs(linesearch=optax.scale_by_zoom_linesearch(4))
HIDES_ABOVE_A_LOSS = optax.transforms.conditionally_transform(
    optax.zero_nans(), lambda step, value, **_: value > 100.0, forward_extra_args=True
)


def masking(inner, **options):
    """An optimizer of the encoder alone; a line search needs its gradient masked as well."""
    groups = {"inner": inner, "frozen": optax.set_to_zero()}
    labels = {"encoder": "inner", "decoder": "frozen"}
    return optax.partition(groups, labels, **options)


ASKING = {
    "plateau": PLATEAU,
    "polyak": optax.polyak_sgd(0.1),
    "momo": optax.contrib.momo(0.1),
    "lbfgs": LBFGS,
    "backtracking": optax.chain(SGD, optax.scale_by_backtracking_linesearch(4)),
    "backtracking, gradient kept": optax.chain(
        SGD, optax.scale_by_backtracking_linesearch(4, store_grad=True)
    ),
    "schedule-free": optax.contrib.schedule_free(optax.sgd(0.01), 0.01),
    "sam": optax.contrib.sam(optax.adam(1e-3), NORMALIZED),
    "sam, opaque": optax.contrib.sam(optax.adam(1e-3), NORMALIZED, opaque_mode=True),
    "sam in a chain": optax.chain(
        optax.clip_by_global_norm(1.0), optax.contrib.sam(optax.adam(1e-3), NORMALIZED)
    ),
    "sophia": optax.contrib.sophia(1e-3),
    "steps": optax.MultiSteps(PLATEAU, 2),
    "steps as a transformation": optax.MultiSteps(LBFGS, 2).gradient_transformation(),
    "skipped steps": optax.MultiSteps(PLATEAU, 2, should_skip_update_fn=optax.skip_not_finite),
    "masked": masking(PLATEAU),
    "a line search of some": masking(LBFGS, mask_compatible_extra_args=True),
    "injected": optax.inject_hyperparams(optax.polyak_sgd)(max_learning_rate=0.1),
    "if finite": optax.apply_if_finite(PLATEAU, 3),
    "averaged": jaxvae.average_params(PLATEAU, 0.9),
    "averaged line search": jaxvae.average_params(LBFGS, 0.9),
}


def fresh(optimizer, vae=VAE):
    return jaxvae.init_state(KEY, vae, optimizer, X)


def assert_trees_close(a, b, rtol=1e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b)


@pytest.mark.parametrize("optimizer", ASKING.values(), ids=ASKING)
def test_an_optimizer_is_given_what_it_asks_for(optimizer):
    before = fresh(optimizer)
    start = jax.tree.map(jnp.copy, before.params)
    train_epoch = jaxvae.make_train_epoch(VAE, optimizer, batch_size=8)
    state, metrics = train_epoch(KEY, before, X, None)
    assert int(state.step) == 5
    assert np.isfinite(metrics.loss).all()
    moved = [(a != b).any() for a, b in zip(*map(jax.tree.leaves, (start, state.params)))]  # noqa: B905
    assert any(moved)


class Seen(NamedTuple):
    value: jax.Array
    own: jax.Array
    elsewhere: jax.Array
    grads: dict
    slopes: dict


def elsewhere(params):
    return jax.tree.map(lambda leaf: 0.5 * leaf + 0.1, params)


def onlooker():
    """SGD whose state is what it was told."""

    def init(params):
        zero = jnp.zeros(())
        return Seen(zero, zero, zero, params, params)

    def update(grads, state, params=None, *, value, grad, value_fn, **extra_args):
        own, slopes = jax.value_and_grad(value_fn)(params)
        told = Seen(value, own, value_fn(elsewhere(params)), grad, slopes)
        return jax.tree.map(lambda leaf: -0.1 * leaf, grads), told

    return optax.GradientTransformationExtraArgs(init, update)


WEIGHT = np.array([1.0] * 11 + [0.0] * 5, np.float32)  # uneven over two shards, and over eight


@functools.cache
def told_on_one_device():
    params = fresh(SGD).params
    step_key = jax.random.fold_in(KEY, 0)
    batch = Batch(X[:16], None, WEIGHT, np.arange(16, dtype=np.int32))

    def loss(params):
        return VAE.loss(params, step_key, batch)[0]

    value, grads = jax.value_and_grad(loss)(params)
    return Seen(value, value, loss(elsewhere(params)), grads, grads), batch


@pytest.mark.parametrize("on_non_finite", ["trust", "stop", "skip"])
def test_what_an_optimizer_is_told(on_non_finite):
    expected, batch = told_on_one_device()
    optimizer = onlooker()
    step = jax.jit(steps.step_function(VAE, optimizer, on_non_finite=on_non_finite))
    state, _ = step(KEY, fresh(optimizer), batch, True)
    assert_trees_close(state.opt_state, expected)


@pytest.mark.parametrize("mapping", ["vmap", "pmap", "shard_map"])
@pytest.mark.parametrize("shards", [2, 8])
def test_over_devices_it_is_told_of_the_whole_batch(mapping, shards):
    """The loss, its gradient, and both at other parameters; alike to the bit on each device."""
    expected, batch = told_on_one_device()
    optimizer = onlooker()
    step = jaxvae.make_train_step(VAE, optimizer, axis_name="shard")
    state = fresh(optimizer)
    split = jax.tree.map(lambda leaf: leaf.reshape(shards, -1, *leaf.shape[1:]), batch)
    if mapping == "shard_map":
        mesh = jax.sharding.Mesh(jax.devices()[:shards], ("shard",))
        whole, rows = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("shard")
        # Replicated to `shard_map`'s own check: without that, out_specs would be refused.
        mapped = jax.shard_map(step, mesh=mesh, in_specs=(whole, whole, rows), out_specs=whole)
        state, _ = jax.jit(mapped)(KEY, state, batch)
        assert_trees_close(state.opt_state, expected)
        return
    mapper = {"vmap": jax.vmap, "pmap": jax.pmap}[mapping]
    state, _ = mapper(step, in_axes=(None, None, 0), axis_name="shard")(KEY, state, split)
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    assert_trees_close(jax.tree.map(lambda leaf: leaf[0], state.opt_state), expected)


@pytest.mark.parametrize("optimizer", [LBFGS, ASKING["backtracking, gradient kept"]])
def test_a_line_search_ends_alike_on_each_device(optimizer):
    _, batch = told_on_one_device()
    one, _ = jaxvae.make_train_step(VAE, optimizer)(KEY, fresh(optimizer), batch)
    step = jaxvae.make_train_step(VAE, optimizer, axis_name="shard")
    split = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), batch)
    state, _ = jax.pmap(step, in_axes=(None, None, 0), axis_name="shard")(
        KEY, fresh(optimizer), split
    )
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    assert_trees_close(jax.tree.map(lambda leaf: leaf[0], state.params), one.params)


def test_the_loss_is_traced_again_only_by_who_asks():
    traces = []

    def counted(params, key, batch):
        traces.append(1)
        return VAE.loss(params, key, batch)

    counting = VAE._replace(loss=counted)
    seen = {}
    optimizers = {"adam": optax.adam(1e-3), "plateau": PLATEAU, "lbfgs": LBFGS}
    for name, optimizer in optimizers.items():
        traces.clear()
        state = fresh(optimizer)
        jaxvae.make_train_epoch(counting, optimizer, batch_size=8).lower(KEY, state, X, None)
        seen[name] = len(traces)
    assert seen["adam"] == seen["plateau"] == 1
    assert seen["lbfgs"] > 1


def test_members_and_runs_search_alike():
    keys = jax.random.split(KEY, 2)
    options = {"batch_size": 20, "epochs": 1, "optimizer": ASKING["backtracking"]}
    states, _ = jaxvae.fit_many(keys, VAE, X, **options)
    one, _ = jaxvae.fit(keys[1], VAE, X, **options)
    assert_trees_close(jax.tree.map(lambda leaf: leaf[1], states.params), one.params, rtol=1e-3)


@pytest.mark.parametrize("optimizer", [PLATEAU, jaxvae.average_params(LBFGS, 0.9)])
def test_a_stopped_run_goes_on_to_the_bit(optimizer, tmp_path):
    options = {"batch_size": 20, "optimizer": optimizer}
    whole, _ = jaxvae.fit(KEY, VAE, X, epochs=3, **options)
    jaxvae.fit(KEY, VAE, X, epochs=2, checkpoint_dir=tmp_path, **options)
    resumed, _ = jaxvae.fit(KEY, VAE, X, epochs=3, checkpoint_dir=tmp_path, **options)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


@pytest.mark.parametrize("name", ["plateau", "lbfgs"])
def test_a_step_that_is_not_finite_leaves_it_as_it_was(name):
    optimizer = ASKING[name]
    bad = X.copy()
    bad[3, 2] = np.nan
    state, metrics = jaxvae.make_train_step(VAE, optimizer)(KEY, fresh(optimizer), Batch(bad))
    assert not metrics.finite
    jax.tree.map(np.testing.assert_array_equal, state, fresh(optimizer))


@pytest.mark.parametrize(
    ("optimizer", "shows"),
    [
        (PLATEAU, True),
        (jaxvae.average_params(PLATEAU, 0.9), True),
        (LBFGS, False),  # it steps back from what is not finite
        (jaxvae.average_params(LBFGS, 0.9), False),
        # Hides NaN above a loss only.
        (
            optax.chain(
                SGD,
                optax.transforms.conditionally_transform(
                    optax.zero_nans(),
                    lambda step, value, **_: value > 100.0,
                    forward_extra_args=True,
                ),
            ),
            False,
        ),
    ],
)
def test_which_of_them_show_a_gradient_that_is_not_finite(optimizer, shows):
    assert bool(updates.shows_non_finite(optimizer, fresh(SGD).params)) == shows


def test_the_original_api_takes_them():
    for optimizer in (PLATEAU, jaxvae.average_params(PLATEAU, 0.9), optax.MultiSteps(SGD, 2)):
        model = compat.VAE(*compat.dense_encoder_decoder(6, 2, 1, 8, "relu"))
        for _ in range(2):
            assert np.isfinite(model.train_op(X, optimizer))


# The wrappers as Optax's own transformations are tested: a tree with a concentration head.
PARAMS = {
    "encoder": {"concentration": {"bias": jnp.array([1.0, -2.0]), "kernel": jnp.ones((3, 2))}},
    "decoder": {"w": jnp.float32(2.0)},
}
GRADS = jax.tree.map(lambda leaf: leaf / 4 + 0.1, PARAMS)
WRAPPERS = {
    "average": (jaxvae.average_params, {"decay": 0.9}),
    "revive": (jaxvae.revive_dead_categories, {"patience": 3, "nudge": 0.05}),
}


@pytest.fixture(params=WRAPPERS)
def wrapper(request):
    factory, options = WRAPPERS[request.param]
    with jax.numpy_dtype_promotion("standard"):  # Optax relies on it; training sets it
        yield functools.partial(factory, **options)


def run(optimizer, params=PARAMS, count=3, **extra_args):
    """The parameters and the state after some updates, compiled."""
    update = jax.jit(lambda params, state: optimizer.update(GRADS, state, params, **extra_args))
    state = jax.jit(optimizer.init)(params)
    for _ in range(count):
        updates, state = update(params, state)
        params = optax.apply_updates(params, updates)
    assert update._cache_size() == 1  # a state of the same types as the one before
    return params, state


def test_a_wrapper_changes_no_update_and_takes_arguments_it_does_not_know(wrapper):
    params, _ = run(wrapper(optax.adam(0.1)), what_no_optimizer_expects=1)
    expected, _ = run(optax.adam(0.1))
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_a_wrapper_passes_on_what_the_inner_optimizer_asks_for(wrapper):
    asking = optax.polyak_sgd(0.1)
    params, _ = run(wrapper(asking), value=jnp.float32(2.0))
    expected, _ = run(asking, value=jnp.float32(2.0))
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    stepped, _ = run(wrapper(optax.MultiSteps(asking, 2)), value=jnp.float32(2.0))
    assert_trees_close(stepped, run(asking, count=1, value=jnp.float32(2.0))[0])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_wrapper_keeps_dtypes(wrapper, dtype):
    params, grads = (
        jax.tree.map(lambda leaf: leaf.astype(dtype), tree) for tree in (PARAMS, GRADS)
    )
    optimizer = wrapper(optax.sgd(0.5))
    before = optimizer.init(params)
    updates, after = jax.jit(optimizer.update)(grads, before, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
    types = [[leaf.dtype for leaf in jax.tree.leaves(state)] for state in (before, after)]
    assert types[0] == types[1]


@pytest.mark.parametrize("outside", ["alone", "chain", "steps", "masked", "injected"])
def test_parameters_in_the_state_are_found(wrapper, outside):
    """`optax.tree.map_params` reaches every array of the state that is shaped as parameters."""
    inner = wrapper(optax.adam(0.1))
    mask = {"encoder": True, "decoder": False}
    optimizer = {
        "alone": lambda: inner,
        "chain": lambda: optax.chain(optax.clip(1.0), inner),
        "steps": lambda: optax.MultiSteps(inner, 2),
        "masked": lambda: optax.masked(inner, mask),
        "injected": lambda: optax.inject_hyperparams(wrapper.func)(
            optax.adam(0.1), **wrapper.keywords
        ),
    }[outside]()
    state = optimizer.init(PARAMS)
    mapped = optax.tree.map_params(optimizer, lambda leaf: leaf + 7, state)
    changed = [
        (new != old).any()
        for new, old in zip(jax.tree.leaves(mapped), jax.tree.leaves(state), strict=True)
    ]
    # Adam's two moments and the average; the counters stay. Masked, two arrays of three each.
    trees = {"average_params": 3, "revive_dead_categories": 2}[wrapper.func.__name__]
    assert sum(changed) == (trees + (outside == "steps")) * (2 if outside == "masked" else 3)


def test_the_numbers_of_a_wrapper_can_be_injected(wrapper):
    inner = optax.sgd(0.1, momentum=0.5)
    injected = optax.inject_hyperparams(wrapper.func)(inner, **wrapper.keywords)
    params, state = run(injected)
    expected, expected_state = run(wrapper(inner))
    assert_trees_close((params, state.inner_state), (expected, expected_state))
    assert set(state.hyperparams) == set(wrapper.keywords)


def test_an_injected_number_is_the_one_that_is_used():
    optimizer = optax.inject_hyperparams(jaxvae.average_params)(optax.sgd(1.0), decay=0.9)
    state = optimizer.init(PARAMS)
    state.hyperparams["decay"] = jnp.float32(1e-6)  # the average is then the parameters
    updates, state = optimizer.update(GRADS, state, PARAMS)
    assert_trees_close(state.inner_state.average, optax.apply_updates(PARAMS, updates))


def test_a_wrapper_accumulates(wrapper):
    optimizer = optax.MultiSteps(wrapper(optax.sgd(1.0)), 4)
    updates, _ = jax.jit(optimizer.update)(GRADS, optimizer.init(PARAMS), PARAMS)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 0 * leaf), updates)


def test_hyperparams_of_members_beside_a_plateau():
    """`fit_many` sets a value of the state; the optimizer inside asks for the loss."""

    def make(learning_rate):
        return optax.chain(optax.sgd(learning_rate), optax.contrib.reduce_on_plateau())

    rates = np.array([0.0, 0.1], np.float32)
    states, _ = ensembles.fit_many(
        jnp.stack([KEY, KEY]),
        VAE,
        X,
        batch_size=20,
        epochs=1,
        optimizer=optax.inject_hyperparams(make)(0.5),
        hyperparams={"learning_rate": rates},
    )
    start = jax.tree.leaves(fresh(SGD).params)
    for leaf, first in zip(jax.tree.leaves(states.params), start, strict=True):
        np.testing.assert_array_equal(leaf[0], first)
        assert (leaf[1] != first).any()
