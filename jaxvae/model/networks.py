"""The Flax modules, and `Network`: an encoder and a decoder as pure functions of parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.numerics import checks

Params = dict[str, Any]
Activation = Callable[[jax.Array], jax.Array]


@door("networks")
class Network(NamedTuple):
    """An encoder and a decoder as pure functions. No field holds parameters.

    Attributes:
      init: `init(key, x [B, D]) -> params`, a plain dict of arrays.
      encode: `encode(params, x [B, D])` -> the posterior's parameters: `(loc, scale)`, each
        [B, K], for a Normal latent; `concentration` [B, K] for a Dirichlet one.
      decode: `decode(params, z [B, K]) -> [B, D]`: the mean of a Normal likelihood, or the
        logits of a Bernoulli one.

    Example:
      >>> linear = Network(  # without Flax
      ...     init=lambda key, x: {"w": jax.random.normal(key, (x.shape[1], 2))},
      ...     encode=lambda params, x: (x @ params["w"], jnp.ones((len(x), 2))),
      ...     decode=lambda params, z: z @ params["w"].T,
      ... )
      >>> params = linear.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> linear.decode(params, jnp.zeros((5, 2))).shape
      (5, 64)
    """

    init: Callable[[jax.Array, Any], Params]
    encode: Callable[[Params, Any], Any]
    decode: Callable[[Params, Any], jax.Array]


@door("networks")
class Function(NamedTuple):
    """One half of a network, an encoder or a decoder, as pure functions.

    Attributes:
      init: `init(key, x [B, D]) -> params`.
      apply: `apply(params, x [B, D])` -> what the module returns.

    Example:
      >>> scaled = Function(
      ...     init=lambda key, x: {"by": jnp.ones(())}, apply=lambda params, x: params["by"] * x
      ... )
      >>> scaled.apply(scaled.init(jax.random.key(0), jnp.ones((1, 3))), jnp.ones((1, 3)))
      Array([[1., 1., 1.]], dtype=float32)
    """

    init: Callable[[jax.Array, Any], Params]
    apply: Callable[[Params, Any], Any]


ACTIVATIONS: dict[str, Activation] = {
    "elu": nn.elu,
    "gelu": nn.gelu,
    "leaky_relu": nn.leaky_relu,
    "relu": nn.relu,
    "selu": nn.selu,
    "sigmoid": nn.sigmoid,
    "silu": nn.silu,
    "softplus": nn.softplus,
    "tanh": nn.tanh,
}

# What makes a concentration of an unbounded number. A ReLU's slope is exactly zero below zero:
# a category that starts there never comes back. Softplus has a slope everywhere.
CONCENTRATION_HEADS: dict[str, Activation] = {"softplus": nn.softplus, "relu": nn.relu}


@door("networks")
class MLP(nn.Module):
    """Dense layers, each followed by the activation: Glorot-uniform kernels, zero biases.

    Attributes:
      layers: how many.
      hidden_units: width of each.
      activation: a function of an array.

    Example:
      >>> trunk = MLP(layers=1, hidden_units=16, activation=nn.relu)
      >>> trunk.init_with_output(jax.random.key(0), jnp.ones((5, 64)))[0].shape
      (5, 16)
    """

    layers: int
    hidden_units: int
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.layers):
            x = self.activation(_dense(self.hidden_units, f"hidden_{i}")(x))
        return x


@door("networks")
class NormalEncoder(nn.Module):
    """x [B, D] -> (loc, scale), each [B, K]; scale = exp of a linear head.

    Attributes:
      latent_dim: K, the width of either.
      trunk: the module below the two heads.

    Example:
      >>> encoder = NormalEncoder(2, MLP(1, 16, nn.relu))
      >>> (loc, scale), _ = encoder.init_with_output(jax.random.key(0), jnp.ones((5, 64)))
      >>> loc.shape, scale.shape
      ((5, 2), (5, 2))
    """

    latent_dim: int
    trunk: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = self.trunk(x)
        return _dense(self.latent_dim, "loc")(h), jnp.exp(_dense(self.latent_dim, "log_scale")(h))


@door("networks")
class DirichletEncoder(nn.Module):
    """x [B, D] -> concentration [B, K] = head(linear) + floor.

    Attributes:
      latent_dim: K, the number of categories.
      trunk: the module below the head.
      head: from any number to one of at least zero.
      floor: what is added, above zero.

    Example:
      >>> encoder = DirichletEncoder(10, MLP(1, 16, nn.relu), nn.softplus, 0.1)
      >>> alpha, _ = encoder.init_with_output(jax.random.key(0), jnp.ones((5, 64)))
      >>> alpha.shape, bool((alpha > 0.1).all())
      ((5, 10), True)
    """

    latent_dim: int
    trunk: nn.Module
    head: Activation
    floor: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(_dense(self.latent_dim, "concentration")(self.trunk(x))) + self.floor


@door("networks")
class Decoder(nn.Module):
    """z [B, K] -> [B, D], the last layer linear.

    Attributes:
      data_dim: D, values an example.
      trunk: the module below the last layer.

    Example:
      >>> decoder = Decoder(64, MLP(1, 16, nn.relu))
      >>> decoder.init_with_output(jax.random.key(0), jnp.ones((5, 10)))[0].shape
      (5, 64)
    """

    data_dim: int
    trunk: nn.Module

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        return _dense(self.data_dim, "decoded")(self.trunk(z))


def flax_function(name: str, module: nn.Module) -> Function:
    """Make a `Function` of a Flax module.

    Args:
      name: what an error calls the module.
      module: from one array to whatever an encoder or a decoder returns.

    Returns:
      Its `init` and `apply`.

    Raises:
      TypeError: if it is no Flax linen module.
      ValueError: from `init`, if the module keeps state besides its parameters (batch norm).

    Example:
      >>> decoder = flax_function("decoder", Decoder(64, MLP(1, 16, nn.relu)))
      >>> params = decoder.init(jax.random.key(0), jnp.ones((5, 10)))
      >>> decoder.apply(params, jnp.ones((5, 10))).shape
      (5, 64)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} must be a flax.linen.Module instance, got {module!r}")

    # Compiled: operation by operation it takes longer than to compile a training epoch.
    module_init = jax.jit(module.init)

    def init(key: jax.Array, x: Any) -> Params:
        variables = module_init(key, x)
        extra = sorted(set(variables) - {"params"})
        if extra:
            raise ValueError(
                f"{name} must be a module whose only variables are its params, "
                f"got {', '.join(extra)}"
            )
        return variables.get("params", {})

    def apply(params: Params, x: Any) -> Any:
        return module.apply({"params": params}, x)

    return Function(init, apply)


def flax_network(encoder: nn.Module, decoder: nn.Module) -> Network:
    """Make a `Network` of any two Flax modules.

    Args:
      encoder: a module from x [B, D] to `(loc, scale)` or to `concentration`, each [B, K].
      decoder: a module from z [B, K] to [B, D].

    Returns:
      The network; its parameters are `{"encoder": ..., "decoder": ...}`.

    Raises:
      TypeError: if one of them is no Flax linen module.
      ValueError: from `init`, if a module keeps state besides its parameters (batch norm).

    Example:
      >>> network = flax_network(
      ...     NormalEncoder(2, MLP(1, 16, nn.relu)), Decoder(64, MLP(1, 16, nn.relu))
      ... )
      >>> sorted(network.init(jax.random.key(0), jnp.ones((5, 64))))
      ['decoder', 'encoder']
    """
    return join(flax_function("encoder", encoder), flax_function("decoder", decoder))


def join(encoder: Function, decoder: Function) -> Network:
    """Make a `Network` of an encoder and a decoder.

    Args:
      encoder: from x [B, D] to `(loc, scale)` or to `concentration`, each [B, K].
      decoder: from z [B, K] to [B, D].

    Returns:
      The network; its parameters are `{"encoder": ..., "decoder": ...}`.

    Example:
      >>> none = Function(lambda key, x: {}, lambda params, x: x)
      >>> network = join(none, none)
      >>> network.init(jax.random.key(0), jnp.ones((1, 3)))
      {'encoder': {}, 'decoder': {}}
    """

    def init(key: jax.Array, x: Any) -> Params:
        encoder_key, decoder_key = jax.random.split(key)
        params = encoder.init(encoder_key, x)
        posterior = jax.eval_shape(encoder.apply, params, x)
        z = jax.tree.leaves(posterior)[0]
        return {
            "encoder": params,
            "decoder": decoder.init(decoder_key, jnp.zeros(z.shape, z.dtype)),
        }

    return Network(
        init,
        lambda params, x: encoder.apply(params["encoder"], x),
        lambda params, z: decoder.apply(params["decoder"], z),
    )


def dense_normal_network(
    data_dim: int,
    latent_dim: int,
    *,
    layers: int = 4,
    hidden_units: int = 128,
    activation: str | Activation = "relu",
) -> Network:
    """The dense network of a VAE with a Normal latent.

    Encoder and decoder have `layers` dense layers each (Glorot-uniform kernels, zero biases)
    and linear heads; the posterior's scale is exp of its head.

    Args:
      data_dim: D, at least 1.
      latent_dim: K, at least 1.
      layers: hidden layers of the encoder, and of the decoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.

    Returns:
      A network whose `encode` gives `(loc, scale)`.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = dense_normal_network(64, 2, layers=2, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> loc, scale = network.encode(params, jnp.zeros((5, 64)))
      >>> loc.shape, network.decode(params, loc).shape
      ((5, 2), (5, 64))

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes, appendix C; the depth and the
    width are the 2020 TensorFlow script's.
    """
    trunk = _trunk(layers, hidden_units, activation)
    return flax_network(
        NormalEncoder(checks.axis_length("latent_dim", latent_dim), trunk()),
        Decoder(checks.axis_length("data_dim", data_dim), trunk()),
    )


def dense_dirichlet_network(
    data_dim: int,
    latent_dim: int,
    *,
    layers: int = 4,
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    head: str = "softplus",
    concentration_floor: float = 0.1,
) -> Network:
    """The dense network of a VAE with a Dirichlet latent.

    As `dense_normal_network`, with one head: concentration = head(linear) + floor.

    Args:
      data_dim: D, at least 1.
      latent_dim: K, the number of categories, at least 2.
      layers: hidden layers of the encoder, and of the decoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      head: "softplus", or "relu" as the original has it (on half of all seeds one of its
        categories starts dead and the run is lost).
      concentration_floor: what is added to the head, above zero.

    Returns:
      A network whose `encode` gives the concentration itself (not its logits).

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = dense_dirichlet_network(64, 10, layers=2, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> network.encode(params, jnp.zeros((5, 64))).shape
      (5, 10)

    Source: the 2020 TensorFlow script, but for the head: `docs/dead_categories.md`.
    """
    trunk = _trunk(layers, hidden_units, activation)
    encoder = DirichletEncoder(
        checks.axis_length("latent_dim", latent_dim, minimum=2),
        trunk(),
        CONCENTRATION_HEADS[checks.one_of("head", head, CONCENTRATION_HEADS)],
        checks.positive_float("concentration_floor", concentration_floor),
    )
    return flax_network(encoder, Decoder(checks.axis_length("data_dim", data_dim), trunk()))


def _dense(features: int, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.glorot_uniform(), name=name)


def _trunk(layers: int, hidden_units: int, activation: str | Activation) -> Callable[[], MLP]:
    layers = checks.axis_length("layers", layers)
    hidden_units = checks.axis_length("hidden_units", hidden_units)
    if isinstance(activation, str):
        activation = ACTIVATIONS[checks.one_of("activation", activation, ACTIVATIONS)]
    checks.function("activation", activation)
    return lambda: MLP(layers, hidden_units, activation)
