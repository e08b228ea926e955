"""The original's API: the golden vectors through it, its semantics, and every wrong use."""

import copy
import pickle
import re
import zipfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden import FOLDER, assert_close, give_noise, load
from jax.experimental import io_callback

import jaxvae
from jaxvae import compat as vae
from jaxvae.compat import keras, keys, shared
from jaxvae.model import vae as core


@pytest.fixture(autouse=True)
def seed():
    vae.set_seed(0)


def normal(data_dim=64, hidden_units=16, layers=1, **options):
    return vae.VAE(*vae.dense_encoder_decoder(data_dim, 2, layers, hidden_units, "relu"), **options)


def dirichlet(data_dim=64, hidden_units=16, layers=1, **options):
    pair = vae.dense_encoder_decoder_dirichlet(data_dim, 10, layers, hidden_units, "relu")
    return vae.DIRICHLET_VAE(*pair, **{"smoothness": 0.5, "categories": 10, **options})


@pytest.fixture
def own_functions():
    """Models whose functions no other test shares: noise that is given is compiled in."""
    caches = shared.normal_functions, shared.dirichlet_functions
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(params=["normal", "dirichlet"])
def golden_model(request, own_functions):
    golden = load(request.param)
    v = normal(20, 16, 4, C=3.0) if request.param == "normal" else dirichlet(20, 16, 4)
    vae.set_weights(v, FOLDER / f"golden_{request.param}.npz", prefix="init/")
    return request.param, golden, v


@pytest.mark.parametrize("kind", ["normal", "dirichlet"])
def test_a_model_is_pickled_with_its_weights(kind):
    """It gives the same, and can be trained further; a deep copy keeps the optimizer's state."""
    v = normal() if kind == "normal" else dirichlet()
    x, z = np.random.default_rng(0).random((20, 64)), np.eye(2 if kind == "normal" else 10)
    more = () if kind == "normal" else (np.arange(20) % 10,)
    optimizer = optax.adam(1e-3)
    v.train_op(x, *more, optimizer)
    again, twin = pickle.loads(pickle.dumps(v)), copy.deepcopy(v)
    for other in (again, twin):
        for decode in ("map_from_latent", "decoder"):
            mine, its = (jax.tree.leaves(getattr(m, decode)(z))[0] for m in (v, other))
            np.testing.assert_array_equal(mine, its)
        np.testing.assert_array_equal(*(jax.tree.leaves(m.map_to_latent(x))[0] for m in (v, other)))
    before = vae.get_weights(v)
    again.train_op(x, *more, optimizer)
    assert len(twin._opt_states) == 1
    after = vae.get_weights(again)
    assert any((after[name] != before[name]).any() for name in before)
    for name, weight in vae.get_weights(v).items():  # the original is not touched
        np.testing.assert_array_equal(weight, before[name])


def test_a_copy_of_a_coder_keeps_its_weights():
    """Whatever is done with the model that it was copied from."""
    v, x, optimizer = normal(), np.ones((4, 64)), optax.adam(1e-3)
    for _ in range(2):
        before, twin = v.encoder(x)[0], copy.copy(v.encoder)
        v.train_op(x, optimizer)
        assert not np.array_equal(v.encoder(x)[0], before)
        np.testing.assert_array_equal(twin(x)[0], before)
    v.fit(x, batch_size=4, epochs=1)
    np.testing.assert_array_equal(twin(x)[0], before)


def test_an_error_of_a_latent_names_it():
    with pytest.raises(ValueError, match=r"^z must have 10 columns, got 9"):
        dirichlet().map_from_latent(np.eye(9))
    with pytest.raises(ValueError, match=r"^z must have 2 columns, got 9"):
        normal().sample_given_z(np.eye(9))


def test_golden_outputs(golden_model):
    name, golden, v = golden_model
    if name == "normal":
        mu, sigma = v.map_to_latent(golden["x"])
        assert_close(mu, golden["mu"])
        assert_close(sigma, golden["sigma"])
        for decode in (v.map_from_latent, v.sample_given_z, v.decoder):
            decoded, one = decode(golden["mu"])
            assert_close(decoded, golden["decoded_mu"])
            assert one == 1.0
    else:
        assert_close(v.encoder(golden["x"]) + np.float32(0.1), golden["concentration"])
        assert_close(v.map_to_latent(golden["x"]), golden["map_to_latent"])
        assert_close(v.map_from_latent(golden["z"]), golden["decoded"])


def test_golden_loss_and_gradient(golden_model, monkeypatch):
    name, golden, v = golden_model
    give_noise(monkeypatch, golden["eps" if name == "normal" else "log_gamma"])
    batch = [golden["x"]] if name == "normal" else [golden["x"], golden["y"]]
    assert_close(v.loss_op(*batch), golden["loss"])
    before = vae.get_weights(v)
    assert_close(v.train_op(*batch, optax.sgd(1.0)), golden["loss"])
    for weight, after in vae.get_weights(v).items():
        expected = golden[f"grad/{weight}"]
        # A subtraction of two weights cannot tell their last bit.
        slack = np.abs(before[weight]).max() * 2.0**-23
        np.testing.assert_allclose(
            before[weight] - after, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max() + slack
        )


def test_golden_twenty_steps(monkeypatch, own_functions):
    golden, v = load("normal"), normal(20, 16, 4, C=3.0)
    vae.set_weights(v, FOLDER / "golden_normal.npz", prefix="init/")
    noise, shape = iter(golden["steps_eps"]), jax.ShapeDtypeStruct((8, 2), jnp.float32)

    def draw(latent, keys, q):
        return q.loc + io_callback(lambda: next(noise), shape, ordered=False) * q.scale

    monkeypatch.setattr(core, "draw", draw)
    optimizer = keras.adam()
    losses = [v.train_op(x, optimizer) for x in golden["steps_x"]]
    assert_close(np.array(losses), golden["steps_loss"], relative=1e-4)
    for name, weight in vae.get_weights(v).items():
        assert_close(weight, golden[f"final/{name}"], relative=1e-4)


@pytest.mark.slow
def test_wrapper_equals_functions(model, digits, capsys):
    """`fit` of the wrapper is `fit` of the core, bit for bit, with the third key it draws."""
    x, y = digits.x_train[:200], digits.y_train[:200]
    if model == "normal":
        v = normal(C=3.0)
        network = jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=16)
        core = jaxvae.normal_vae(network, prior_variance=3.0, objective="original")
        optimizer = keras.adam()
    else:
        v = dirichlet()
        network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=16, head="relu")
        core = jaxvae.dirichlet_vae(network, objective="original", gradient="gamma")
        optimizer = jaxvae.revive_dead_categories(keras.adam())
    vae.get_weights(v)  # makes them
    params = jax.tree.map(jnp.copy, {"encoder": v.encoder.params, "decoder": v.decoder.params})
    state = jaxvae.TrainState(jnp.int32(0), params, optimizer.init(params))
    data = [x] if model == "normal" else [x, y]
    v.fit(*data, batch_size=64, epochs=2)
    state, history = jaxvae.fit(
        jax.random.fold_in(jax.random.key(0), 2),
        core,
        *data,
        batch_size=64,
        epochs=2,
        state=state,
        optimizer=optimizer,
    )
    jax.tree.map(np.testing.assert_array_equal, v.encoder.params, state.params["encoder"])
    jax.tree.map(np.testing.assert_array_equal, v.decoder.params, state.params["decoder"])
    printed = re.findall(r"epoch (\d+) - (\S+)\n", capsys.readouterr().out)
    means = [(str(r.epoch), f"{r.batch_losses.mean():.2f}") for r in history.epochs]
    assert printed == means


def test_a_latent_by_the_functions_is_that_of_the_wrapper(model, digits):
    """By the calls that `docs/migration.md` names."""
    v, x = (normal if model == "normal" else dirichlet)(), digits.x_test[:7]
    found = v.map_to_latent(x)
    params = {"encoder": v.encoder.params, "decoder": {}}
    if model == "normal":
        core = jaxvae.normal_vae(
            jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=16), objective="original"
        )
        mu, sigma = core.encode(params, x)
        np.testing.assert_allclose(found, (mu, sigma), rtol=1e-5)
    else:
        network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=16, head="relu")
        core = jaxvae.dirichlet_vae(network, objective="original")
        np.testing.assert_allclose(found, jaxvae.encode_mean(core, params, x), rtol=1e-5)


@pytest.mark.slow
def test_fit_trains_prints_and_goes_on(digits, capsys):
    v = dirichlet(hidden_units=64)
    assert v.fit(digits.x_train, digits.y_train, batch_size=64, epochs=6) is None
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 7
    for number, line in enumerate(lines[:-1]):
        assert re.fullmatch(rf"Error \d+\.\d\d\repoch {number} - \d+\.\d\d", line)
    first = v.encoder(digits.x_test)
    v.fit(digits.x_train, digits.y_train, batch_size=64, epochs=20)
    assert not np.array_equal(first, v.encoder(digits.x_test))
    guess = v.map_to_latent(digits.x_test).numpy().argmax(axis=1)
    assert np.mean(guess == digits.y_test) > 0.85
    last = capsys.readouterr().out.split()[-1]
    assert float(last) < float(lines[5].split()[-1])


@pytest.mark.slow
def test_the_demo_of_the_normal_model(digits, capsys):
    """The original's notebook on its small data: codes of one digit lie together."""
    x, y = digits.x_train * 16, digits.y_train
    pair = vae.dense_encoder_decoder(64, 2, layers=4, hidden_units=128, activation=jax.nn.relu)
    v = vae.VAE(*pair, C=3.0)
    v.fit(x, batch_size=64, epochs=60)
    mu, sigma = v.map_to_latent(x)
    mu = mu.numpy()
    assert (sigma.numpy() > 0).all()
    distance = np.linalg.norm(mu[:, None] - mu, axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert np.mean(y[distance.argmin(axis=1)] == y) > 0.6  # by chance 0.1
    corners = np.stack(np.meshgrid(*np.quantile(mu[y == 9], [0.1, 0.9], axis=0).T), -1)
    decoded, one = v.sample_given_z(corners.reshape(-1, 2))
    assert decoded.numpy().shape == (4, 64)
    assert one == 1.0


@pytest.mark.slow
def test_a_run_of_the_defaults(digits, capsys):
    """batch_size=1 and epochs=3, as the original has them."""
    v = normal()
    v.fit(digits.x_train[:30])
    assert capsys.readouterr().out.count("epoch") == 3


@pytest.mark.slow
def test_a_failed_run_keeps_the_weights_before_it(digits, capsys):
    v = normal()
    v.encoder(digits.x_train)
    huge = digits.x_train.copy()
    huge[100] = 3e38
    with pytest.raises(jaxvae.NonFiniteStepError, match="step"):
        v.fit(huge, batch_size=64, epochs=2)
    with pytest.raises(FloatingPointError, match="weights are those before it"):
        v.train_op(huge[100:101], optax.sgd(1.0))
    assert all(np.isfinite(weight).all() for weight in vae.get_weights(v).values())
    assert np.isfinite(v.loss_op(digits.x_train))


def test_seeds(digits):
    def losses():
        v = normal()
        return [float(v.loss_op(digits.x_train)) for _ in range(2)]

    first = losses()
    assert first[0] != first[1]  # each call has noise of its own
    assert losses() != first
    vae.set_seed(0)
    assert losses() == first


def test_without_a_seed_runs_differ(monkeypatch):
    weights = []
    for _ in range(2):
        monkeypatch.setattr(keys, "_seed", None)
        weights.append(vae.get_weights(normal())["encoder/hidden_0/kernel"])
    assert not np.array_equal(*weights)


@pytest.mark.parametrize(
    "cast",
    [
        np.float64,
        np.float16,
        np.uint8,
        np.int64,
        lambda x: jnp.asarray(x, jnp.bfloat16),
        lambda x: x.tolist(),
    ],
)
def test_inputs_of_any_real_type(cast):
    v, x = dirichlet(), np.arange(128).reshape(2, 64) % 3
    expected = v.map_to_latent(x.astype(np.float32))
    np.testing.assert_array_equal(v.map_to_latent(cast(x)), expected)
    v.loss_op(cast(x), np.array([1.0, 2.0]))  # the original casts labels


def test_outputs_are_arrays_to_write_to():
    decoded = dirichlet().map_from_latent(np.eye(10))
    assert isinstance(decoded, np.ndarray)
    assert type(decoded.numpy()) is np.ndarray
    assert decoded[0].numpy().shape == (64,)
    decoded[0] = 0
    loss = normal().loss_op(np.zeros((2, 64)))
    assert loss.shape == ()
    assert type(loss.numpy()) is np.float32
    assert f"{loss:.2f}" == f"{float(loss):.2f}"


def test_optimizers_keep_their_state(digits):
    v, x = normal(), digits.x_train[:64]
    adam, sgd = optax.adam(1e-2), optax.sgd(1e-3)
    losses = [float(v.train_op(x, adam)) for _ in range(50)]
    v.train_op(x, sgd)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    count = v._opt_states[id(adam)][1][0].count
    assert int(count) == 50


class Encoder(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x):
        h = nn.tanh(nn.Dense(8, name="first")(x))
        out = [nn.softplus(nn.Dense(3)(h)) for _ in range(self.heads)]
        return tuple(out) if self.heads > 1 else out[0]


class Decoder(nn.Module):
    second: object = None

    @nn.compact
    def __call__(self, z):
        mu = nn.Dense(64)(z)
        return mu if self.second is None else (mu, self.second)


@pytest.mark.slow
@pytest.mark.parametrize("second", [None, 1.0])
def test_own_flax_modules(second, digits, capsys):
    v = vae.VAE(Encoder(2), Decoder(second))
    v.fit(digits.x_train, batch_size=64, epochs=2)
    mu, _ = v.map_to_latent(digits.x_test)
    assert mu.shape == (len(digits.x_test), 3)
    weights = vae.get_weights(v)
    assert "encoder/first/kernel" in weights
    other = vae.VAE(Encoder(2), Decoder(second))
    other.encoder(digits.x_test), other.decoder(mu)
    vae.set_weights(other, weights)
    np.testing.assert_array_equal(other.map_to_latent(digits.x_test)[0], mu)


@pytest.mark.slow
def test_own_flax_modules_with_a_dirichlet_latent(digits, capsys):
    v = vae.DIRICHLET_VAE(Encoder(1), Decoder(), 0.5, 3)
    v.fit(digits.x_train, digits.y_train % 3, batch_size=64, epochs=2)
    assert "epoch 1" in capsys.readouterr().out


def test_weights_there_and_back(tmp_path):
    v, other = dirichlet(layers=11), dirichlet(layers=11)
    weights = vae.get_weights(v)
    np.savez(tmp_path / "weights.npz", **weights)
    x = np.ones((3, 64))
    in_order = [
        weights[f"{side}/{layer}/{kind}"]
        for side, head in (("encoder", "alpha_layer"), ("decoder", "decoder_mu_layer"))
        for layer in [*(f"hidden_{i}" for i in range(11)), head]
        for kind in ("kernel", "bias")
    ]
    for source in (weights, tmp_path / "weights.npz", str(tmp_path / "weights.npz"), in_order):
        assert not np.array_equal(v.map_to_latent(x), other.map_to_latent(x))
        vae.set_weights(other, source)
        np.testing.assert_array_equal(v.map_to_latent(x), other.map_to_latent(x))
        other = dirichlet(layers=11)
    vae.set_weights(other.encoder, vae.get_weights(v.encoder))
    np.testing.assert_array_equal(v.encoder(x), other.encoder(x))


def test_no_header_of_a_file_of_weights_is_believed(tmp_path):
    path = tmp_path / "weights.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        claimed = {"descr": "<f8", "fortran_order": False, "shape": (10**16,)}
        np.lib.format.write_array_header_1_0(file, claimed)
    with pytest.raises(ValueError, match=r"source must be a readable .npz file, got .*weights.npz"):
        vae.set_weights(normal(), path)


def test_attributes_are_read_when_used():
    v, x, y = dirichlet(), np.ones((4, 64)), np.arange(4)
    vae.set_seed(1)
    before = v.loss_op(x, y)
    v.label_smoothing = 80.0
    vae.set_seed(1)
    assert v.loss_op(x, y) > before + 1


def with_variance(variance):
    """A model whose attribute was set after it was made."""
    model = normal()
    model.C = variance
    return model


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: normal().fit(x[:0]), ValueError, r"data must not be empty, got .*\(0, 64\)"),
        (lambda x, y: normal().fit(x[0]), ValueError, r"data must have the shape \[N, D\]"),
        (lambda x, y: normal().fit([[1, 2], [3]]), ValueError, "^data must be an array, got rows"),
        (lambda x, y: normal().fit(None), TypeError, "^data must be an array, got None"),
        (
            lambda x, y: normal().fit(np.ma.masked_less(x, 0.5)),
            ValueError,
            "^data must have no masked values, got",
        ),
        (
            lambda x, y: normal().fit(np.append(x[:9], x[:1] * np.nan, 0)),
            ValueError,
            r"^data must be finite, got nan at index \(9, 0\)",
        ),
        (lambda x, y: normal().fit(x[:, :60]), ValueError, "^data must have 64 columns, got 60"),
        (lambda x, y: dirichlet().fit(x[:, :60], y), ValueError, "^x must have 64 columns, got 60"),
        (lambda x, y: normal().encoder(x[:, :60]), ValueError, "x must have 64 columns, got 60"),
        (lambda x, y: normal().fit(x, batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda x, y: normal().fit(x, epochs=1.5), TypeError, "epochs must be an integer, got 1.5"),
        (lambda x, y: normal().fit(x * np.nan), ValueError, "data must be finite, got nan"),
        (lambda x, y: normal().map_to_latent(x * np.nan), ValueError, "x must be finite, got nan"),
        (lambda x, y: normal().map_from_latent([[0, np.nan]]), ValueError, "z must be finite, got"),
        (lambda x, y: normal().map_from_latent(1.0), ValueError, r"z must have the shape \[B, D\]"),
        (lambda x, y: dirichlet().map_to_latent(x * np.nan), ValueError, "x must be finite"),
        (
            lambda x, y: normal().encoder(np.full((2, 64), 1e300)),
            ValueError,
            "x must be finite, got inf at .*; as a float32 a number beyond 3.4e38 is infinite",
        ),
        (
            lambda x, y: normal().map_to_latent(x + np.float32(3e38)),
            ValueError,
            "the output of example 0 is (nan|inf|-inf), though params are finite: some values",
        ),
        (
            lambda x, y: dirichlet().map_from_latent([[0.1] * 10, [3.4e38] * 10]),
            ValueError,
            "the output of example 1 is (nan|inf|-inf), though params are finite",
        ),
        (
            lambda x, y: dirichlet().map_to_latent(x + np.float32(3e38)),
            ValueError,
            "the posterior mean of example 0 is nan, though params are finite",
        ),
        (
            lambda x, y: dirichlet().loss_op(x + np.float32(1e30), y),
            ValueError,
            "the loss is (nan|inf), though params are finite",
        ),
        (lambda x, y: dirichlet().map_to_latent(1), ValueError, r"x must have the shape \[B, D\]"),
        (
            lambda x, y: with_variance(-1).loss_op(x),
            ValueError,
            "C must be finite and above 0, got",
        ),
        (lambda x, y: normal(C=0), ValueError, "C must be finite and above 0, got 0"),
        (lambda x, y: dirichlet().fit(x), TypeError, "missing .* argument: 'y'"),
        (lambda x, y: dirichlet().fit(x, None), TypeError, "y must be an array, got None"),
        (
            lambda x, y: dirichlet().fit(x, np.ma.masked_equal(y, 3)),
            ValueError,
            "^y must have no masked values, got",
        ),
        (lambda x, y: dirichlet().loss_op(x[:2], [[1], [2, 3]]), ValueError, "^y must be an array"),
        (
            lambda x, y: dirichlet().fit(x, np.where(y == 3, np.inf, y)),
            ValueError,
            "^y must be finite, got inf at index",
        ),
        (
            lambda x, y: dirichlet().fit(x, np.where(y == 3, 1e300, y)),
            TypeError,
            "^y must hold integers, got dtype float64",
        ),
        (lambda x, y: dirichlet().fit(x, y[:5]), ValueError, "y must have one label for each"),
        (lambda x, y: dirichlet().fit(x, y + 1), ValueError, "y must be from 0 to 9, got 10"),
        (lambda x, y: dirichlet().fit(x, y + 0.5), TypeError, "y must hold integers, got dtype"),
        (lambda x, y: dirichlet().loss_op(x, y - 1), ValueError, "y must be from 0 to 9, got -1"),
        (lambda x, y: dirichlet(categories=9), ValueError, "categories must be .* 10, got 9"),
        (lambda x, y: dirichlet(categories=1), ValueError, "categories must be at least 2, got 1"),
        (lambda x, y: dirichlet(smoothness=-1), ValueError, "smoothness must be finite and above"),
        (lambda x, y: dirichlet(alpha_smoothing=0), ValueError, "alpha_smoothing must be finite"),
        (
            lambda x, y: vae.VAE(normal().encoder, normal(60).decoder),
            ValueError,
            "encoder must take the 60 columns that the decoder gives, got one that takes 64",
        ),
        (
            lambda x, y: vae.VAE(normal().encoder, dirichlet().decoder),
            ValueError,
            "decoder must take the 2 columns that the encoder gives, got one that takes 10",
        ),
        (
            lambda x, y: vae.VAE(*vae.dense_encoder_decoder_dirichlet(64, 2, 1, 8, None)).fit(x),
            ValueError,
            r"network.encode must return a pair \(loc, scale\) of arrays \[B, K\], got",
        ),
        (
            lambda x, y: vae.DIRICHLET_VAE(Encoder(1), Decoder(), 0.5, 10).fit(x, y),
            ValueError,
            r"encoder must return one array \[B, 10\].* got",
        ),
        (
            lambda x, y: vae.DIRICHLET_VAE(Encoder(2), Decoder(), 0.5, 3).fit(x, y % 3),
            ValueError,
            r"encoder must return one array \[B, 3\].* got",
        ),
        (
            lambda x, y: vae.VAE(Encoder(2), Decoder(2.0)).fit(x),
            ValueError,
            r"decoder must return \(mu, 1.0\), or mu alone",
        ),
        (
            lambda x, y: vae.VAE(lambda x: x, Decoder()),
            TypeError,
            "encoder must be a flax.linen.Module instance, got <function",
        ),
        (
            lambda x, y: normal().train_op(x, "adam"),
            TypeError,
            "optimizer must be an Optax or a Keras optimizer, got 'adam'",
        ),
        (
            lambda x, y: vae.dense_encoder_decoder(64, 2, 0, 8, "relu"),
            ValueError,
            "layers must be at least 1, got 0",
        ),
        (
            lambda x, y: vae.dense_encoder_decoder(64, 2, 1, 8, "rleu"),
            ValueError,
            "activation must be one of .*'relu'.* got 'rleu'",
        ),
        (
            lambda x, y: vae.dense_encoder_decoder(64, 2, 1, 8, np.tanh),
            TypeError,
            "activation must be a function that JAX can trace .* got <ufunc 'tanh'>",
        ),
        (
            lambda x, y: vae.dense_encoder_decoder(64, 2, 1, 8, jnp.sum),
            TypeError,
            "activation must keep the shape of its input",
        ),
        (
            lambda x, y: vae.dense_encoder_decoder(64, 2, 1, 8, 3),
            TypeError,
            "activation must be a function, got 3",
        ),
        (lambda x, y: vae.set_seed(-1), ValueError, "seed must be at least 0, got -1"),
        (lambda x, y: vae.get_weights(3), TypeError, "model must be a VAE, a DIRICHLET_VAE or"),
        (
            lambda x, y: vae.get_weights(vae.VAE(Encoder(2), Decoder())),
            ValueError,
            "the encoder and the decoder must have been called, or fit",
        ),
        (
            lambda x, y: vae.set_weights(normal(), {}),
            ValueError,
            r"source must hold each of the model's 10 weights .* missing \['decoder/decoder_mu_l",
        ),
        (
            lambda x, y: vae.set_weights(normal(), vae.get_weights(normal(hidden_units=8))),
            ValueError,
            r"encoder/encoder_mu_layer/kernel must have the shape \(16, 2\), got \(8, 2\)",
        ),
        (
            lambda x, y: vae.set_weights(
                normal(), {k: v * np.nan for k, v in vae.get_weights(normal()).items()}
            ),
            ValueError,
            "must be finite, got nan",
        ),
        (lambda x, y: vae.set_weights(normal(), 3), TypeError, "source must be a mapping, .* int"),
        (
            lambda x, y: vae.set_weights(normal(), [np.ones(3)]),
            ValueError,
            "source must hold 10 weights, got 1",
        ),
        (
            lambda x, y: vae.set_weights(normal(), "no/such.npz"),
            ValueError,
            r"source must be a readable .npz file, got no/such.npz",
        ),
        (
            lambda x, y: vae.set_weights(vae.Coder(_built(x), 64), [np.ones((64, 8))] * 6),
            ValueError,
            "source must name the weights of your own modules",
        ),
    ],
)
def test_wrong_use(call, error, message, digits):
    with pytest.raises(error, match=message):
        call(digits.x_train, digits.y_train)


class Boundless(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x) * jnp.inf, nn.softplus(nn.Dense(3)(x))


def ones(width):
    return np.ones((4, width), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda v: v.fit(ones(63)),  # the decoder gives 64 columns
        lambda v: v.loss_op(ones(63)),
        lambda v: v.train_op(ones(63), optax.sgd(1.0)),
        lambda v: v.fit(ones(64), batch_size=0),
        lambda v: v.fit(ones(64), epochs=1.5),
        lambda v: v.fit(np.append(ones(64), ones(64) * np.nan, 0)),
        lambda v: setattr(v, "C", -1) or v.loss_op(ones(64)),
    ],
)
def test_a_call_that_is_refused_fixes_no_width(call):
    """Of an encoder of one's own, which the first call that is not refused does."""
    v = vae.VAE(Encoder(2), Decoder())
    with pytest.raises((ValueError, TypeError)):
        call(v)
    assert (v.encoder.input_dim, v.encoder.params, v.decoder.params) == (None, None, None)
    v.C = 1.0
    assert np.isfinite(v.loss_op(ones(64)))
    assert v.encoder.input_dim == 64


def test_a_coder_that_is_refused_fixes_no_width():
    v = vae.VAE(Boundless(), Decoder())
    with pytest.raises(ValueError, match="the output of example 0 is"):
        v.map_to_latent(ones(63))
    assert (v.encoder.input_dim, v.encoder.params) == (None, None)


def test_a_call_of_a_dirichlet_that_is_refused_fixes_no_width():
    v = vae.DIRICHLET_VAE(Encoder(1), Decoder(), 0.5, 4)
    with pytest.raises(ValueError, match=r"encoder must return one array \[B, 4\]"):
        v.map_to_latent(ones(63))
    assert (v.encoder.input_dim, v.encoder.params) == (None, None)


def _built(x):
    return jaxvae.networks.flax_function("encoder", Encoder(2))


def test_weights_change_only_together():
    v = normal()
    before = vae.get_weights(v)
    bad = {**before, "encoder/hidden_0/kernel": np.zeros((1, 1))}
    bad["decoder/decoder_mu_layer/bias"] = np.ones(64)
    with pytest.raises(ValueError, match="hidden_0/kernel"):
        vae.set_weights(v, bad)
    jax.tree.map(np.testing.assert_array_equal, vae.get_weights(v), before)
