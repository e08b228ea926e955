"""`NormedDense` is a linear layer and Flax's batch norm: outputs, gradients and weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import Batch
from jaxvae.model.modules import NormedDense
from jaxvae.networks import Training, flax_network

KEY = jax.random.key(0)
Z = jax.random.dirichlet(KEY, jnp.full(5, 0.3), (40,))
WIDTH = 30


class Plain(nn.Module):
    @nn.compact
    def __call__(self, z):
        y = nn.Dense(WIDTH, use_bias=False, name="layer")(z)
        return nn.BatchNorm(momentum=0.9, epsilon=1e-3, use_bias=False, name="norm")(y)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, z):
        return NormedDense(WIDTH, name="layer")(z)


class Same(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


def networks():
    """Both, and the same numbers for the parameters of either."""
    both = [flax_network(Same(), decoder()) for decoder in (Plain, Normed)]
    params = [network.init(KEY, Z) for network in both]
    keys = jax.random.split(KEY)
    kernel = jax.random.normal(keys[0], (5, WIDTH))
    scale = jax.random.normal(keys[1], (WIDTH,))
    own = (
        {"layer": {"kernel": kernel}, "norm": {"scale": scale}},
        {"layer": {"kernel": kernel, "scale": scale}},
    )
    return [
        (network, {**p, "decoder": one}) for network, p, one in zip(both, params, own, strict=True)
    ]


def trained(network, params, z, weight):
    """The output in training, and what the batch's statistics do to the running ones."""
    training = Training(jax.random.split(KEY, len(z)), weight=weight)
    return network.decode(params, z, Batch(z), training=training)


@pytest.mark.parametrize("weight", [None, np.repeat([1.0, 0.0, 2.0, 0.5], 10).astype(np.float32)])
def test_it_is_a_layer_and_a_batch_norm(weight):
    (plain, of_plain), (normed, of_normed) = networks()

    def total(network, params, z):
        y, _ = trained(network, params, z, weight)
        rows = jnp.ones(len(z)) if weight is None else jnp.asarray(weight)
        return jnp.sum(rows[:, None] * jnp.sin(3 * y)), y

    results = [
        jax.value_and_grad(total, (1, 2), has_aux=True)(network, params, Z)
        for network, params in ((plain, of_plain), (normed, of_normed))
    ]
    (_, y), (of_params, of_z) = results[0]
    (_, found), (own_params, own_z) = results[1]
    np.testing.assert_allclose(found, y, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(own_z, of_z, rtol=2e-3, atol=2e-3)
    layer = own_params["decoder"]["layer"]
    np.testing.assert_allclose(
        layer["kernel"], of_params["decoder"]["layer"]["kernel"], rtol=2e-3, atol=2e-3
    )
    np.testing.assert_allclose(
        layer["scale"], of_params["decoder"]["norm"]["scale"], rtol=1e-3, atol=1e-3
    )


def test_its_running_moments_give_the_running_output():
    """After many equal batches evaluation is what training was."""
    _, (network, params) = networks()
    for _ in range(150):
        y, statistics = trained(network, params, Z, None)
        params = {**params, "statistics": {**params["statistics"], **statistics}}
    np.testing.assert_allclose(network.decode(params, Z), y, rtol=1e-3, atol=1e-3)
