"""Examples and parameters that are split over devices: the run of one device, and what is sent."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import sparse as scipy_sparse

import jaxvae
from conftest import small_vae
from jaxvae.data import examples as data_forms
from jaxvae.data.batches import take
from jaxvae.parallel import Placement
from jaxvae.training import devices as places
from jaxvae.training import exchange, preparation

KEY = jax.random.key(0)
ROWS, BATCH = 103, 18  # 4 devices divide neither
OPTIMIZER = optax.adam(1e-3)
OPTIONS = {"batch_size": BATCH, "epochs": 2, "optimizer": OPTIMIZER}
ITEM = {"u8": 1, "s32": 4, "f32": 4, "pred": 1, "u32": 4}


def mesh_of(kind):
    axis_type = AxisType.Explicit if kind == "explicit" else AxisType.Auto
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(axis_type,) * 2)


def wide(params):
    """Each hidden layer's units split, and what reads them."""
    return jax.tree.map(
        lambda leaf: P(None, "model") if len(leaf.shape) == 2 and leaf.shape[1] % 2 == 0 else P(),
        params,
    )


def rows_of_each(params):
    """Every array split by its first axis, where four devices divide it."""
    return jax.tree.map(
        lambda leaf: P("device") if leaf.shape and leaf.shape[0] % 4 == 0 else P(), params
    )


def losses(history):
    return np.concatenate([record.batch_losses for record in history.epochs])


def assert_same(found, expected, *, exact=False):
    """Two runs of `fit`."""
    (state, history), (other, others_history) = found, expected
    compare = np.testing.assert_array_equal if exact else close
    compare(losses(history), losses(others_history))
    jax.tree.map(lambda a, b: compare(np.asarray(a), np.asarray(b)), state, other)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def collectives(text):
    """The collectives of a compiled program: (name, bytes of what comes out) of each."""
    found = []
    for line in text.splitlines():
        match = re.search(r"= (.*?) (all-[a-z-]+|reduce-scatter|collective-permute)\(", line)
        if match:
            arrays = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            sizes = [ITEM[t] * np.prod([int(n) for n in s.split(",") if n]) for t, s in arrays]
            found.append((match[2], int(sum(sizes))))
    return found


class CompiledError(Exception):
    """The program of an epoch and what it is called with."""


def compiled_by_fit(monkeypatch, data, devices, model="normal"):
    """The text of the program that `fit` makes, the examples that it is given, the state."""

    def stop(function, *args):
        raise CompiledError(function.lower(*args).compile(), args)

    monkeypatch.setattr(preparation, "compile_ahead", stop)
    with pytest.raises(CompiledError) as found:
        jaxvae.fit(KEY, small_vae(model), data, **OPTIONS, devices=devices)
    compiled, (*_, state, _, given) = found.value.args
    return compiled.as_text(), given, state


@pytest.fixture(scope="module")
def data():
    """Of every kind of field that a batch has."""
    rng = np.random.default_rng(0)
    x = rng.random((ROWS, 64), np.float32)
    return jaxvae.Batch(x, rng.integers(0, 10, ROWS), rng.uniform(0.5, 2, ROWS))


@pytest.fixture(scope="module")
def one_device(data):
    return jaxvae.fit(KEY, small_vae("normal"), data, **OPTIONS)


@pytest.mark.parametrize("parts", [1, 4, 7])
def test_a_batch_comes_together_bit_for_bit(parts):
    """Of every dtype, rank and form; the rows come from all devices, some twice."""
    rng = np.random.default_rng(0)
    counts = scipy_sparse.random_array((ROWS, 9), density=0.3, rng=rng, dtype=np.float32).tocsr()
    x = {
        "image": rng.integers(0, 256, (ROWS, 2, 3)).astype(np.uint8),
        "short": rng.integers(-999, 999, (ROWS, 1)).astype(np.int16),
        "real": np.where(
            rng.random((ROWS, 3)) < 0.5, np.float32(-0.0), rng.random((ROWS, 3), "f4")
        ),
        "counts": counts,
    }
    data = jaxvae.Batch(
        x, rng.integers(-1, 5, ROWS).astype(np.int32), condition=rng.random((ROWS, 2)) < 0.5
    )
    mesh = places.mesh_of(places.choose_devices(parts))
    index = jnp.asarray(rng.permutation(ROWS)[: 3 * parts].astype(np.int32))
    split = exchange.split_data(data, len(index), mesh)
    gather = jax.jit(lambda data, index: exchange.on_mesh(data, index, examples=ROWS, mesh=mesh))
    found = gather(split, index)
    expected = take(data_forms.on_device_form(data, len(index)), index)
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == other.dtype
        np.testing.assert_array_equal(leaf, other)
        assert leaf.sharding.shard_shape(leaf.shape)[0] == 3
        if leaf.dtype == np.float32:
            np.testing.assert_array_equal(np.signbit(leaf), np.signbit(other))
    for leaf in jax.tree.leaves(split):
        assert leaf.sharding.shard_shape(leaf.shape)[0] == 1


def test_split_examples_are_the_same_run(data, one_device):
    vae = small_vae("normal")
    copied = jaxvae.fit(KEY, vae, data, **OPTIONS, devices=4)
    split = jaxvae.fit(KEY, vae, data, **OPTIONS, devices=Placement(4, data="split"))
    assert_same(split, copied)  # two programs: the batches are the same, sums may round otherwise
    assert_same(split, one_device)


@pytest.mark.slow
def test_split_sparse_examples_are_the_same_run():
    rng = np.random.default_rng(0)
    dense = rng.random((50, 64)) * (rng.random((50, 64)) < 0.1)
    dense[7] = 1  # a long row
    x = scipy_sparse.csr_array(dense)
    vae = small_vae("normal")
    one = jaxvae.fit(KEY, vae, x, **OPTIONS)
    for devices in (3, jax.make_mesh((3,), ("data",), axis_types=(AxisType.Auto,))):
        split = jaxvae.fit(KEY, vae, x, **OPTIONS, devices=Placement(devices, data="split"))
        assert_same(split, one)


def test_what_a_step_sends(data, monkeypatch):
    """One exchange of the batch and one sum of the gradients; nothing as large as all examples."""
    split = Placement(4, data="split")
    text, given, state = compiled_by_fit(monkeypatch, data, split)
    padded, width = 20, 4 * (64 + 1 + 1)  # x, y and weight as bytes
    gradients = 4 * (4 + sum(leaf.size for leaf in jax.tree.leaves(state.params)))
    assert sorted(collectives(text)) == [("all-reduce", gradients), ("all-to-all", padded * width)]
    for leaf in jax.tree.leaves(given):
        assert leaf.sharding.shard_shape(leaf.shape)[:2] == (1, 26)  # of 103
    text, _, _ = compiled_by_fit(monkeypatch, data, 4)
    assert collectives(text) == [("all-reduce", gradients)]


@pytest.mark.parametrize(
    "where", [Placement(4, "split", rows_of_each), Placement(mesh_of("auto"), "split", wide)]
)
def test_what_a_step_sends_on_a_mesh(where, data, monkeypatch):
    """However the parameters are split, no array of all examples comes together."""
    text, given, state = compiled_by_fit(monkeypatch, data, where)
    sent = collectives(text)
    assert [name for name, _ in sent].count("all-to-all") == 1
    gradients = 4 * (4 + sum(leaf.size for leaf in jax.tree.leaves(state.params)))
    assert sum(size for name, size in sent if name != "all-to-all") <= 3 * gradients
    assert max(size for _, size in sent) < ROWS * 4 * 64 / 2
    assert {leaf.sharding.shard_shape(leaf.shape)[0] for leaf in jax.tree.leaves(given)} == {1}


@pytest.mark.parametrize(("kind", "examples"), [("auto", "split"), ("explicit", "copied")])
def test_split_parameters_are_the_same_run(kind, examples, data, one_device):
    vae, where = small_vae("normal"), Placement(mesh_of(kind), data=examples, params=wide)
    state, history = jaxvae.fit(KEY, vae, data, **OPTIONS, devices=where)
    assert_same((state, history), one_device)
    specs = {leaf.sharding.spec for leaf in jax.tree.leaves(state)}
    assert specs == {P(), P(None, "model")}
    # Adam's moments lie as the parameters do.
    split = [leaf for leaf in jax.tree.leaves(state) if leaf.sharding.spec == P(None, "model")]
    assert len(split) == 3 * len([leaf for leaf in jax.tree.leaves(state.params) if leaf.ndim == 2])


def test_what_is_made_of_split_parameters(data, one_device, tmp_path):
    """Evaluation, encoding, checkpoints and the state read from them, a saved model."""
    vae, where = small_vae("normal"), Placement(4, data="split", params=rows_of_each)
    expected, _ = one_device
    longer = OPTIONS | {"epochs": 3}
    folder = tmp_path / "run"
    options = {"devices": where, "validation": data, "patience": 5}
    first, _ = jaxvae.fit(KEY, vae, data, **OPTIONS, **options, checkpoint_dir=folder)
    resumed = jaxvae.fit(KEY, vae, data, **longer, **options, checkpoint_dir=folder)
    straight = jaxvae.fit(KEY, vae, data, **longer, **options)
    assert_same(resumed, straight, exact=True)
    read = jaxvae.load_state(folder, vae, OPTIMIZER, data, devices=where)
    for state in (first, resumed[0], read):
        lies = [leaf.sharding for leaf in jax.tree.leaves(state.params)]
        assert any(sharding.spec == P("device") for sharding in lies)
        assert all(isinstance(sharding, NamedSharding) for sharding in lies)
    assert float(jaxvae.evaluate(KEY, vae, first.params, data).loss) == pytest.approx(
        float(jaxvae.evaluate(KEY, vae, expected.params, data).loss), rel=1e-4
    )
    close(
        jaxvae.encode_mean(vae, first.params, data.x),
        jaxvae.encode_mean(vae, expected.params, data.x),
    )
    saved = jaxvae.load(jaxvae.save(tmp_path / "model", vae, first.params))
    jax.tree.map(np.testing.assert_array_equal, saved.params, first.params)


def test_a_state_that_is_split_already_stays_so(data, one_device):
    vae, mesh = small_vae("normal"), mesh_of("explicit")
    state = jaxvae.init_state(KEY, vae, OPTIMIZER, data)
    specs = wide(state.params)
    params = jax.tree.map(
        lambda leaf, spec: jax.device_put(leaf, NamedSharding(mesh, spec)), state.params, specs
    )
    found = jaxvae.fit(KEY, vae, data, **OPTIONS, state=state._replace(params=params))
    assert_same(found, one_device)
    assert jax.tree.map(lambda leaf: leaf.sharding.spec, found[0].params) == specs


@pytest.mark.slow
def test_a_stream_with_split_parameters(data):
    def batches():
        for start in range(0, ROWS, 10):
            yield data.x[start : start + 10], data.y[start : start + 10]

    vae, where = small_vae("normal"), Placement(4, params=rows_of_each)
    expected = jaxvae.fit(KEY, vae, batches, **OPTIONS)
    assert_same(jaxvae.fit(KEY, vae, batches, **OPTIONS, devices=where), expected)
    with pytest.raises(ValueError, match="data of Placement must be 'copied' where x gives"):
        jaxvae.fit(KEY, vae, batches, **OPTIONS, devices=Placement(4, data="split"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Placement(9), ValueError, "devices must be at most 8 here, got 9"),
        (lambda: Placement(data="rows"), ValueError, "data must be one of .*, got 'rows'"),
        (lambda: Placement(params=P("device")), TypeError, "params must be a function"),
        (lambda: Placement(4, params=lambda _: P()), ValueError, "return a PartitionSpec for each"),
        (
            lambda: Placement(4, params=lambda tree: jax.tree.map(lambda _: "device", tree)),
            TypeError,
            r"params of Placement, at .*\[64\], must be a PartitionSpec, got 'device'",
        ),
        (
            lambda: Placement(4, params=lambda tree: jax.tree.map(lambda _: P("model"), tree)),
            ValueError,
            r"must be one for its shape and the mesh {'device': 4}, got .*model",
        ),
        (
            lambda: Placement(3, params=lambda tree: jax.tree.map(lambda _: P("device"), tree)),
            ValueError,
            r"must be one for its shape and the mesh {'device': 3}, got",
        ),
    ],
)
def test_wrong_placements(make, error, message, data):
    with pytest.raises(error, match=message):
        jaxvae.fit(KEY, small_vae("normal"), data.x, **OPTIONS, devices=make())


def test_members_take_no_placement(data):
    with pytest.raises(TypeError, match="got Placement"):
        jaxvae.fit_many(
            jax.random.split(KEY, 2), small_vae("normal"), data.x, **OPTIONS, devices=Placement(2)
        )
