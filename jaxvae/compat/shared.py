"""What models of one shape share: pure functions, one for the same arguments.

So they also share what was compiled, which JAX finds again for an equal function.
"""

import functools
from typing import Any

import jax
import optax

from jaxvae.model import modules, networks
from jaxvae.model.flax_network import flax_function
from jaxvae.model.networks import Function, Params
from jaxvae.model.ready import dirichlet_vae, label_prior, normal_vae
from jaxvae.model.vae import VAE
from jaxvae.model.values import made_by
from jaxvae.numerics import compiled
from jaxvae.training import steps
from jaxvae.training.revival import revive_dead_categories


@made_by
def _normal_encoder(latent_dim: int, layers: int, hidden_units: int, activation: Any) -> Function:
    """From x to `(mu, sigma)`."""
    trunk = modules.MLP(layers, hidden_units, activation)
    return flax_function("encoder", modules.NormalEncoder(latent_dim, trunk))


@made_by
def _dirichlet_encoder(
    latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> Function:
    """From x to the ReLU's output."""
    trunk, head = modules.MLP(layers, hidden_units, activation), modules.CONCENTRATION_HEADS["relu"]
    encoder = modules.DirichletEncoder(latent_dim, trunk, head, floor=0.0)
    return flax_function("encoder", encoder)


@made_by
def _mean_decoder(data_dim: int, layers: int, hidden_units: int, activation: Any) -> Function:
    """From z to mu."""
    decoder = modules.Decoder(data_dim, modules.MLP(layers, hidden_units, activation))
    return flax_function("decoder", decoder)


@made_by
def _pair_decoder(data_dim: int, layers: int, hidden_units: int, activation: Any) -> Function:
    """From z to `(mu, 1.0)`."""
    mean = _mean_decoder(data_dim, layers, hidden_units, activation)
    return Function(mean.init, lambda params, z: (mean.apply(params, z), 1.0))


@functools.lru_cache(maxsize=64)
def normal_functions(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Function, Function]:
    trunk = layers, hidden_units, activation
    return _normal_encoder(latent_dim, *trunk), _pair_decoder(data_dim, *trunk)


@functools.lru_cache(maxsize=64)
def dirichlet_functions(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Function, Function]:
    trunk = layers, hidden_units, activation
    return _dirichlet_encoder(latent_dim, *trunk), _mean_decoder(data_dim, *trunk)


@functools.lru_cache(maxsize=64)
def train_step(core: VAE, optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    """As `make_train_step`, but nothing is donated: a copy of a coder has the same arrays."""
    step = steps.step_function(core, optimizer)
    return compiled.jit(lambda key, state, batch: step(key, state, batch, True))


revived = functools.lru_cache(maxsize=64)(revive_dead_categories)


@functools.lru_cache(maxsize=64)
def normal_core(encoder: Function, decoder: Function, prior_variance: float) -> VAE:
    network = networks.join(encoder, _decoded_mean(decoder))
    return normal_vae(network, prior_variance=prior_variance, objective="original")


@functools.lru_cache(maxsize=64)
def dirichlet_core(
    encoder: Function,
    decoder: Function,
    categories: int,
    smoothness: float,
    alpha_smoothing: float,
    label_smoothing: float,
) -> VAE:
    def concentration(params: Params, x: Any) -> Any:
        alpha = encoder.apply(params, x)
        shape = getattr(alpha, "shape", None)
        if shape is None or shape[-1:] != (categories,):
            raise ValueError(
                f"encoder must return one array [B, {categories}], as wide as categories, "
                f"got {type(alpha).__name__ if shape is None else shape}"
            )
        return alpha + alpha_smoothing

    network = networks.join(Function(encoder.init, concentration), _decoded_mean(decoder))
    prior = label_prior(smoothness=smoothness, total_concentration=label_smoothing)
    return dirichlet_vae(network, prior=prior, objective="original", gradient="gamma")


def _decoded_mean(decoder: Function) -> Function:
    """The decoder without the constant 1.0 that the original's Normal one returns beside mu."""

    def apply(params: Params, z: Any) -> Any:
        decoded = decoder.apply(params, z)
        if not isinstance(decoded, tuple):
            return decoded
        if len(decoded) != 2 or not (isinstance(decoded[1], int | float) and decoded[1] == 1):
            raise ValueError(
                "decoder must return (mu, 1.0), or mu alone: a variance of its own has no place "
                f"in the objective, got {decoded!r}"
            )
        return decoded[0]

    return Function(decoder.init, apply)
