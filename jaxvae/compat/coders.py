"""Encoders and decoders that own their weights, and the arrays that they take and give."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.compat import keras, shared
from jaxvae.compat.keys import next_key
from jaxvae.model.finite import numbers
from jaxvae.model.flax_network import flax_function
from jaxvae.model.networks import Function, Params
from jaxvae.numerics import checks, compiled

Mapping = Callable[[Any], Any]
"""A function of one array; so the original calls the type of an encoder or a decoder."""


@door("compat")
class Array(np.ndarray):
    """A NumPy array with the `.numpy()` of a TensorFlow tensor.

    Example:
      >>> np.ones(2).view(Array).numpy()
      array([1., 1.])
    """

    def numpy(self) -> Any:
        """The plain NumPy array, or for a scalar the plain NumPy number."""
        return np.asarray(self)[()]


@door("compat")
class Coder:
    """An encoder or a decoder that owns its weights, as a Keras model does.

    Its weights are made when they are first needed. After `fit` or `train_op` they are the
    trained ones.

    Attributes:
      function: the pure functions behind it.
      input_dim: the width of what it takes; None until it is known.
      output_dim: the width of what it gives; None where unknown.

    Example:
      >>> encoder, decoder = dense_encoder_decoder_dirichlet(64, 10, 4, 128, "relu")
      >>> decoder.input_dim, decoder.output_dim
      (10, 64)
    """

    def __init__(
        self, function: Function, input_dim: int | None = None, output_dim: int | None = None
    ):
        self.function, self.input_dim, self.output_dim = function, input_dim, output_dim
        self.params: Params | None = None
        self._made: tuple[Any, ...] | None = None  # of what `_pair` made it, and its place there

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A dense one is pickled by what made it: its functions are closures."""
        if self._made is None:
            return super().__reduce_ex__(protocol)
        return _made_again, (self._made, self.params)

    def __call__(self, x: Any) -> Any:
        """Apply it to an array [B, D] of any float or integer type."""
        return self.applied("x", x)

    def applied(self, name: str, x: Any) -> Any:
        """The same, of an argument that has another name in messages.

        Args:
          name: what a message calls it.
          x: the array [B, D].

        Returns:
          What the function gives.

        Raises:
          ValueError, TypeError: if it is none, of another width or not finite; it is named. Or if
            what the function gives is not finite.
        """
        x = finite_floats(name, x)
        with unless_refused(self):
            params = self.build(x.shape[-1], name)
            given = numbers("the output", _apply(self.function, params, x), params, finite=True)
        # The constant beside the Normal decoder's mu is a number, as the original's.
        return jax.tree.map(lambda out: output(out) if out.ndim else float(out), given)

    def build(self, width: int | None = None, name: str = "x") -> Params:
        """The weights, made now if they are not yet.

        Args:
          width: of the input, where it is known.
          name: what a message calls the input.

        Returns:
          The parameters of `function`.

        Raises:
          ValueError: if the width is not the one that the weights are for, or is needed.
        """
        if width is not None and self.input_dim not in (None, width):
            raise ValueError(f"{name} must have {self.input_dim} columns, got {width}")
        if self.params is None:
            input_dim = self.input_dim or width
            if input_dim is None:
                raise ValueError(
                    "the encoder and the decoder must have been called, or fit, for their "
                    "weights to exist, got one of your own modules that was not"
                )
            self.params = self.function.init(next_key(), jnp.zeros((1, input_dim)))
            self.input_dim = input_dim
        return self.params


@contextlib.contextmanager
def unless_refused(*coders: Coder) -> Iterator[None]:
    """Keep weights that a call makes, which fix the width of what is taken, unless it raises.

    Args:
      coders: whose.

    Yields:
      None.
    """
    before = [(coder.input_dim, coder.params) for coder in coders]
    try:
        yield
    except BaseException:
        for coder, (width, params) in zip(coders, before, strict=True):
            coder.input_dim, coder.params = width, params
        raise


def dense_encoder_decoder(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """The dense networks of the Normal model.

    Args:
      data_dim: D, values an example.
      latent_dim: K, at least 1.
      layers: hidden layers each, at least 1.
      hidden_units: width of a hidden layer.
      activation: a JAX function, a name, or TensorFlow's own (`tf.nn.relu`).

    Returns:
      encoder, from x [B, D] to `(mu, sigma)`, each [B, K]; decoder, from z [B, K] to
      `(mu [B, D], 1.0)`.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> encoder, decoder = dense_encoder_decoder(64, 2, 4, 128, "relu")
      >>> mu, sigma = encoder(np.zeros((5, 64)))
      >>> decoded, one = decoder(mu)
      >>> mu.shape, decoded.numpy().shape, one
      ((5, 2), (5, 64), 1.0)

    Source: the 2020 TensorFlow script; `docs/migration.md`.
    """
    return _pair(shared.normal_functions, data_dim, latent_dim, layers, hidden_units, activation)


def dense_encoder_decoder_dirichlet(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """The dense networks of the Dirichlet model.

    Args:
      data_dim: D, values an example.
      latent_dim: K, the number of categories, at least 2.
      layers: hidden layers each, at least 1.
      hidden_units: width of a hidden layer.
      activation: a JAX function, a name, or TensorFlow's own (`tf.nn.relu`).

    Returns:
      encoder, from x [B, D] to its ReLU output [B, K], which can be exactly 0 (the model adds
      `alpha_smoothing`); decoder, from z [B, K] to mu [B, D].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> encoder, decoder = dense_encoder_decoder_dirichlet(64, 10, 4, 128, jax.nn.relu)
      >>> decoder(np.eye(10)).shape
      (10, 64)

    Source: the 2020 TensorFlow script; `docs/migration.md`.
    """
    checks.positive_int("latent_dim", latent_dim, minimum=2)
    return _pair(shared.dirichlet_functions, data_dim, latent_dim, layers, hidden_units, activation)


def as_coder(name: str, value: Any) -> Coder:
    """What a model was given as its encoder or decoder, as a `Coder`.

    Args:
      name: what a message calls it.
      value: a `Coder` or a Flax module.

    Returns:
      The coder.

    Raises:
      TypeError: if it is neither.
    """
    if isinstance(value, Coder):
        return value
    if keras.is_layer(value):
        raise TypeError(
            f"{name} must be made by dense_encoder_decoder or be a Flax module, got the Keras "
            f"object {value!r}; set_weights takes its weights over"
        )
    return Coder(flax_function(name, value))


def floats(name: str, value: Any) -> np.ndarray:
    """An array of any real type, TensorFlow's included, as float32.

    Args:
      name: what a message calls it.
      value: the array [...].

    Returns:
      The array [...].

    Raises:
      ValueError, TypeError: if it is none; the name is in the message.
    """
    array = checks.real_array(name, value)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which is refused
        return array.astype(np.float32, copy=False)


def finite_floats(name: str, value: Any) -> np.ndarray:
    """What an encoder or a decoder is applied to: rows of finite numbers, as float32.

    Args:
      name: what a message calls it.
      value: the array [B, D].

    Returns:
      The array.

    Raises:
      ValueError, TypeError: if it is none; the name is in the message.
    """
    x = floats(name, value)
    if x.ndim == 0:
        raise ValueError(f"{name} must have the shape [B, D], got the number {x}")
    checks.finite_array(name, x)
    return x


def output(value: Any) -> Array:
    """An array as users of the original expect it: their own, to be written to.

    Args:
      value: any array [...].

    Returns:
      A copy [...].
    """
    return np.array(value).view(Array)


@functools.partial(compiled.jit, static_argnums=0)
def _apply(function: Function, params: Params, x: jax.Array) -> Any:
    return function.apply(params, x)


def _pair(
    functions: Callable[..., tuple[Function, Function]],
    data_dim: int,
    latent_dim: int,
    layers: int,
    hidden_units: int,
    activation: Any,
) -> tuple[Coder, Coder]:
    data_dim = checks.positive_int("data_dim", data_dim)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    layers = checks.positive_int("layers", layers)
    hidden_units = checks.positive_int("hidden_units", hidden_units)
    own = keras.activation(activation)
    encoder, decoder = functions(data_dim, latent_dim, layers, hidden_units, own)
    pair = Coder(encoder, data_dim, latent_dim), Coder(decoder, latent_dim, data_dim)
    named = next((name for name, known in keras.ACTIVATIONS.items() if known is own), own)
    for place, coder in enumerate(pair):
        coder._made = (functions, data_dim, latent_dim, layers, hidden_units, named, place)
    return pair


def _made_again(made: tuple[Any, ...], params: Params | None) -> Coder:
    """A coder by what made it, with its weights."""
    *arguments, place = made
    functions, data_dim, latent_dim, layers, hidden_units, activation = arguments
    coder = _pair(functions, data_dim, latent_dim, layers, hidden_units, activation)[place]
    coder.params = params
    return coder
