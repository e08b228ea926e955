"""The 2020 original on TensorFlow, written anew from its specification: the baseline.

It has the original's names and semantics, its flaws included, so that parity tests and benchmarks
can run against it. `load(path)` gives a user's own copy of the script in its place. Needs the extra
`tensorflow`: TensorFlow, legacy Keras (`tf_keras`) and TensorFlow Probability.

    python benchmarks/tf_original.py                              # a minute on MNIST or the digits
    python benchmarks/tf_original.py --script vae.py --model normal --seed 3
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the original does not run on Keras 3
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

layers_of = tf.keras.layers
tfd = tfp.distributions
Mapping = Callable[[Any], Any]
SHUFFLE_BUFFER = 10_000


class Trunk(tf.Module):
    """`layers` dense layers, each followed by the activation."""

    def __init__(self, layers: int, hidden_units: int, activation: Any):
        super().__init__()
        assert layers > 0
        self.hidden = [
            layers_of.Dense(hidden_units, activation=activation, name=f"hidden_{i}")
            for i in range(layers)
        ]

    def __call__(self, x: Any) -> Any:
        for layer in self.hidden:
            x = layer(x)
        return x


class Coder(tf.Module):
    """A trunk and its heads; `layers` are by the names of the golden vectors."""

    def __init__(self, trunk: Trunk, heads: dict[str, Any], call: Callable[..., Any]):
        super().__init__()
        self.trunk, self.heads, self.call = trunk, list(heads.values()), call
        self.layers = {f"hidden_{i}": layer for i, layer in enumerate(trunk.hidden)} | heads

    def __call__(self, x: Any) -> Any:
        h = self.trunk(tf.cast(x, tf.float32))
        return self.call(*(head(h) for head in self.heads))


def dense_encoder_decoder(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """Encoder -> (mu, sigma), decoder -> (mu, 1.0)."""
    encoder = Coder(
        Trunk(layers, hidden_units, activation),
        {
            "encoder_mu_layer": layers_of.Dense(latent_dim),
            "encoder_sigma_layer": layers_of.Dense(latent_dim),
        },
        lambda mu, log_sigma: (mu, tf.exp(log_sigma)),
    )
    decoder = Coder(
        Trunk(layers, hidden_units, activation),
        {"decoder_mu_layer": layers_of.Dense(data_dim)},
        lambda mu: (mu, 1.0),
    )
    return encoder, decoder


def dense_encoder_decoder_dirichlet(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """Encoder -> ReLU output, decoder -> mu."""
    encoder = Coder(
        Trunk(layers, hidden_units, activation),
        {"alpha_layer": layers_of.Dense(latent_dim, activation=tf.nn.relu)},
        lambda alpha: alpha,
    )
    decoder = Coder(
        Trunk(layers, hidden_units, activation),
        {"decoder_mu_layer": layers_of.Dense(data_dim)},
        lambda mu: mu,
    )
    return encoder, decoder


class _Trained:
    """What both classes share: the gradient step and the loop."""

    encoder: Any
    decoder: Any

    def loss_op(self, *batch: Any) -> Any:
        raise NotImplementedError

    @tf.function
    def train_op(self, *args: Any) -> Any:
        """One step: `train_op(x, optimizer)` or `train_op(x, y, optimizer)`."""
        *batch, optimizer = args
        with tf.GradientTape() as tape:
            loss = self.loss_op(*batch)
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _fit(self, arrays: tuple[Any, ...], batch_size: int, epochs: int) -> None:
        optimizer = tf.keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
        data = tf.data.Dataset.from_tensor_slices(arrays)
        data = data.shuffle(SHUFFLE_BUFFER).batch(batch_size)
        for epoch in range(epochs):
            losses = []
            for batch in data:
                losses.append(self.train_op(*batch, optimizer).numpy())
                print("Error %.2f" % losses[-1], end="\r")  # noqa: UP031
            print("epoch %d - %.2f" % (epoch, np.mean(losses)))  # noqa: UP031


class VAE(_Trained):
    """The Normal model."""

    def __init__(self, encoder: Mapping, decoder: Mapping, C: float = 1.0):  # noqa: N803
        self.encoder, self.decoder, self.C = encoder, decoder, C

    def map_to_latent(self, x: Any) -> Any:
        return self.encoder(x)

    def map_from_latent(self, z: Any) -> Any:
        return self.decoder(z)

    sample_given_z = map_from_latent

    def noise(self, mu: Any) -> Any:
        return tf.random.normal(tf.shape(mu))

    def loss_op(self, x: Any) -> Any:
        mu, sigma = self.encoder(x)
        z = mu + self.noise(mu) * sigma
        decoded_mu, decoded_sigma = self.decoder(z)
        reconstruction = 0.5 * tf.reduce_sum((x - decoded_mu) ** 2 / (decoded_sigma + 1e-10), -1)
        prior = tf.reduce_sum(z**2 / self.C, -1)
        posterior = tf.reduce_sum((z - mu) ** 2 / (sigma + 1e-10), -1)
        return tf.reduce_mean(reconstruction) + tf.reduce_mean(0.5 * (prior - posterior))

    def fit(self, data: Any, batch_size: int = 1, epochs: int = 3) -> None:
        self._fit((tf.cast(data, tf.float32),), batch_size, epochs)


class DIRICHLET_VAE(_Trained):  # noqa: N801
    """The Dirichlet model."""

    def __init__(
        self,
        encoder: Mapping,
        decoder: Mapping,
        smoothness: float,
        categories: int,
        alpha_smoothing: float = 0.1,
        label_smoothing: float = 8,
    ):
        self.encoder, self.decoder = encoder, decoder
        self.smoothness, self.categories = smoothness, categories
        self.alpha_smoothing, self.label_smoothing = alpha_smoothing, label_smoothing

    def map_to_latent(self, x: Any) -> Any:
        alpha = self.encoder(x) + self.alpha_smoothing
        return alpha / tf.reduce_sum(alpha, -1, keepdims=True)

    def map_from_latent(self, z: Any) -> Any:
        return self.decoder(z)

    def draw(self, posterior: Any) -> Any:
        return posterior.sample()

    def loss_op(self, x: Any, y: Any) -> Any:
        p = tf.one_hot(y, self.categories) + self.smoothness
        p = self.label_smoothing * p / tf.reduce_sum(p, -1, keepdims=True)
        posterior = tfd.Dirichlet(self.encoder(x) + self.alpha_smoothing)
        mse = tf.reduce_mean((x - self.decoder(self.draw(posterior))) ** 2, -1)
        kl = tfd.kl_divergence(posterior, tfd.Dirichlet(p))
        return tf.reduce_mean(mse) + tf.reduce_mean(kl)

    def fit(self, x: Any, y: Any, batch_size: int = 1, epochs: int = 3) -> None:
        self._fit((tf.cast(x, tf.float32), tf.cast(y, tf.int32)), batch_size, epochs)


def load(script: Path | None = None) -> ModuleType:
    """This module, or a user's own copy of the original script.

    Args:
      script: the path of a file with the original's names.

    Returns:
      A module with `VAE`, `DIRICHLET_VAE` and the two functions that make networks.
    """
    if script is None:
        return sys.modules[__name__]
    spec = importlib.util.spec_from_file_location("original_vae", script)
    if spec is None or spec.loader is None or not script.is_file():
        raise SystemExit(f"--script must be a Python file, got {script}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description="train the TensorFlow original")
    parser.add_argument("--script", type=Path, help="your own copy of the original's vae.py")
    parser.add_argument("--model", choices=["normal", "dirichlet"], default="dirichlet")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    from jaxvae import datasets

    data = datasets.load_mnist() if os.environ.get("JAXVAE_DATA") else datasets.load_digits()
    module = load(args.script)
    tf.random.set_seed(args.seed)
    shape = {"layers": 4, "hidden_units": 128, "activation": tf.nn.relu}
    start = time.perf_counter()
    if args.model == "normal":
        vae = module.VAE(*module.dense_encoder_decoder(data.x_train.shape[1], 2, **shape), C=3.0)
        vae.fit(data.x_train, batch_size=64, epochs=args.epochs)
    else:
        coders = module.dense_encoder_decoder_dirichlet(data.x_train.shape[1], 10, **shape)
        vae = module.DIRICHLET_VAE(*coders, smoothness=0.5, categories=10)
        vae.fit(data.x_train, data.y_train, batch_size=64, epochs=args.epochs)
        guess = np.argmax(vae.map_to_latent(data.x_test), axis=1)
        print(f"test accuracy {np.mean(guess == data.y_test):.4f}")
    print(f"{(time.perf_counter() - start) / args.epochs:.1f} s an epoch on {data.name}")


if __name__ == "__main__":
    main()
