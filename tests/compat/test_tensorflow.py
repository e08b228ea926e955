"""Live against TensorFlow. Needs the extra `tensorflow`: `make test-tensorflow` runs it.

The baseline is `benchmarks/tf_original.py`; that it is the original is checked first, by the golden
vectors.
"""

import importlib.util
import os
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import FOLDER, assert_close, give_noise, load

from jaxvae import compat as vae
from jaxvae.compat import keras as own_keras
from jaxvae.compat import shared
from jaxvae.compat.weights import _name

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs the extra `tensorflow`", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    path = Path(__file__).parents[2] / "benchmarks" / "tf_original.py"
    spec = importlib.util.spec_from_file_location("tf_original", path)
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    import keras
    import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def own_functions():
    """Models whose functions no other test shares: noise that is given is compiled in."""
    vae.set_seed(0)
    for cache in (shared.normal_functions, shared.dirichlet_functions):
        cache.cache_clear()


def layers(model):
    """The baseline's Keras layers by the names of the weights."""
    return {
        f"{side}/{name}": layer
        for side, coder in (("encoder", model.encoder), ("decoder", model.decoder))
        for name, layer in coder.layers.items()
    }


def build(model, x):
    """Make the baseline's weights, by calling it once."""
    posterior = model.encoder(x)
    model.decoder(posterior[0] if isinstance(posterior, tuple) else posterior)
    return model


def tf_noise(model, noise):
    """Give the baseline its noise: normal draws, or log-gammas with their implicit gradient."""
    if isinstance(model, original.VAE):
        model.noise = lambda mu: noise
        return

    def draw(posterior):
        alpha = posterior.concentration
        fixed = tf.stop_gradient(alpha)
        x = tf.exp(tf.cast(noise, tf.float64))
        slope = tf.raw_ops.RandomGammaGrad(alpha=tf.cast(fixed, tf.float64), sample=x) / x
        return tf.nn.softmax(noise + tf.cast(slope, tf.float32) * (alpha - fixed))

    model.draw = draw


def tf_gradient(model, batch):
    with tf.GradientTape() as tape:
        loss = model.loss_op(*batch)
    named = {
        f"{name}/{kind}": getattr(layer, kind)
        for name, layer in layers(model).items()
        for kind in ("kernel", "bias")
    }
    return loss, dict(zip(named, tape.gradient(loss, list(named.values())), strict=True))


def golden_baseline(name):
    golden = load(name)
    if name == "normal":
        model = original.VAE(*original.dense_encoder_decoder(20, 2, 4, 16, tf.nn.relu), C=3.0)
    else:
        pair = original.dense_encoder_decoder_dirichlet(20, 10, 4, 16, tf.nn.relu)
        model = original.DIRICHLET_VAE(*pair, smoothness=0.5, categories=10)
    build(model, golden["x"])
    for layer_name, layer in layers(model).items():
        layer.set_weights([golden[f"init/{layer_name}/{kind}"] for kind in ("kernel", "bias")])
    return golden, model


@pytest.mark.parametrize("name", ["normal", "dirichlet"])
def test_the_baseline_is_the_original(name):
    golden, model = golden_baseline(name)
    if name == "normal":
        batch, noise = [golden["x"]], golden["eps"]
        mu, sigma = model.map_to_latent(golden["x"])
        assert_close(mu, golden["mu"])
        assert_close(sigma, golden["sigma"])
        assert_close(model.map_from_latent(golden["mu"])[0], golden["decoded_mu"])
    else:
        batch, noise = [golden["x"], golden["y"]], golden["log_gamma"]
        assert_close(model.map_to_latent(golden["x"]), golden["map_to_latent"])
        assert_close(model.map_from_latent(golden["z"]), golden["decoded"])
    tf_noise(model, noise)
    loss, grads = tf_gradient(model, batch)
    assert_close(loss, golden["loss"])
    for weight, grad in grads.items():
        assert_close(grad, golden[f"grad/{weight}"])


def test_the_baseline_takes_the_same_twenty_steps():
    golden, model = golden_baseline("normal")
    noise = tf.Variable(golden["steps_eps"][0])
    tf_noise(model, noise)
    optimizer = tf.keras.optimizers.Adam(1e-3, epsilon=1e-7)
    losses = []
    for x, eps in zip(golden["steps_x"], golden["steps_eps"], strict=True):
        noise.assign(eps)
        losses.append(model.train_op(tf.constant(x), optimizer))
    assert_close(np.array(losses), golden["steps_loss"], relative=1e-4)
    for name, layer in layers(model).items():
        for kind, weight in zip(("kernel", "bias"), layer.get_weights(), strict=True):
            assert_close(weight, golden[f"final/{name}/{kind}"], relative=1e-4)


ACTIVATIONS = ["relu", "tanh", "elu", "softplus", "selu", "sigmoid", "gelu", "silu", "relu", "tanh"]


@pytest.mark.parametrize("i", range(10))
def test_random_configurations(i, monkeypatch):
    """Outputs, loss and gradient within 1e-5, twenty steps of Keras's Adam within 1e-4.

    Adam divides a gradient by its own size: an element whose gradient is a rounding error of its
    array's moves by a whole step in a direction that neither side knows. Such elements, below 1e-3
    of the largest at some step, are left out of the last comparison. How many they are depends on
    how a processor rounds: 5 to 21% were seen; above a third, the comparison would mean little.
    """
    rng = np.random.default_rng(i)
    data_dim, latent_dim, depth, width, batch_size = (
        int(rng.integers(low, high)) for low, high in ((3, 100), (2, 16), (1, 5), (4, 64), (1, 33))
    )
    shape = (data_dim, latent_dim, depth, width)
    x = rng.random((batch_size, data_dim), np.float32)
    y = rng.integers(0, latent_dim, batch_size)
    tf.random.set_seed(i)
    if i % 2:
        constants = {"C": rng.uniform(0.3, 4)}
        pair = original.dense_encoder_decoder(*shape, getattr(tf.nn, ACTIVATIONS[i]))
        theirs = build(original.VAE(*pair, **constants), x)
        ours = vae.VAE(
            *vae.dense_encoder_decoder(*shape, getattr(tf.nn, ACTIVATIONS[i])), **constants
        )
        tf_batch = [tf.constant(x)]
        noise = rng.normal(size=(batch_size, latent_dim)).astype(np.float32)
    else:
        constants = {
            "smoothness": rng.uniform(0.1, 2),
            "categories": latent_dim,
            "alpha_smoothing": rng.uniform(0.05, 1),
            "label_smoothing": rng.uniform(1, 20),
        }
        name = getattr(tf.keras.activations, ACTIVATIONS[i])
        theirs = original.DIRICHLET_VAE(
            *original.dense_encoder_decoder_dirichlet(*shape, name), **constants
        )
        build(theirs, x)
        ours = vae.DIRICHLET_VAE(*vae.dense_encoder_decoder_dirichlet(*shape, name), **constants)
        tf_batch = [tf.constant(x), tf.constant(y, tf.int32)]
        noise = np.log(rng.gamma(1.0, size=(batch_size, latent_dim))).astype(np.float32)
    vae.set_weights(ours, layers(theirs))

    for output, expected in (
        (ours.map_to_latent(tf.constant(x)), theirs.map_to_latent(x)),
        (ours.encoder(x), theirs.encoder(x)),
        (ours.map_from_latent(noise), theirs.map_from_latent(noise)),
    ):
        assert_close(jax.tree.map(np.asarray, output), jax.tree.map(np.asarray, expected))

    give_noise(monkeypatch, noise)
    tf_noise(theirs, noise)
    loss, grads = tf_gradient(theirs, tf_batch)
    assert_close(ours.loss_op(*tf_batch), loss)
    core, params, prepared = ours._prepare(x, y)
    ours_grads = jax.grad(lambda params: core.loss(params, jax.random.key(0), prepared)[0])(params)
    for side, coder in (("encoder", ours.encoder), ("decoder", ours.decoder)):
        coder_grads = jax.tree.leaves_with_path(ours_grads[side])
        assert len(coder_grads) == len(jax.tree.leaves(coder.params))
        for place, grad in coder_grads:
            assert_close(grad, grads[f"{side}/{_name(place)}"])

    optimizer = tf.keras.optimizers.Adam(1e-3)
    their_optimizer = tf.keras.optimizers.Adam(1e-3)
    known, losses = dict.fromkeys(grads, True), []
    for _ in range(20):
        for name, grad in tf_gradient(theirs, tf_batch)[1].items():
            size = np.abs(grad.numpy())
            known[name] &= (size == 0) | (size > 1e-3 * size.max())
        losses.append(
            (ours.train_op(*tf_batch, optimizer), theirs.train_op(*tf_batch, their_optimizer))
        )
    assert_close(*np.array(losses).T, relative=1e-4)
    weights = vae.get_weights(ours)
    for name, layer in layers(theirs).items():
        for kind, weight in zip(("kernel", "bias"), layer.get_weights(), strict=True):
            sure = known[f"{name}/{kind}"]
            assert_close(np.where(sure, weights[f"{name}/{kind}"], weight), weight, relative=1e-4)
    assert np.mean(np.concatenate([np.ravel(sure) for sure in known.values()])) > 2 / 3


def test_weights_to_keras_and_back():
    shape = (12, 3, 11, 8)
    ours = vae.VAE(*vae.dense_encoder_decoder(*shape, "relu"))
    theirs = original.VAE(*original.dense_encoder_decoder(*shape, tf.nn.relu))
    x = np.random.default_rng(0).random((4, 12), np.float32)
    build(theirs, x)
    weights = vae.get_weights(ours)
    for name, layer in layers(theirs).items():
        layer.set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
    assert_close(ours.encoder(x)[1], theirs.encoder(x)[1].numpy())
    build(original.VAE(theirs.encoder, theirs.decoder), x)
    for source in (
        layers(theirs),
        list(layers(theirs).values()),
        [w for layer in layers(theirs).values() for w in layer.get_weights()],
    ):
        other = vae.VAE(*vae.dense_encoder_decoder(*shape, "relu"))
        vae.set_weights(other, source)
        assert_close(other.decoder(ours.encoder(x)[0])[0], ours.decoder(ours.encoder(x)[0])[0])
    stack = tf.keras.Sequential([tf.keras.layers.Dense(8), tf.keras.layers.Dense(12)])
    decoder = vae.dense_encoder_decoder(12, 3, 1, 8, None)[1]
    z = np.ones((2, 3), np.float32)
    expected = stack(z).numpy()
    vae.set_weights(decoder, stack)
    assert_close(decoder(z)[0], expected)
    with pytest.raises(TypeError, match="got the Keras object"):
        vae.VAE(stack, stack)


def functions():
    for where in (tf.nn, tf.math, tf, tf.keras.activations, keras.activations):
        for name in own_keras.ACTIVATIONS:
            if hasattr(where, name):
                yield pytest.param(getattr(where, name), id=f"{where.__name__}.{name}")


@pytest.mark.parametrize("function", list(functions()))
def test_activations(function):
    x = np.linspace(-8, 8, 201, dtype=np.float32).reshape(3, 67)
    expected = np.asarray(function(tf.constant(x)))
    np.testing.assert_allclose(own_keras.activation(function)(x), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", sorted(own_keras.ACTIVATIONS))
def test_activation_names_are_keras_own(name):
    """A name means what it means in legacy Keras, or where that lacks it in Keras 3."""
    try:
        function = tf.keras.activations.get(name)
    except ValueError:
        function = getattr(keras.activations, name, None) or getattr(tf, name)
    x = np.linspace(-8, 8, 201, dtype=np.float32).reshape(3, 67)
    expected = np.asarray(function(tf.constant(x)))
    np.testing.assert_allclose(own_keras.activation(name)(x), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("activation", "error"),
    [
        (lambda: tf.nn.crelu, ValueError),
        (lambda: tf.keras.activations.hard_sigmoid, ValueError),
        (lambda: tf.keras.layers.LeakyReLU(), ValueError),
        (lambda: lambda x: tf.nn.relu(x), TypeError),
    ],
)
def test_activations_without_an_equal(activation, error):
    with pytest.raises(error, match=r"activation must be .* got"):
        vae.dense_encoder_decoder(4, 2, 1, 8, activation())


OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.02, "weight_decay": 0.1}),
    ("Adam", {"learning_rate": 0.02, "global_clipnorm": 0.5}),
    ("Adam", {"learning_rate": 0.02, "clipvalue": 0.1}),
    ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.05}),
    ("RMSprop", {"learning_rate": 0.02}),
    ("RMSprop", {"learning_rate": 0.02, "rho": 0.7, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"learning_rate": 0.1}),
    ("Lion", {"learning_rate": 0.01}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("where", ["legacy Keras", "legacy optimizers", "Keras 3"])
def test_optimizers(where, name, options):
    """Thirty steps on a quadratic bowl."""
    module = {
        "legacy Keras": tf.keras.optimizers,
        "legacy optimizers": tf.keras.optimizers.legacy,
        "Keras 3": keras.optimizers,
    }[where]
    try:
        theirs = getattr(module, name)(**options)
    except (AttributeError, TypeError, ValueError):
        pytest.skip(f"{where} has no such {name}")
    ours = own_keras.optimizer(theirs)
    assert ours is own_keras.optimizer(theirs)  # so that what was compiled is found again
    scale = np.array([1.0, 3.0, 0.1], np.float32)
    start = np.array([0.5, -2.0, 3.0], np.float32)
    variable = keras.Variable(start) if where == "Keras 3" else tf.Variable(start)
    params = jnp.asarray(start)
    with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
        state, update = ours.init(params), jax.jit(ours.update)
        for _ in range(30):
            theirs.apply_gradients([(tf.constant(scale * variable.numpy()), variable)])
            updates, state = update(jnp.asarray(scale) * params, state, params)
            params = params + updates
    assert np.abs(variable.numpy() - start).max() > 0.01
    assert_close(params, variable.numpy(), relative=1e-4)


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop"])
def test_a_learning_rate_that_changes(name):
    """The state goes on, with the rate as it is at each call."""
    x = np.random.default_rng(0).random((8, 4), np.float32)
    tf.random.set_seed(0)
    theirs = build(original.VAE(*original.dense_encoder_decoder(4, 2, 1, 8, tf.nn.tanh)), x)
    tf_noise(theirs, np.zeros((8, 2), np.float32))
    ours = vae.VAE(*vae.dense_encoder_decoder(4, 2, 1, 8, tf.nn.tanh))
    vae.set_weights(ours, layers(theirs))
    with pytest.MonkeyPatch.context() as patch:
        give_noise(patch, np.zeros((8, 2), np.float32))
        optimizers = [getattr(tf.keras.optimizers, name)(1e-2) for _ in range(2)]
        for step in range(10):
            if step == 5:
                for optimizer in optimizers:
                    optimizer.learning_rate = 1e-4
            loss = ours.train_op(x, optimizers[0])
            expected = theirs.train_op(tf.constant(x), optimizers[1])
            assert_close(loss, expected, relative=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda: tf.keras.optimizers.Adam(clipnorm=1.0), "optimizer must not set clipnorm"),
        (lambda: tf.keras.optimizers.Adam(amsgrad=True), "optimizer must not set amsgrad"),
        (lambda: tf.keras.optimizers.SGD(use_ema=True), "optimizer must not set use_ema"),
        (lambda: tf.keras.optimizers.SGD(weight_decay=0.1), "optimizer must not set weight_decay"),
        (
            lambda: tf.keras.optimizers.Adam(
                tf.keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.9)
            ),
            "optimizer must have a number as its learning_rate",
        ),
        (lambda: tf.keras.optimizers.Ftrl(), "optimizer must be an Optax transformation or one"),
    ],
)
def test_optimizers_without_an_equal(optimizer, message):
    v = vae.VAE(*vae.dense_encoder_decoder(4, 2, 1, 8, "relu"))
    with pytest.raises(ValueError, match=message):
        v.train_op(np.ones((2, 4)), optimizer())


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.bfloat16, tf.uint8, tf.int32])
def test_tensors_go_in(dtype):
    v = vae.DIRICHLET_VAE(*vae.dense_encoder_decoder_dirichlet(4, 3, 1, 8, tf.nn.relu), 0.5, 3)
    x = tf.cast(tf.constant([[1, 2, 0, 3], [0, 1, 1, 0]]), dtype)
    y = tf.constant([0, 2], tf.int64)
    assert v.map_to_latent(x).numpy().shape == (2, 3)
    assert np.isfinite(v.loss_op(x, y).numpy())
    v.fit(x, y, epochs=1)
    decoded = v.map_from_latent(tf.one_hot([0, 1, 2], 3))
    assert tf.reduce_mean(decoded).numpy() == pytest.approx(decoded.mean())


def test_the_readme_program_runs_unedited(digits, monkeypatch, capsys):
    """The original README's program and its blend, the import changed and the data supplied."""
    readme = Path(os.environ.get("JAXVAE_DATA", ""), "../../spec/seed-readme.md")
    if not readme.is_file():
        pytest.skip("needs the original's README beside the data")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(plt, "savefig", lambda *args, **options: None)
    program = "\n".join(re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL))
    assert "import vae\n" in program
    program = program.replace("import vae\n", "from jaxvae import compat as vae\n")
    space = {
        "data_dim": 64,
        "im_sz": 8,
        "mnist_data": digits.x_train,
        "mnist_labels": digits.y_train,
        "np": np,
        "plt": plt,
    }
    exec(program, space)
    assert capsys.readouterr().out.count("epoch") == 30
    guess = space["v"].map_to_latent(digits.x_test).numpy().argmax(axis=1)
    assert np.mean(guess == digits.y_test) > 0.9
    assert space["image"].shape == (1, 64)
    plt.close("all")


def test_the_golden_file_is_read_as_the_baseline_reads_it():
    """Trained weights, from a file: the same outputs on both sides."""
    golden, theirs = golden_baseline("normal")
    ours = vae.VAE(*vae.dense_encoder_decoder(20, 2, 4, 16, tf.nn.relu), C=3.0)
    vae.set_weights(ours, FOLDER / "golden_normal.npz", prefix="init/")
    assert_close(ours.encoder(golden["x"])[0], theirs.encoder(golden["x"])[0].numpy())
