"""Bad calls: each raises the documented exception, and its message names the argument, the value
and what is allowed, before anything is compiled."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from conftest import small_vae
from jaxvae import compat, datasets, figures, objectives, transforms
from jaxvae.apps import cli
from jaxvae.numerics import distributions
from jaxvae.training import parallel

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2)
SGD = optax.sgd(0.1)
X = np.full((20, 64), 0.5, np.float32)
Y = np.arange(20) % 10


def with_value(value, at=(3, 5)):
    x = X.astype(np.float64)
    x[at] = value
    return x


def fit(x=X, y=Y, model="dirichlet", key=KEY, vae=None, **options):
    vae = small_vae(model, **options.pop("model_options", {})) if vae is None else vae
    return jaxvae.fit(key, vae, x, y, **{"batch_size": 8, "epochs": 1} | options)


def fit_many(x=X, y=Y, model="dirichlet", keys=KEYS, **options):
    return jaxvae.fit_many(keys, small_vae(model), x, y, **{"batch_size": 8, "epochs": 1} | options)


def evaluate(x=X, y=Y, key=KEY, **options):
    vae = small_vae("dirichlet")
    return jaxvae.evaluate(key, vae, jax.eval_shape(vae.init, KEY, X), x, y, **options)


def loss(x=X, y=Y, model="dirichlet", network=None, prior=None, **fields):
    """A model's loss of concrete data, traced alone: what is refused is refused by its shape."""
    if prior is not None:
        vae = small_vae(model, prior=prior)
    elif network is not None:
        vae = getattr(jaxvae, f"{model}_vae")(network)
    else:
        vae = small_vae(model)
    params = jax.eval_shape(vae.init, KEY, X)
    batch = jaxvae.Batch(x, y, **fields)
    return jax.eval_shape(lambda params: vae.loss(params, KEY, batch), params)


def changed(field, change, latent="normal"):
    """A network one of whose functions returns something else."""
    whole = jaxvae.dense_normal_network if latent == "normal" else jaxvae.dense_dirichlet_network
    base = whole(64, 20, layers=1, hidden_units=8)
    return base._replace(**{field: lambda *args: change(getattr(base, field)(*args))})


class Unhashable:
    """A function that equals others by what it holds, and so has no hash."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def __eq__(self, other):
        return self.function is other.function


NO_HASH = Unhashable(SGD.update)


def stream(*batches):
    return fit(lambda: batches, None)


def epoch_of(**data):
    vae = small_vae("dirichlet")
    epoch = jaxvae.make_train_epoch(vae, SGD, batch_size=8)
    return epoch(KEY, jaxvae.init_state(KEY, vae, SGD, X), X, **data)


def state_of(model):
    return jax.eval_shape(lambda: jaxvae.init_state(KEY, small_vae(model), SGD, X))


def step(batch):
    return jax.eval_shape(
        jaxvae.make_train_step(small_vae("dirichlet"), SGD), KEY, state_of("dirichlet"), batch
    )


def scaled(width):
    """A model whose transform is of examples of another width."""
    own = transforms.standardized(np.zeros(width), np.ones(width))
    return jaxvae.normal_vae(normal_network(), transform=own)


def images(x=X, shape=(8, 8), columns=4, **options):
    return figures.image_grid(x, shape, columns=columns, title="bad", **options)


def demanding():
    """An optimizer that asks for what nobody has."""

    def update(grads, state, params=None, *, curvature, **extra_args):
        return grads, state

    return optax.GradientTransformationExtraArgs(SGD.init, update)


def network(**options):
    return jaxvae.dense_dirichlet_network(**{"data_dim": 64, "latent_dim": 10} | options)


def normal_network(**options):
    return jaxvae.dense_normal_network(**{"data_dim": 64, "latent_dim": 2} | options)


def swept(make_network):
    def make(k):
        return jaxvae.normal_vae(make_network(k))

    return jaxvae.fit_many(KEYS, make, X, batch_size=8, epochs=1, hyperparams={"k": [1, 2]})


def other_model():
    """A model, and parameters of one with a latent of another width."""
    other = jaxvae.normal_vae(normal_network(latent_dim=3))
    return jaxvae.normal_vae(normal_network()), jax.eval_shape(other.init, KEY, X)


def posterior_elbo(vae, params, x=X):
    q = jaxvae.latents.Normal(x[:, :2], 1 + x[:, :2])
    return jaxvae.evaluation.posterior_elbo(KEY, vae, params, q, x)


def categories(number):
    logits = changed("decode", lambda decoded: jnp.stack([decoded] * number, axis=-1))
    return jaxvae.normal_vae(logits, likelihood=jaxvae.likelihoods.categorical())


CONVOLUTIONAL = jaxvae.networks.convolutional_normal_network((8, 8, 3), 2, channels=(4,))
CONVOLUTIONAL_X = X.reshape(20, 8, 8)
WRONG_OUTPUT = jaxvae.dense_dirichlet_network(63, 10, layers=1, hidden_units=8)
ENCODER_OF_THE_OTHER_LATENT = normal_network(layers=1, hidden_units=8)

ORIGINAL_NETWORK = jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8)
WRONG_DECODERS = {
    "(20, 64), 1.0": lambda decoded: (decoded, 1.0),
    r"[(20, 64)]": lambda decoded: [decoded],
    "{'mean': (20, 64)}": lambda decoded: {"mean": decoded},
    "None": lambda decoded: None,
    "1.0": lambda decoded: 1.0,
}


def plain_vae():
    """A model whose network does not say how wide its latent is."""
    return jaxvae.normal_vae(ORIGINAL_NETWORK._replace(latent_shape=None))


def decoding(change, model="normal", **options):
    """A model whose decoder returns something else."""
    if model == "normal":
        network, make = ORIGINAL_NETWORK, jaxvae.normal_vae
    else:
        network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=8)
        make = jaxvae.dirichlet_vae
    decode = network.decode
    return make(network._replace(decode=lambda params, z: change(decode(params, z))), **options)


BAD_CALLS = [
    # data
    (lambda: fit(with_value(np.nan)), ValueError, r"x must be finite, got nan at index \(3, 5\)"),
    (lambda: fit(with_value(np.inf)), ValueError, r"x must be finite, got inf at index \(3, 5\)"),
    (lambda: fit(with_value(1e300)), ValueError, r"x must be finite, got inf at index \(3, 5\); as a float32 a number beyond 3.4e38 is infinite"),
    (lambda: fit(np.ma.masked_equal(X, X[3, 5])), ValueError, r"x must have no masked values, got \d+"),
    (lambda: fit(X[0]), ValueError, r"x must have the shape \[N, D\].*got \(64,\)"),
    (lambda: fit(X[:, :, None]), ValueError, r"network.decode must return the shape of x, \(20, 64, 1\), got \(20, 64\); give the network the shape"),
    (lambda: fit(X[:0], Y[:0]), ValueError, r"x must not be empty.*\(0, 64\)"),
    (lambda: fit(X[:, :0]), ValueError, r"x must not be empty.*\(20, 0\)"),
    (lambda: fit(X.astype(str)), TypeError, "x must hold real numbers, got dtype <U"),
    (lambda: fit(X.astype(complex)), TypeError, "x must hold real numbers, got dtype complex128"),
    (lambda: fit([[1.0], [1.0, 2.0]]), ValueError, "x must be an array"),
    (lambda: fit(-X, model_options={"likelihood": "bernoulli"}), ValueError, r"x must lie in \[0, 1\].*got -0.5"),
    (lambda: fit(3 * X, model_options={"likelihood": "bernoulli"}), ValueError, r"x must lie in \[0, 1\].*got 1.5"),
    (lambda: datasets.from_arrays(X[0]), ValueError, r"x must have the shape \[N, D\] \(rank 2\), got \(64,\)"),
    (lambda: datasets.from_arrays(X[:1]), ValueError, "at least 2 examples.*got 1"),
    (lambda: datasets.from_arrays(X, x_test=X[:, :5]), ValueError, "x_test must hold examples like"),
    (lambda: datasets.from_arrays(X, Y, x_test=X), ValueError, "y and y_test must both be given"),
    (lambda: datasets.from_arrays(X, Y, y_test=Y), ValueError, "y_test must come with x_test"),
    (lambda: fit(X.astype(complex)), TypeError, "x must hold real numbers, got dtype complex"),
    (lambda: fit(None), TypeError, "x must be an array, got None"),
    (lambda: datasets.from_arrays(None), TypeError, "x must be an array, got None"),
    (lambda: datasets.from_arrays([[1.0], [1.0, 2.0]]), ValueError, "x must be an array, got rows that differ"),
    (lambda: datasets.from_arrays(X.astype("m8[s]")), TypeError, r"x must hold real numbers, got dtype timedelta64\[s\]"),
    (lambda: datasets.from_arrays(X.astype("M8[s]")), TypeError, r"x must hold real numbers, got dtype datetime64\[s\]"),
    (lambda: datasets.from_arrays(np.zeros((0, 5, 4))), ValueError, r"x must not be empty, got the shape \(0, 5, 4\)"),
    (lambda: datasets.from_arrays(np.zeros((3, 2, 2, 1, 1))), ValueError, r"x must have the shape \[N, D\], \[N, H, W\], .*got \(3, 2, 2, 1, 1\)"),
    (lambda: jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), objective="original", transform=jaxvae.transforms.divided_by(2)), ValueError, 'transform must be None with objective="original"'),
    (lambda: datasets.from_arrays(X, kind="sounds"), ValueError, "kind must be one of 'images', 'series', 'table', 'counts', got 'sounds'"),
    (lambda: datasets.from_arrays(X, missing="drop"), ValueError, "missing must be one of 'refuse', 'mask', got 'drop'"),
    (lambda: datasets.from_arrays(X, kind="images"), ValueError, r"x must be \[N, H, W\] or \[N, H, W, C\] for images, got \(20, 64\)"),
    (lambda: datasets.from_arrays(X, "label"), TypeError, "y must be labels where x has no columns by name, got 'label'"),
    (lambda: datasets.from_arrays(X, column_names=["a"]), ValueError, "column_names must be one for each of 64 values, got 1"),
    (lambda: datasets.from_arrays(with_value(np.nan)), ValueError, r"x must be finite, got nan at index \(3, 5\)"),
    (lambda: datasets.from_arrays(X, x_test=X[:0]), ValueError, r"x_test must not be empty, got the shape \(0, 64\)"),
    (lambda: datasets.from_arrays(X, x_test=with_value(np.inf)), ValueError, r"x_test must be finite, got inf at index \(3, 5\)"),
    (lambda: datasets.from_arrays(X, x_test=X.reshape(20, 8, 8)), ValueError, r"x_test must hold examples like those of x, \(64,\), got \(8, 8\)"),
    (lambda: datasets.from_arrays(X, x_test=X, y_test=Y), ValueError, "y and y_test must both be given"),
    (lambda: datasets.from_arrays(X, Y, x_test=X, y_test=Y[:3]), ValueError, "y_test must have one label for each of 20 examples, got 3"),
    (lambda: datasets.load("missing.npy"), FileNotFoundError, "missing.npy"),
    (lambda: datasets.load("data.xlsx"), (ValueError, FileNotFoundError), r"data.xlsx"),
    (lambda: datasets.load_mnist("missing"), FileNotFoundError, "data_dir must hold MNIST's four files; missing lacks train-images"),
    (lambda: datasets.read_idx("missing.gz"), FileNotFoundError, "path must name an existing file, got missing.gz"),
    (lambda: datasets.read_arrays("missing.npz"), FileNotFoundError, "path must name an existing file, got missing.npz"),
    # data, batch by batch
    (lambda: fit(iter([X]), None), TypeError, "x must be readable once an epoch.*which can be read once only"),
    (lambda: fit(lambda: [X]), ValueError, "y must be None where x gives batches"),
    (lambda: stream(), ValueError, "x must give at least one batch, got none"),
    (lambda: stream(X), ValueError, "y must hold the labels that the prior is made from, got None"),
    (lambda: stream((X * np.nan, Y)), ValueError, r"batch 0 of x must be finite, got nan at index \(0, 0\)"),
    (lambda: stream((X[0], Y)), ValueError, r"batch 0 of x must have the shape \[N, D\] \(rank 2\), got \(64,\), or more axes"),
    (lambda: stream((X, Y[:2])), ValueError, "the labels of batch 0 of x must have one label for each of 20 examples, got 2"),
    (lambda: stream({"images": X}), ValueError, r"batch 0 of x must have the keys x and perhaps y, weight, condition and mask, got \['images'\]"),
    (lambda: stream(jaxvae.Batch(X, Y, position=Y)), ValueError, "batch 0 of x must not set position"),
    (lambda: stream(jaxvae.Batch(X, Y, weight=Y[:3])), ValueError, r"the weights of batch 0 of x must have one weight for each of 20 examples, the shape \(20,\), got \(3,\)"),
    (lambda: stream({"x": X, "y": Y, "weight": Y - 1}), ValueError, r"the weights of batch 0 of x must be finite and at least 0, got -1.0 at index \(0,\)"),
    (lambda: stream({"x": X, "y": Y, "weight": np.full(20, 1e300)}), ValueError, "the weights of batch 0 of x must be finite and at least 0, got inf"),
    (lambda: stream({"x": X, "y": Y, "weight": np.full(20, 1e38)}), ValueError, r"the weights of batch 0 of x must be at most 1e\+30, got 1e\+38"),
    (lambda: fit(lambda: [X], None, weight=Y), ValueError, "weight must be None where x gives batches"),
    # weights
    (lambda: fit(weight=Y - 1), ValueError, r"weight must be finite and at least 0, got -1.0 at index \(0,\)"),
    (lambda: fit(weight=np.full(20, np.nan)), ValueError, r"weight must be finite and at least 0, got nan at index \(0,\)"),
    (lambda: fit(weight=np.full(20, np.inf)), ValueError, r"weight must be finite and at least 0, got inf at index \(0,\)"),
    (lambda: fit(weight=np.zeros(20)), ValueError, "weight must not be all zero, got 20 zeros"),
    (lambda: fit(weight=Y[:3]), ValueError, r"weight must have one weight for each of 20 examples, the shape \(20,\), got \(3,\)"),
    (lambda: fit(weight=Y[:, None]), ValueError, r"weight must have one weight .* the shape \(20,\), got \(20, 1\)"),
    (lambda: fit(weight=1.0), ValueError, r"weight must have one weight .* the shape \(20,\), got \(\)"),
    (lambda: fit(weight="abc"), TypeError, "weight must hold real numbers, got dtype <U3"),
    (lambda: fit(weight=Y > 0), TypeError, "weight must hold real numbers, got dtype bool"),
    (lambda: fit(validation=(X, Y, -Y)), ValueError, r"validation weight must be finite and at least 0, got -1.0 at index \(1,\)"),
    (lambda: fit(validation=(X, Y, Y, Y)), TypeError, r"validation must be \(x, y, weight\), a pair \(x, y\) or a jaxvae.Batch, got 4 values"),
    (lambda: fit(validation=X), TypeError, r"validation must be \(x, y, weight\), a pair \(x, y\) or a jaxvae.Batch, got ndarray"),
    (lambda: fit_many(weight=-Y), ValueError, r"weight must be finite and at least 0, got -1.0 at index \(1,\)"),
    (lambda: fit_many(weight=0 * Y), ValueError, "weight must not be all zero, got 20 zeros"),
    (lambda: evaluate(weight=-Y), ValueError, r"weight must be finite and at least 0, got -1.0 at index \(1,\)"),
    (lambda: evaluate(weight=0 * Y), ValueError, "weight must not be all zero, got 20 zeros"),
    (lambda: evaluate(weight=Y[:3]), ValueError, r"weight must have one weight for each of 20 examples, the shape \(20,\), got \(3,\)"),
    (lambda: stream("abc"), TypeError, "batch 0 of x must hold real numbers, got dtype <U3"),
    # labels
    (lambda: fit(y=None), ValueError, "y must hold the labels that the prior is made from, got None"),
    (lambda: fit(y=Y[:-1]), ValueError, "y must have one label for each of 20 examples, got 19"),
    (lambda: fit(y=Y + 0.5), TypeError, r"y must name categories, got \d\.5: a measurement is no label"),
    (lambda: fit(y=Y - 2), ValueError, "y must be at least 0, got -2 at index 0; -1 stands for a missing label"),
    (lambda: fit(y=Y + 1), ValueError, "y must be from 0 to 9, got 10 at index 9"),
    (lambda: fit(y=np.stack([Y, Y], axis=1)), ValueError, r"y must be labels \[N\], a column \[N, 1\] or one-hot rows \[N, K\], got the shape \(20, 2\)"),
    (lambda: fit(y=np.full(20, 2**40)), ValueError, "y must be at least 0"),
    (lambda: fit(y="abc"), (TypeError, ValueError), "y must "),
    (lambda: fit(y=Y.astype(str)), TypeError, r"y must hold integers from 0 on, got names such as '\d': `jaxvae.datasets.encode_labels\(y\)`"),
    (lambda: fit(y=[[1], [1, 2]]), ValueError, "y must be an array, got rows that differ"),
    (lambda: fit(y=Y.astype("m8[s]")), TypeError, r"y must name categories, got dates or durations, timedelta64\[s\]"),
    (lambda: fit(y=Y[:0]), ValueError, "y must have one label for each of 20 examples, got 0"),
    (lambda: datasets.from_arrays(X, [[1], [1, 2]]), ValueError, "y must be an array, got rows that differ"),
    (lambda: datasets.from_arrays(X, Y.astype("m8[s]")), TypeError, r"y must name categories, got dates or durations, timedelta64\[s\]"),
    (lambda: datasets.from_arrays(X, np.full(20, -1)), ValueError, "y must hold a label, got 20 that are missing"),
    (lambda: datasets.from_arrays(X, Y[:-1]), ValueError, "y must have one label for each of 20 examples, got 19"),
    # fit
    (lambda: fit(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: fit(batch_size=-3), ValueError, "batch_size must be at least 1, got -3"),
    (lambda: fit(batch_size=2.5), TypeError, "batch_size must be an integer, got 2.5"),
    (lambda: fit(batch_size=True), TypeError, "batch_size must be an integer, got True"),
    (lambda: fit(epochs=0), ValueError, "epochs must be at least 1, got 0"),
    (lambda: fit(epochs="3"), TypeError, "epochs must be an integer, got '3'"),
    (lambda: fit(key=0), TypeError, r"key must be a typed key from jax.random.key\(seed\), got 0"),
    (lambda: fit(key=jnp.zeros(2, jnp.uint32)), TypeError, "key must be a typed key"),
    (lambda: fit(key=jax.random.split(KEY, 3)), ValueError, r"key must be one key.*\(3,\)"),
    (lambda: fit(vae=network()), TypeError, "vae must be a jaxvae.VAE, got Network"),
    (lambda: fit(optimizer="adam"), TypeError, "optimizer must be an optax.*got 'adam'"),
    (lambda: fit(state=fit(model="normal")[0]), ValueError, "state must be of this model"),
    (lambda: fit(batch_size=None), TypeError, "batch_size must be an integer, got None"),
    (lambda: fit(epochs=1.0), TypeError, "epochs must be an integer, got 1.0"),
    (lambda: fit(key=None), TypeError, "key must be a typed key.*got None"),
    (lambda: fit(vae="vae"), TypeError, "vae must be a jaxvae.VAE, got 'vae'"),
    (lambda: fit(state=3), ValueError, "state must be of this model and optimizer"),
    (lambda: fit(devices=0), ValueError, "devices must be at least 1, got 0"),
    (lambda: fit(devices=99), ValueError, "devices must be at most 8 here, got 99"),
    (lambda: fit(devices=1.5), TypeError, "devices must be JAX devices or how many, .* got 1.5"),
    (lambda: fit(devices=[]), ValueError, r"devices must be different ones of \[.*, got \[\]"),
    (lambda: fit(devices="gpu"), ValueError, r"devices must be different ones of \[.*, got gpu"),
    (lambda: fit(devices=jax.devices()[:1] * 2), ValueError, r"devices must be different ones of \["),
    # fit_many
    (lambda: fit_many(keys=KEY), ValueError, r"keys must have the shape \[M\], got \(\)"),
    (lambda: fit_many(keys=KEYS[:0]), ValueError, r"keys must have the shape \[M\], got \(0,\)"),
    (lambda: fit_many(keys=2), TypeError, r"keys must be typed keys from jax.random.split\(key, M\), got 2"),
    (lambda: fit_many(with_value(np.nan)), ValueError, r"x must be finite, got nan at index \(3, 5\)"),
    (lambda: fit_many(y=Y + 1), ValueError, "y must be from 0 to 9, got 10 at index 9"),
    (lambda: fit_many(y=None), ValueError, "y must hold the labels that the prior is made from, got None"),
    (lambda: fit_many(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: fit_many(epochs=-1), ValueError, "epochs must be at least 1, got -1"),
    (lambda: fit_many(optimizer="adam"), TypeError, "optimizer must be an optax.*got 'adam'"),
    (lambda: fit_many(devices=99), ValueError, "devices must be at most 8 here, got 99"),
    (lambda: jaxvae.fit_many(KEYS, None, X, batch_size=8, epochs=1), TypeError, "make must be a jaxvae.VAE or a function that returns one, got None"),
    (lambda: fit_many(hyperparams={"rate": [1, 2]}), ValueError, "hyperparams must be one of .*'learning_rate', got 'rate'"),
    (lambda: fit_many(hyperparams={"learning_rate": [1, 2, 3]}), ValueError, r"hyperparams\['learning_rate'\] must have the shape \[2\] of keys, got \(3,\)"),
    (lambda: fit_many(hyperparams={"learning_rate": [1, np.nan]}), ValueError, r"hyperparams\['learning_rate'\] must be finite, got nan at index \(1,\)"),
    (lambda: fit_many(hyperparams={"learning_rate": ["1", "2"]}), TypeError, r"hyperparams\['learning_rate'\] must hold real numbers, got dtype <U1"),
    (lambda: swept(lambda k: normal_network(latent_dim=int(k))), TypeError, "make must take k as numbers of the model, not as a size"),
    (lambda: swept(lambda k: normal_network(layers=1 if k > 1 else 2)), TypeError, "make must take k as numbers of the model, not as a size, nor to choose by"),
    (lambda: fit_many(hyperparams={"learning_rate": [1, 2]}, optimizer=SGD), ValueError, "optimizer must be made by optax.inject_hyperparams"),
    (lambda: fit(lambda: 3, None), TypeError, "x must be a function that returns batches, got one of 3"),
    (lambda: datasets.load(3), TypeError, "path must be a path, got 3"),
    (lambda: datasets.load(""), ValueError, "path must not be empty, got ''"),
    (lambda: jaxvae.load(None), TypeError, "path must be a path, got None"),
    (lambda: fit(mask=np.zeros_like(X, bool)), ValueError, "mask must be 1 for at least one value, got none"),
    (lambda: fit(checkpoints=jaxvae.Checkpoints(None)), TypeError, "checkpoints.dir must be a path, got None"),
    # params of another model
    (lambda: jaxvae.encode_mean(*other_model(), X[:, :63]), ValueError, r"params must be of this model, and it must be made for x \(20, 63\) and no condition: "),
    (lambda: jaxvae.encode_mean(small_vae("normal"), None, X), ValueError, r"params must be of this model, and it must be made for x \(20, 64\)"),
    (lambda: jaxvae.accuracy(small_vae("dirichlet"), {}, X, Y), ValueError, r"params must be of this model, and it must be made for x \(20, 64\)"),
    (lambda: jaxvae.reconstruct(KEY, *other_model(), X), ValueError, r"params must be of this model, and it must be made for x \(20, 64\)"),
    (lambda: jaxvae.generate(KEY, *other_model(), 3), ValueError, "params must be of this model, and it must be made for z and no condition"),
    (lambda: jaxvae.generate(KEY, *other_model(), 3, noise=True), ValueError, "params must be of this model, and it must be made for z and no condition"),
    (lambda: posterior_elbo(*other_model()), ValueError, r"params must be of this model, and it must be made for x \(20, 64\)"),
    (lambda: jaxvae.encode_mean(small_vae("normal"), state_of("normal"), X), TypeError, "params must be a model's parameters, got a TrainState: take its params"),
    (lambda: jaxvae.evaluate(KEY, small_vae("normal"), state_of("normal"), X), TypeError, "params must be a model's parameters, got a TrainState"),
    # a step by itself
    (lambda: step(X), TypeError, "batch must be a jaxvae.Batch, got .*"),
    (lambda: step(jaxvae.Batch(X[:0], Y[:0])), ValueError, "batch must hold at least one example, got none"),
    (lambda: step(jaxvae.Batch(X, Y.astype(np.float32))), TypeError, "y must hold integers, got float32"),
    (lambda: step(jaxvae.Batch(X, Y > 3)), TypeError, "y must hold integers, got bool"),
    # what only looks like data
    (lambda: jaxvae.evaluate(KEY, small_vae("normal"), {}, lambda: iter([X])), TypeError, "x must be an array, got <function"),
    (lambda: fit([(X[:9], Y[:9]), (X[9:], Y[9:])], None), ValueError, "batches come from a function: lambda: iter"),
    # transforms
    (lambda: fit(vae=scaled(63)), ValueError, r"transform must take x of the shape \(1, 64\): "),
    # networks
    (lambda: network(dtype="foo"), TypeError, "dtype must be a dtype of floats or None, got 'foo'"),
    (lambda: network(dtype="int32"), TypeError, "dtype must be a dtype of floats or None, got 'int32'"),
    (lambda: fit(CONVOLUTIONAL_X, None, vae=jaxvae.normal_vae(CONVOLUTIONAL)), ValueError, r"x must be images \[B, 8, 8, 3\], as image_shape says, got the shape \(\d+, 8, 8\)"),
    (lambda: fit(X, None, vae=jaxvae.normal_vae(CONVOLUTIONAL)), ValueError, r"x must be images \[B, 8, 8, 3\], as image_shape says, got the shape \(\d+, 64\)"),
    (lambda: fit(Y.repeat(64).reshape(20, 64), None, vae=categories(9)), ValueError, "x must be from 0 to 8, as network.decode returns 9 logits for each value, got 9"),
    (lambda: network(layers=0), ValueError, "layers must be at least 1, got 0"),
    (lambda: network(hidden_units=-1), ValueError, "hidden_units must be at least 1, got -1"),
    (lambda: network(data_dim=0), ValueError, "data_dim must be at least 1, got 0"),
    (lambda: network(latent_dim=1), ValueError, "latent_dim must be at least 2, got 1"),
    (lambda: normal_network(latent_dim=0), ValueError, "latent_dim must be at least 1, got 0"),
    (lambda: network(activation="swoosh"), ValueError, "activation must be one of .*'relu'.*got 'swoosh'"),
    (lambda: network(activation=3), TypeError, "activation must be a function, got 3"),
    (lambda: network(head="exp"), ValueError, "head must be one of 'softplus', 'relu', got 'exp'"),
    (lambda: network(concentration_floor=0), ValueError, "concentration_floor must be finite and above 0, got 0"),
    (lambda: jaxvae.flax_network("encoder", None), TypeError, "encoder must be a flax.linen.Module"),
    (lambda: network(layers="2"), TypeError, "layers must be an integer, got '2'"),
    (lambda: network(layers=True), TypeError, "layers must be an integer, got True"),
    (lambda: network(data_dim=None), TypeError, "data_dim must be an integer, got None"),
    (lambda: network(hidden_units=2.0), TypeError, "hidden_units must be an integer, got 2.0"),
    (lambda: network(head=None), ValueError, "head must be one of 'softplus', 'relu', got None"),
    (lambda: network(activation=None), TypeError, "activation must be a function, got None"),
    (lambda: network(concentration_floor=np.nan), ValueError, "concentration_floor must be finite and above 0, got nan"),
    (lambda: network(concentration_floor="0.1"), TypeError, "concentration_floor must be a number, got '0.1'"),
    (lambda: network(concentration_floor=1e-300), ValueError, "concentration_floor must be finite and above 0 as a float32 too, got 1e-300"),
    (lambda: normal_network(layers=0), ValueError, "layers must be at least 1, got 0"),
    (lambda: normal_network(data_dim=-5), ValueError, "data_dim must be at least 1, got -5"),
    (lambda: normal_network(hidden_units=[3]), TypeError, r"hidden_units must be an integer, got \[3\]"),
    (lambda: normal_network(activation="swoosh"), ValueError, "activation must be one of .*'relu'.*got 'swoosh'"),
    (lambda: jaxvae.flax_network(np.zeros((99, 99)), nn.Dense(2)), TypeError, "encoder must be a flax.linen.Module instance, got a ndarray; .* a jaxvae.Network"),
    (lambda: jaxvae.flax_network(nn.Dense(2), nn.Dense), TypeError, "decoder must be a flax.linen.Module instance, got <class"),
    # models
    (lambda: jaxvae.normal_vae("network"), TypeError, "network must be a jaxvae.Network, got 'network'"),
    (lambda: small_vae("normal", likelihood="poisson"), ValueError, "likelihood must be one of 'normal', 'bernoulli', got 'poisson'"),
    (lambda: small_vae("normal", objective="iwae"), ValueError, "objective must be one of 'elbo', 'original', got 'iwae'"),
    (lambda: small_vae("dirichlet", objective="original", likelihood="bernoulli"), ValueError, 'likelihood must be "normal" with objective="original"'),
    (lambda: small_vae("normal", prior_variance=0.0), ValueError, "prior_variance must be finite and above 0, got 0.0"),
    (lambda: small_vae("normal", prior_variance=np.inf), ValueError, "prior_variance must be finite and above 0, got inf"),
    (lambda: small_vae("normal", kl_weight=-1), ValueError, "kl_weight must be finite and at least 0, got -1.0"),
    (lambda: small_vae("normal", kl_weight="a"), TypeError, "kl_weight must be a number, got 'a'"),
    (lambda: small_vae("dirichlet", prior="labels"), TypeError, "prior must be a jaxvae.priors.Prior, got 'labels'"),
    (lambda: jaxvae.label_prior(smoothness=0), ValueError, "smoothness must be finite and above 0, got 0.0"),
    (lambda: jaxvae.label_prior(total_concentration=np.nan), ValueError, "total_concentration must be finite and above 0, got nan"),
    (lambda: jaxvae.symmetric_prior(-2), ValueError, "concentration must be finite and above 0, got -2.0"),
    (lambda: fit(vae=jaxvae.dirichlet_vae(WRONG_OUTPUT)), ValueError, r"network.decode must return the shape of x, \(20, 64\), got \(20, 63\)"),
    (lambda: fit(vae=jaxvae.dirichlet_vae(ENCODER_OF_THE_OTHER_LATENT)), ValueError, "network.encode must return a concentration"),
    (lambda: fit(vae=jaxvae.normal_vae(network(layers=1))), ValueError, r"network.encode must return a pair \(loc, scale\)"),
    (lambda: jaxvae.normal_vae(jaxvae.Network(1, 2, 3)), TypeError, "network.init must be a function, got 1"),
    (lambda: jaxvae.dirichlet_vae(None), TypeError, "network must be a jaxvae.Network, got None"),
    (lambda: small_vae("dirichlet", kl_weight=np.nan), ValueError, "kl_weight must be finite and at least 0, got nan"),
    (lambda: small_vae("dirichlet", kl_weight=1e300), ValueError, r"kl_weight must be finite and at least 0 as a float32 too, got 1e\+300"),
    (lambda: small_vae("dirichlet", likelihood=None), ValueError, "likelihood must be one of 'normal', 'bernoulli', got None"),
    (lambda: small_vae("dirichlet", objective=1), ValueError, "objective must be one of 'elbo', 'original', got 1"),
    (lambda: small_vae("normal", objective="original", likelihood="bernoulli"), ValueError, 'likelihood must be "normal" with objective="original"'),
    (lambda: small_vae("normal", prior_variance="1"), TypeError, "prior_variance must be a number, got '1'"),
    (lambda: small_vae("normal", prior_variance=True), TypeError, "prior_variance must be a number, got True"),
    (lambda: small_vae("normal", prior_variance=1e-300), ValueError, "prior_variance must be finite and above 0 as a float32 too, got 1e-300"),
    (lambda: small_vae("normal", prior_variance=10**400), ValueError, "prior_variance must be finite and above 0, got an integer beyond floats"),
    (lambda: jaxvae.label_prior(smoothness="0.5"), TypeError, "smoothness must be a number, got '0.5'"),
    (lambda: jaxvae.label_prior(total_concentration=-8), ValueError, "total_concentration must be finite and above 0, got -8.0"),
    (lambda: jaxvae.symmetric_prior(None), TypeError, "concentration must be a number, got None"),
    (lambda: jaxvae.symmetric_prior(np.ones(2)), TypeError, r"concentration must be a number, got array\(\[1., 1.\]\)"),
    (lambda: jaxvae.symmetric_prior(np.ones(1)), TypeError, r"concentration must be a number, got array\(\[1.\]\)"),
    (lambda: small_vae("dirichlet").sample_prior({}, 0, (3, 10)), TypeError, "key must be a typed key.*got 0"),
    (lambda: small_vae("dirichlet").sample_prior({}, KEY, ()), TypeError, r"shape must be a tuple \(..., K\) of integers, got \(\)"),
    (lambda: small_vae("dirichlet").sample_prior({}, KEY, (3, 0)), ValueError, r"shape\[-1\] must be at least 1, got 0"),
    (lambda: small_vae("normal").sample_prior({}, KEY, 2.5), TypeError, r"shape must be an integer, got 2.5"),
    (lambda: plain_vae().sample_prior({}, KEY, 2), ValueError, r"shape must be given with the latent's width"),
    (lambda: small_vae("normal").sample_prior({}, KEY, (-1, 2)), ValueError, "shape must be at least 0, got -1"),
    (lambda: small_vae("normal").sample_prior({}, KEY, (3, 2.5)), TypeError, r"shape\[-1\] must be an integer, got 2.5"),
    # distributions
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, 0.0])), ValueError, r"concentration must be finite and above 0, got 0.0 at index \(1,\)"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, -2.0])), ValueError, "concentration must be finite and above 0, got -2.0"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, np.nan])), ValueError, "concentration must be finite and above 0, got nan"),
    (lambda: jaxvae.sample_log_gamma(KEY, np.inf), ValueError, "concentration must be finite and above 0, got inf"),
    (lambda: jaxvae.sample_dirichlet(KEY, 1.0), ValueError, "concentration must have at least one axis"),
    (lambda: jaxvae.sample_dirichlet(0, jnp.ones(2)), TypeError, "key must be a typed key"),
    (lambda: jaxvae.sample_normal(KEY, jnp.zeros(2), jnp.array([1.0, 0.0])), ValueError, "scale must be finite and above 0, got 0.0"),
    (lambda: jaxvae.sample_normal(KEY, jnp.array([np.nan]), jnp.ones(1)), ValueError, "loc must be finite, got nan"),
    (lambda: jaxvae.kl_normal(jnp.zeros(2), jnp.zeros(2)), ValueError, "scale must be finite and above 0, got 0.0"),
    (lambda: jaxvae.kl_normal(jnp.zeros(2), jnp.ones(2), prior_variance=-1), ValueError, "prior_variance must be finite and above 0, got -1"),
    (lambda: jaxvae.kl_dirichlet(jnp.ones(2), jnp.zeros(2)), ValueError, "prior_concentration must be finite and above 0, got 0.0"),
    (lambda: jaxvae.kl_dirichlet(jnp.array([np.inf, 1.0]), jnp.ones(2)), ValueError, "concentration must be finite and above 0, got inf"),
    (lambda: jaxvae.sample_normal(KEY, "x", 1.0), TypeError, "loc must be an array of real numbers, got 'x'"),
    (lambda: jaxvae.sample_normal(KEY, jnp.ones(2), None), TypeError, "scale must be an array of real numbers, got None"),
    (lambda: jaxvae.sample_normal(KEY, jnp.ones(2) > 0, jnp.ones(2)), TypeError, "loc must hold real numbers, got dtype bool"),
    (lambda: jaxvae.sample_normal(KEY, jnp.ones(2), jnp.ones(3)), ValueError, r"loc and scale must broadcast, got \(2,\) and \(3,\)"),
    (lambda: jaxvae.sample_normal(KEYS, jnp.ones(2), jnp.ones(2)), ValueError, r"key must be one key, got an array of keys of shape \(2,\)"),
    (lambda: jaxvae.sample_log_gamma(KEY, [[1.0], [1.0, 2.0]]), TypeError, "concentration must be an array of real numbers, got"),
    (lambda: jaxvae.sample_log_gamma(KEY, 1.0, method="slow"), ValueError, "method must be one of 'fast', 'tfp', got 'slow'"),
    (lambda: jaxvae.sample_log_gamma(None, 1.0), TypeError, "key must be a typed key.*got None"),
    (lambda: jaxvae.sample_dirichlet(KEY, None), TypeError, "concentration must be an array of real numbers, got None"),
    (lambda: jaxvae.sample_dirichlet(KEY, np.ones((2, 0))), ValueError, r"concentration must have at least one axis \[..., K\], with K at least 1, got \(2, 0\)"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.ones(2), method=None), ValueError, "method must be one of 'fast', 'tfp', got None"),
    (lambda: jaxvae.kl_normal(jnp.array([np.inf]), jnp.ones(1)), ValueError, r"loc must be finite, got inf at index \(0,\)"),
    (lambda: jaxvae.kl_normal(1.0, 1.0), ValueError, r"loc must have at least one axis \[..., K\]"),
    (lambda: jaxvae.kl_normal(jnp.ones(2), jnp.ones(3)), ValueError, r"loc and scale must broadcast, got \(2,\) and \(3,\)"),
    (lambda: jaxvae.kl_normal(jnp.ones(2), jnp.ones(2), prior_variance=1e-300), ValueError, "prior_variance must be finite and above 0 as a float32 too, got 1e-300"),
    (lambda: jaxvae.kl_dirichlet(1.0, 1.0), ValueError, r"concentration must have at least one axis \[..., K\]"),
    (lambda: jaxvae.kl_dirichlet(jnp.ones(0), jnp.ones(0)), ValueError, r"concentration must have at least one axis .*K at least 1, got \(0,\)"),
    (lambda: jaxvae.kl_dirichlet(jnp.ones(2), jnp.ones(3)), ValueError, r"concentration and prior_concentration must broadcast, got \(2,\) and \(3,\)"),
    (lambda: jaxvae.kl_dirichlet(jnp.ones(2), "x"), TypeError, "prior_concentration must be an array of real numbers, got 'x'"),
    (lambda: jaxvae.log_gamma_grad(-1.0, 0.0), ValueError, "concentration must be finite and above 0, got -1.0"),
    (lambda: jaxvae.log_gamma_grad(1.0, np.nan), ValueError, "log_x must be finite, got nan"),
    (lambda: jaxvae.log_gamma_grad(1.0, -np.inf), ValueError, "log_x must be finite, got -inf"),
    (lambda: jaxvae.log_gamma_grad(jnp.ones(2), jnp.ones(3)), ValueError, r"concentration and log_x must broadcast, got \(2,\) and \(3,\)"),
    (lambda: jaxvae.log_prob_dirichlet(jnp.ones(2), jnp.array([0.0, np.inf])), ValueError, r"log_z must be finite or minus infinity, got inf at index \(1,\)"),
    (lambda: jaxvae.log_prob_dirichlet(jnp.ones(2), jnp.array([np.nan, 0.0])), ValueError, r"log_z must be finite or minus infinity, got nan at index \(0,\)"),
    (lambda: jaxvae.log_prob_dirichlet(jnp.array([0.5, 2.0]), jnp.full(2, -np.inf)), ValueError, "log_z must not be minus infinity both where the concentration is below and where it is above 1, got"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.ones(2), gradient="implicit"), ValueError, "gradient must be one of 'beta', 'gamma', got 'implicit'"),
    (lambda: jaxvae.sample_log_dirichlet(KEY, jnp.ones(2), gradient=None), ValueError, "gradient must be one of 'beta', 'gamma', got None"),
    (lambda: jaxvae.sample_log_dirichlet(KEY, jnp.array([1.0, 0.0])), ValueError, "concentration must be finite and above 0, got 0.0"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, 1e-39])), ValueError, "concentration must be finite and above 0 as a normal float32, got"),
    (lambda: jaxvae.sample_normal(KEY, jnp.zeros(2), jnp.array([1.0, 1e-39])), ValueError, "scale must be finite and above 0 as a normal float32, got"),
    (lambda: small_vae("dirichlet", gradient="pathwise"), ValueError, "gradient must be one of 'beta', 'gamma', got 'pathwise'"),
    (lambda: jaxvae.log_prob_dirichlet(jnp.array([1.0, 0.0]), jnp.zeros(2)), ValueError, r"concentration must be finite and above 0, got 0.0 at index \(1,\)"),
    (lambda: jaxvae.log_prob_dirichlet(1.0, 0.0), ValueError, r"concentration must have at least one axis \[..., K\]"),
    (lambda: jaxvae.log_prob_dirichlet(jnp.ones(2), jnp.ones(3)), ValueError, r"concentration and log_z must broadcast, got \(2,\) and \(3,\)"),
    # objectives
    (lambda: objectives.normal_nll(X, X[0]), ValueError, r"mean must have the shape of x, \[..., D\], \(20, 64\), got \(64,\)"),
    (lambda: objectives.bernoulli_nll(X, X[:, :1]), ValueError, r"logits must have the shape of x, .*got \(20, 1\)"),
    (lambda: objectives.original_normal_reconstruction(X, X[:, :3]), ValueError, r"mean must have the shape of x, .*got \(20, 3\)"),
    (lambda: objectives.original_dirichlet_reconstruction(X, X[:3]), ValueError, r"mean must have the shape of x, .*got \(3, 64\)"),
    (lambda: objectives.original_normal_kl(X, X, X, prior_variance=0), ValueError, "prior_variance must be finite and above 0, got 0.0"),
    (lambda: objectives.original_normal_kl(X, X, X[:, :3], prior_variance=1), ValueError, r"scale must have the shape of z, .*got \(20, 3\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), jnp.ones(2)), ValueError, r"weight must have the shape of values, .*\(3,\), got \(2,\)"),
    (lambda: objectives.normal_nll(X[:1], X), ValueError, r"mean must have the shape of x, .*\(1, 64\), got \(20, 64\)"),
    (lambda: objectives.bernoulli_nll(np.float32(1), np.float32(1)), ValueError, r"logits must have the shape of x, \[..., D\], \(\), got \(\)"),
    (lambda: objectives.original_normal_kl(X, X[:1], X, prior_variance=1), ValueError, r"loc must have the shape of z, .*\(20, 64\), got \(1, 64\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), jnp.ones(())), ValueError, r"weight must have the shape of values, \[B\], \(3,\), got \(\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), jnp.ones((3, 1))), ValueError, r"weight must have the shape of values, \[B\], \(3,\), got \(3, 1\)"),
    (lambda: objectives.weighted_mean(jnp.ones((3, 3)), None), ValueError, r"values must have the shape \[B\], got \(3, 3\)"),
    (lambda: objectives.weighted_mean(jnp.ones((3, 3)), jnp.ones((3, 3))), ValueError, r"values must have the shape \[B\], got \(3, 3\)"),
    (lambda: objectives.weighted_mean(jnp.ones(()), None), ValueError, r"values must have the shape \[B\], got \(\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), jnp.array([1.0, -1.0, 1.0])), ValueError, r"weight must be finite and at least 0, got -1.0 at index \(1,\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), np.array([1.0, 1.0, np.nan])), ValueError, r"weight must be finite and at least 0, got nan at index \(2,\)"),
    (lambda: objectives.weighted_mean(jnp.ones(3), jnp.array([1.0, 1.0, np.inf])), ValueError, r"weight must be finite and at least 0, got inf at index \(2,\)"),
    # losses
    (lambda: loss(X.reshape(20, 8, 8)), ValueError, r"network.decode must return the shape of x, \(20, 8, 8\), got \(20, 64\); .*flatten x"),
    (lambda: loss(X[:1].reshape(1, 8, 8), Y[:1], "normal"), ValueError, r"network.decode must return the shape of x, \(1, 8, 8\), got \(1, 64\); .*flatten x"),
    (lambda: loss(X.reshape(20, 8, 8, 1), None, "normal"), ValueError, r"network.decode must return the shape of x, \(20, 8, 8, 1\), got \(20, 64\); .*flatten x"),
    (lambda: loss(X[0], None, "normal"), ValueError, r"x must have the shape \[B, D\] or more axes, got \(64,\)"),
    (lambda: loss(y=Y[:1]), ValueError, r"y must have one value for each row of x, the shape \(20,\), got \(1,\)"),
    (lambda: loss(y=Y[:, None]), ValueError, r"y must have one value for each row of x, the shape \(20,\), got \(20, 1\)"),
    (lambda: loss(y=Y[:3], model="normal"), ValueError, r"y must have one value for each row of x, the shape \(20,\), got \(3,\)"),
    (lambda: loss(weight=np.ones(1, np.float32)), ValueError, r"weight must have one value for each row of x, the shape \(20,\), got \(1,\)"),
    (lambda: loss(weight=np.float32(1)), ValueError, r"weight must have one value for each row of x, the shape \(20,\), got \(\)"),
    (lambda: loss(weight=np.ones((20, 1), np.float32)), ValueError, r"weight must have one value for each row of x, the shape \(20,\), got \(20, 1\)"),
    (lambda: loss(position=np.arange(3)), ValueError, r"position must have one value for each row of x, the shape \(20,\), got \(3,\)"),
    (lambda: loss(weight=np.linspace(1, -1, 20, dtype=np.float32)), ValueError, r"weight must be finite and at least 0, got -0.05\d+ at index \(10,\)"),
    (lambda: loss(model="normal", network=changed("decode", lambda x: x[:1])), ValueError, r"network.decode must return the shape of x, \(20, 64\), got \(1, 64\)"),
    (lambda: loss(model="normal", network=changed("decode", lambda x: x[:, :1])), ValueError, r"network.decode must return the shape of x, \(20, 64\), got \(20, 1\)"),
    (lambda: loss(model="normal", network=changed("decode", lambda x: x.reshape(-1, 8, 8))), ValueError, r"network.decode must return the shape of x, \(20, 64\), got \(20, 8, 8\)"),
    (lambda: loss(model="normal", network=changed("encode", lambda q: (q[0], q[1][:, 0]))), ValueError, r"network.encode must return a pair .*got \(\(20, 20\), \(20,\)\); of one shape, with B = 20"),
    (lambda: loss(model="normal", network=changed("encode", lambda q: (q[0], q[1][:1]))), ValueError, r"network.encode must return a pair .*got \(\(20, 20\), \(1, 20\)\)"),
    (lambda: loss(model="normal", network=changed("encode", lambda q: (q[0][:1], q[1][:1]))), ValueError, r"network.encode must return a pair .*got \(\(1, 20\), \(1, 20\)\)"),
    (lambda: loss(model="normal", network=changed("encode", lambda q: (q[0], 1.0))), ValueError, r"network.encode must return a pair .*got \(\(20, 20\), 1.0\)"),
    (lambda: loss(network=changed("encode", lambda q: q[:1], "dirichlet")), ValueError, r"network.encode must return a concentration \[B, K\], got \(1, 20\); of a shape with B = 20"),
    (lambda: loss(network=changed("encode", lambda q: q[:, 0], "dirichlet")), ValueError, r"network.encode must return a concentration \[B, K\], got \(20,\); of a shape with B = 20"),
    (lambda: loss(prior=jaxvae.models.DirichletPrior(lambda y, k: jnp.ones((len(y), 1)), True)), ValueError, r"prior.concentration must return the shape \(20, 10\) or \(10,\), got \(20, 1\)"),
    (lambda: loss(prior=jaxvae.models.DirichletPrior(lambda y, k: jnp.ones(1), False)), ValueError, r"prior.concentration must return the shape \(20, 10\) or \(10,\), got \(1,\)"),
    (lambda: parallel.split_rows(jaxvae.Batch(X, Y[:3]), 2), ValueError, r"y must have one value for each row of x, the shape \(20,\), got \(3,\)"),
    (lambda: parallel.split_rows(jaxvae.Batch(X, Y, weight=np.full(20, np.nan)), 2), ValueError, r"weight must be finite and at least 0, got nan at index \(0,\)"),
    (lambda: parallel.split_rows(jaxvae.Batch(X, Y, weight=np.full(20, -1.0)), 2), ValueError, r"weight must be finite and at least 0, got -1.0 at index \(0,\)"),
    # what has no hash
    (lambda: fit(optimizer=SGD._replace(update=NO_HASH)), TypeError, "optimizer must be made of hashable functions, got .*unhashable type: 'Unhashable'"),
    (lambda: fit(vae=small_vae("normal")._replace(encode=NO_HASH)), TypeError, "vae must be made of hashable functions, got .*unhashable type: 'Unhashable'"),
    (lambda: jaxvae.encode_mean(small_vae("normal")._replace(encode=NO_HASH), {}, X), TypeError, "vae must be made of hashable functions"),
    (lambda: compat.dense_encoder_decoder(64, 2, 1, 8, Unhashable(jnp.tanh)), TypeError, "activation must be a hashable function, got .*unhashable type: 'Unhashable'"),
    # steps
    (lambda: jaxvae.make_train_epoch(small_vae("normal"), SGD, batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: epoch_of(y=Y[:2]), ValueError, r"y must have one value for each row of x, the shape \(20,\), got \(2,\)"),
    (lambda: epoch_of(y=Y, weight=np.ones(7, np.float32)), ValueError, r"weight must have one value for each row of x, the shape \(20,\), got \(7,\)"),
    (lambda: epoch_of(y=Y, weight=np.ones((20, 1), np.float32)), ValueError, r"weight must have one value for each row of x, the shape \(20,\), got \(20, 1\)"),
    (lambda: jaxvae.make_train_epoch(small_vae("normal"), SGD, batch_size="8"), TypeError, "batch_size must be an integer, got '8'"),
    (lambda: jaxvae.init_state(0, small_vae("normal"), SGD, X), TypeError, "key must be a typed key.*got 0"),
    (lambda: jaxvae.init_state(KEYS, small_vae("normal"), SGD, X), ValueError, "key must be one key"),
    (lambda: jaxvae.init_state(KEY, None, SGD, X), TypeError, "vae must be a jaxvae.VAE, got None"),
    (lambda: jaxvae.make_train_step("model", SGD), TypeError, "vae must be a jaxvae.VAE, got 'model'"),
    (lambda: jaxvae.make_train_step(small_vae("normal"), "adam"), TypeError, "optimizer must be an optax.GradientTransformation, got 'adam'"),
    (lambda: jaxvae.make_train_epoch(small_vae("normal"), 1e-3, batch_size=8), TypeError, "optimizer must be an optax.GradientTransformation, got 0.001"),
    (lambda: fit(optimizer=demanding(), model="normal"), ValueError, "optimizer must update .* ask for nothing but value, .*missing .*'curvature'"),
    (lambda: fit_many(optimizer=demanding(), model="normal"), ValueError, "optimizer must update .* ask for nothing but value, .*'curvature'"),
    (lambda: fit(optimizer=optax.partition({"a": SGD}, {"encoder": "a", "decoder": "b"})), ValueError, "optimizer must fit the parameters of this model"),
    (lambda: fit(model="normal", y=None, optimizer=jaxvae.revive_dead_categories(SGD)), ValueError, "optimizer must fit the parameters .*must hold encoder/concentration/bias"),
    (lambda: jaxvae.revive_dead_categories(SGD).init({"w": X}), ValueError, r"params must hold encoder/concentration/bias.*got PyTreeDef\(\{'w'"),
    (lambda: jaxvae.revive_dead_categories("adam"), TypeError, "optimizer must be an optax.GradientTransformation, got 'adam'"),
    (lambda: jaxvae.average_params(None), TypeError, "optimizer must be an optax.GradientTransformation, got None"),
    (lambda: jaxvae.average_params(SGD, 1.0), ValueError, "decay must be below 1, got 1.0"),
    (lambda: jaxvae.average_params(SGD).update(X, jaxvae.average_params(SGD).init(X)), ValueError, "params must be given to update.*got None"),
    (lambda: jaxvae.pmap_train_step(3, SGD), TypeError, "vae must be a jaxvae.VAE, got 3"),
    (lambda: jaxvae.pmap_train_epoch(small_vae("normal"), None, batch_size=8), TypeError, "optimizer must be an optax.GradientTransformation, got None"),
    (lambda: jaxvae.pmap_train_step(small_vae("normal"), SGD, devices=99), ValueError, "devices must be at most 8 here, got 99"),
    (lambda: jaxvae.pmap_train_step(small_vae("normal"), SGD, devices=[]), ValueError, "devices must be different ones of"),
    (lambda: jaxvae.pmap_train_epoch(small_vae("normal"), SGD, batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: jaxvae.pmap_train_epoch(small_vae("normal"), SGD, batch_size=8, devices=0), ValueError, "devices must be at least 1, got 0"),
    (lambda: jaxvae.revive_dead_categories(SGD, patience=0), ValueError, "patience must be at least 1, got 0"),
    (lambda: jaxvae.revive_dead_categories(SGD, patience=1.5), TypeError, "patience must be an integer, got 1.5"),
    (lambda: jaxvae.revive_dead_categories(SGD, nudge=-1), ValueError, "nudge must be finite and above 0, got -1.0"),
    (lambda: jaxvae.revive_dead_categories(SGD, nudge="a"), TypeError, "nudge must be a number, got 'a'"),
    # evaluation
    (lambda: evaluate(key=0), TypeError, "key must be a typed key.*got 0"),
    (lambda: evaluate(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: evaluate(batch_size=2.5), TypeError, "batch_size must be an integer, got 2.5"),
    (lambda: evaluate(y=Y[:3]), ValueError, "y must have one label for each of 20 examples, got 3"),
    (lambda: evaluate(X[:, :5]), ValueError, r"params must be of this model, and it must be made for x \(20, 5\)"),
    (lambda: jaxvae.evaluate(KEY, None, {}, X, Y), TypeError, "vae must be a jaxvae.VAE, got None"),
    (lambda: jaxvae.evaluate(KEY, small_vae("dirichlet"), {}, X, Y), ValueError, "params must be of this model"),
    (lambda: jaxvae.encode_mean(None, {}, X), TypeError, "vae must be a jaxvae.VAE, got None"),
    (lambda: jaxvae.encode_mean(small_vae("normal"), {}, X[0]), ValueError, r"x must have the shape \[N, D\] \(rank 2\), got \(64,\)"),
    (lambda: jaxvae.encode_mean(small_vae("normal"), {}, X, batch_size=-1), ValueError, "batch_size must be at least 1, got -1"),
    (lambda: jaxvae.accuracy("vae", {}, X, Y), TypeError, "vae must be a jaxvae.VAE, got 'vae'"),
    # inside a transformation
    (lambda: jax.jit(lambda key: fit(key=key))(KEY), TypeError, "key must be given outside jit, vmap and grad, got .*; there call make_train_epoch"),
    (lambda: jax.jit(lambda: fit())(), TypeError, "key must be given outside jit, vmap and grad"),
    (lambda: jax.vmap(lambda key: fit(key=key))(KEYS), TypeError, "key must be given outside .*fit_many"),
    (lambda: jax.vmap(lambda x: fit(x))(X[None]), TypeError, "x must be given outside jit, vmap and grad"),
    (lambda: jax.grad(lambda x: fit(x)[1].epochs[0].loss)(X), TypeError, "x must be given outside jit, vmap and grad"),
    (lambda: jax.vmap(lambda y: fit(y=y))(Y[None]), TypeError, "y must be given outside jit, vmap and grad"),
    (lambda: jax.vmap(lambda x: fit(validation=(x, Y)))(X[None]), TypeError, "validation must be given outside jit"),
    (lambda: jax.vmap(lambda keys: fit_many(keys=keys))(KEYS[None]), TypeError, "keys must be given outside .*make_train_epoch"),
    (lambda: jax.vmap(lambda rate: fit_many(hyperparams={"learning_rate": rate}))(X[:1, :2]), TypeError, "hyperparams must be given outside jit"),
    (lambda: jax.jit(lambda key: evaluate(key=key))(KEY), TypeError, "key must be given outside .*call vae.loss"),
    (lambda: jax.vmap(lambda x: evaluate(x))(X[None]), TypeError, "x must be given outside jit.*call vae.loss"),
    (lambda: jax.grad(lambda params: jaxvae.evaluate(KEY, small_vae("normal"), params, X).loss)({"w": 1.0}), TypeError, "params must be given outside .*call vae.loss"),
    (lambda: jax.jit(lambda x: jaxvae.encode_mean(small_vae("normal"), {}, x))(X), TypeError, "x must be given outside .*call vae.encode"),
    (lambda: jax.jit(lambda y: jaxvae.accuracy(small_vae("normal"), {}, X, y))(Y), TypeError, "y must be given outside .*call vae.encode"),
    (lambda: jax.jit(lambda x: posterior_elbo(small_vae("normal"), {}, x))(X), TypeError, "q must be given outside .*use vae.terms"),
    (lambda: jax.vmap(lambda x: jaxvae.load_state("run", small_vae("normal"), SGD, x))(X[None]), TypeError, "x must be given outside jit.*load the state before"),
    # figures
    (lambda: figures.latent_scatter(np.zeros(3)), ValueError, r"z must have the shape \[N, D\], not empty, got \(3,\)"),
    (lambda: figures.latent_scatter(np.zeros((0, 2))), ValueError, r"z must have the shape \[N, D\], not empty, got \(0, 2\)"),
    (lambda: figures.latent_scatter(X, Y[:2]), ValueError, "y must have one label for each of 20 examples, got 2"),
    (lambda: images(X[:0]), ValueError, r"images must have the shape \[N, D\], not empty, got \(0, 64\)"),
    (lambda: images(shape=(8, 9)), ValueError, r"image_shape must be of the 64 values of an example, got \(8, 9\)"),
    (lambda: images(columns=0), ValueError, "columns must be at least 1, got 0"),
    (lambda: images(names=["one"]), ValueError, "names must be one for each of 20 images, got 1"),
    (lambda: figures.mosaic(X, (8, 8), title="bad"), ValueError, r"images must be a square number of them, n \* n, got 20"),
    (lambda: figures.reconstructions(X, X[:3], (8, 8)), ValueError, r"x_decoded must have the shape of x, \(20, 64\), got \(3, 64\)"),
    (lambda: figures.corners(X[:0], None), ValueError, r"images must have the shape \[N, D\], not empty, got \(0, 64\)"),
    (lambda: figures.blend(X[:3], (0, 1), ("0", "1"), (8, 8)), ValueError, "weights must be one for each of 3 images, got 2"),
    (lambda: figures.blend(X[:2], (0, 1), ("0",), (8, 8)), ValueError, r"names must be those of two categories, got \('0',\)"),
    (lambda: figures.ternary(X[:, :2], names="ab", title="bad"), ValueError, r"shares must have the shape \[N, 3\], with three names, got \(20, 2\) and 2 names"),
    (lambda: figures.ternary(-X[:, :3], names="abc", title="bad"), ValueError, "shares must be at least 0 and not all 0, got -0.5"),
    (lambda: figures.ternary(0 * X[:, :3], names="abc", title="bad"), ValueError, "shares must be at least 0 and not all 0, got 0.0"),
    (lambda: figures.ternary(X[:, :3], Y[:2], names="abc", title="bad"), ValueError, "y must have one label for each of 20 examples, got 2"),
    (lambda: figures.walk(X, ["one"], (8, 8)), ValueError, "captions must be one for each of 20 images, got 1"),
    (lambda: figures.walk(X[:1], ["one"], (8, 8), shares=X), ValueError, "shares must be one row for each of 1 images, got 20"),
    (lambda: figures.loss_spread([[]]), ValueError, r"runs must be at least two, each of as many epochs, got \[0\] epochs"),
    (lambda: figures.lattice(np.zeros((5, 3))), ValueError, r"z must have the shape \[N, 2\], got \(5, 3\)"),
    (lambda: figures.lattice(np.zeros((5, 2)), n=1), ValueError, "n must be at least 2, got 1"),
]  # fmt: skip


BAD_COMMANDS = [
    ("train --epochs 0", 1, "epochs must be at least 1, got 0"),
    ("train --epochs ten", 2, "ten"),
    ("train --batch-size 0", 1, "batch_size must be at least 1, got 0"),
    ("train --seed -1", 1, "seed must be at least 0, got -1"),
    ("train --seed 9223372036854775808", 1, "seed must be below 2**63, got 9223372036854775808"),
    ("train --seeds 0", 1, "seeds must be at least 1, got 0"),
    ("train --learning-rate inf", 1, "learning_rate must be finite and above 0, got inf"),
    ("train --learning-rate 1e-300", 1, "learning_rate must be finite and above 0 as a float32 too, got 1e-300"),
    ("train --kl-weight nan", 1, "kl_weight must be finite and at least 0, got nan"),
    ("train --layers 0", 1, "layers must be at least 1, got 0"),
    ("train --hidden-units -8", 1, "hidden_units must be at least 1, got -8"),
    ("train --activation swoosh", 2, "swoosh"),
    ("train --latent-dim 1", 1, "latent_dim must be at least 10, the number of labels, got 1"),
    ("train --model normal --latent-dim 0", 1, "latent_dim must be at least 1, got 0"),
    ("train --model normal --prior-variance 0", 1, "prior_variance must be finite and above 0, got 0.0"),
    ("train --model normal --prior labels", 1, "prior must be left out except with --model joint or dirichlet, got labels"),
    ("train --model gauss", 2, "gauss"),
    ("train --smoothness 0", 1, "smoothness must be finite and above 0, got 0.0"),
    ("train --total-concentration -8", 1, "total_concentration must be finite and above 0, got -8.0"),
    ("train --prior symmetric --prior-concentration nan", 1, "concentration must be finite and above 0, got nan"),
    ("train --concentration-floor 0", 1, "concentration_floor must be finite and above 0, got 0.0"),
    ("train --data missing.npz", 1, "missing.npz"),
    ("train --data missing.xlsx", 1, "missing.xlsx"),
    ("train --dataset mnist --data-dir missing", 1, "data_dir must hold MNIST's four files; missing lacks"),
    ("train --dataset cifar", 2, "cifar"),
    ("train --data-dir missing", 1, "data_dir must be left out except with --dataset mnist"),
    ("train --distributed here", 1, "distributed must be auto or ADDRESS:PORT,COUNT,INDEX, got here"),
    ("train --distributed a:1,2,2", 1, "distributed must have an INDEX from 0 to COUNT - 1, got a:1,2,2"),
    ("train --objective original --likelihood bernoulli", 1, "likelihood must be"),
    ("train --nonsense", 2, "--nonsense"),
    ("train stray", 2, "stray"),
    ("evaluate missing", 1, "missing/config.json"),
    ("figures missing", 1, "missing/config.json"),
    ("generate missing", 1, "missing/config.json"),
    ("generate missing --count 0", 1, "count must be at least 1, got 0"),
    ("generate missing --seed -1", 1, "seed must be at least 0, got -1"),
    ("generate missing --seed 9223372036854775808", 1, "seed must be below 2**63, got 9223372036854775808"),
    ("generate missing --out a.gif", 1, "out must end in .png, .npy, .npz, .csv, .parquet, got a.gif"),
    ("generate", 2, "RUN"),
    ("interpolate missing --categories 0 1", 1, "missing/config.json"),
    ("interpolate missing", 1, "one of categories and examples must be given, got neither"),
    ("interpolate missing --examples 0 1 --steps 1", 1, "steps must be at least 2, got 1"),
    ("interpolate missing --categories 0", 2, "--categories"),
    ("encode missing x.npy", 1, "a run must hold config.json"),
    ("encode missing x.npy --out z.png", 1, "out must end in .npz, .csv, .npy, .parquet, .h5ad, got z.png"),
    ("encode missing", 2, "FILE"),
    ("nonsense", 2, "nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "exception", "message"), BAD_CALLS, ids=[message for _, _, message in BAD_CALLS]
)
def test_bad_call(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


@pytest.mark.parametrize(
    ("line", "status", "message"), BAD_COMMANDS, ids=[line for line, _, _ in BAD_COMMANDS]
)
def test_bad_command(line, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == status
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--data", "--out", "--resume"])
def test_an_empty_argument_is_not_the_folder_in_which_one_is(option, capsys, tmp_path, monkeypatch):
    """As `--data "$WHERE"` without such a variable."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", option, ""]) == 1
    assert capsys.readouterr().err == f"jaxvae: error: {option} must not be empty, got ''\n"
    assert cli.main(["evaluate", ""]) == 1
    assert capsys.readouterr().err == "jaxvae: error: an argument must not be empty, got ''\n"


@pytest.mark.parametrize("got", WRONG_DECODERS)
@pytest.mark.parametrize("model", ["normal", "dirichlet"])
def test_a_decoder_that_returns_no_array_is_named(model, got):
    change = WRONG_DECODERS[got]
    message = r"network.decode must return one array \[B, D\], got .*" + re.escape(got)
    vae = decoding(change, model)
    params = jax.eval_shape(vae.init, KEY, X)
    with pytest.raises(TypeError, match=message):
        fit(vae=vae)
    with pytest.raises(TypeError, match=message):
        jaxvae.fit_many(KEYS, vae, X, Y, batch_size=8, epochs=1)
    with pytest.raises(TypeError, match=message):
        jaxvae.evaluate(KEY, vae, params, X, Y)
    step = jaxvae.make_train_step(vae, SGD)
    state = jax.eval_shape(lambda: jaxvae.init_state(KEY, vae, SGD, X))
    with pytest.raises(TypeError, match=r"network\.decode must return one array"):
        step.lower(KEY, state, jaxvae.Batch(X, Y))
    if got.startswith("{"):  # x may be a tree of arrays: `decode` alone cannot tell
        return
    bernoulli = decoding(change, model, likelihood="bernoulli")
    z = jnp.zeros((20, 2 if model == "normal" else 10))
    with pytest.raises(TypeError, match=r"network\.decode must return one array"):
        jax.eval_shape(bernoulli.decode, params, z)


def test_a_normal_latent_has_no_accuracy():
    vae = small_vae("normal")
    with pytest.raises(ValueError, match="vae must have a latent on the simplex, got a real one"):
        jaxvae.accuracy(vae, vae.init(KEY, X[:1]), X, Y % 2)


def test_bad_data_is_refused_before_anything_is_compiled(monkeypatch):
    def compile_nothing(*args, **options):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_nothing)
    for x, y in ((with_value(np.nan), Y), (X, Y + 1), (X, None)):
        with pytest.raises(ValueError, match="must"):
            fit(x, y)


def test_evaluation_refuses_what_fit_refuses():
    vae = small_vae("dirichlet")
    params = vae.init(KEY, X[:1])
    with pytest.raises(ValueError, match="y must be from 0 to 9, got 10"):
        jaxvae.evaluate(KEY, vae, params, X, Y + 1)
    with pytest.raises(ValueError, match="x must be finite"):
        jaxvae.encode_mean(vae, params, with_value(np.nan))
    with pytest.raises(ValueError, match="y must hold the labels"):
        jaxvae.evaluate(KEY, vae, params, X)


def test_labels_the_prior_needs_are_missed_while_tracing():
    vae = small_vae("dirichlet")
    params = vae.init(KEY, X[:1])
    with pytest.raises(ValueError, match="y must hold the labels"):
        jax.jit(vae.loss)(params, KEY, jaxvae.Batch(X))


def test_the_typed_key_check_knows_tracers():
    z = jax.jit(lambda key: distributions.sample_normal(key, jnp.zeros(2), jnp.ones(2)))(KEY)
    assert z.shape == (2,)
