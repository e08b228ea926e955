"""The dense networks, and a user's own Flax modules in their place."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import networks


def leaves(params):
    return {
        jax.tree_util.keystr(p, simple=True, separator="/"): a
        for p, a in jax.tree.leaves_with_path(params)
    }


def test_glorot_uniform_kernels_and_zero_biases(key):
    network = jaxvae.dense_normal_network(784, 2)
    params = leaves(network.init(key, jnp.zeros((1, 784))))
    assert len(params) == 22
    for name, array in params.items():
        if name.endswith("bias"):
            np.testing.assert_array_equal(array, 0)
        else:
            limit = np.sqrt(6 / sum(array.shape))
            assert abs(array).max() <= limit
            if array.size > 1000:
                # A uniform law has the variance limit^2 / 3; 10% is over 5 standard errors.
                assert array.var() == pytest.approx(limit**2 / 3, rel=0.1)


def test_parameters_are_plain_dicts(key):
    params = jaxvae.dense_dirichlet_network(8, 3).init(key, jnp.zeros((1, 8)))
    assert type(params) is dict
    assert type(params["encoder"]["trunk"]) is dict


@pytest.mark.parametrize("name", sorted(networks.ACTIVATIONS))
def test_activations(key, name):
    by_name = jaxvae.dense_normal_network(8, 2, activation=name)
    by_function = jaxvae.dense_normal_network(8, 2, activation=networks.ACTIVATIONS[name])
    x = jax.random.normal(key, (3, 8))
    params = by_name.init(key, x)
    loc, scale = by_name.encode(params, x)
    np.testing.assert_array_equal(loc, by_function.encode(params, x)[0])
    assert (scale > 0).all()


def test_softplus_head_has_a_slope_where_relu_has_none():
    """Push every logit far down: the ReLU's gradient is gone, softplus still has one."""
    slopes = {
        name: jax.grad(lambda logit, head=head: head(logit))(-20.0)
        for name, head in networks.CONCENTRATION_HEADS.items()
    }
    assert slopes["relu"] == 0
    assert slopes["softplus"] > 0


def test_concentration_floor(key):
    network = jaxvae.dense_dirichlet_network(8, 3, head="relu", concentration_floor=0.25)
    x = 100 * jax.random.normal(key, (50, 8))
    concentration = network.encode(network.init(key, x), x)
    assert concentration.min() == 0.25


class ConvEncoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x.reshape(-1, 8, 8, 1))).reshape(len(x), -1)
        return nn.softplus(nn.Dense(10)(x)) + 0.1


class LinearDecoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(64)(z)


def test_a_users_modules_train(key, digits):
    vae = jaxvae.dirichlet_vae(jaxvae.flax_network(ConvEncoder(), LinearDecoder()))
    _, history = jaxvae.fit(key, vae, digits.x_train, digits.y_train, batch_size=64, epochs=3)
    assert history.epochs[-1].loss < history.epochs[0].loss


def test_plain_functions_are_a_network(key, digits):
    network = jaxvae.Network(
        init=lambda key, x: {"w": 0.01 * jax.random.normal(key, (x.shape[1], 2))},
        encode=lambda params, x: (x @ params["w"], jnp.ones((len(x), 2))),
        decode=lambda params, z: z @ params["w"].T,
    )
    vae = jaxvae.normal_vae(network)
    state, _ = jaxvae.fit(key, vae, digits.x_train, batch_size=100, epochs=1)
    assert set(state.params) == {"w", "likelihood"}


def test_modules_with_state_are_refused(key):
    class Counting(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("calls", "count", jnp.zeros, ())
            return nn.softplus(nn.Dense(3)(x)) + 0.1

    network = jaxvae.flax_network(Counting(), LinearDecoder())
    with pytest.raises(ValueError, match=r"encoder must be a module whose only variables.*calls"):
        network.init(key, jnp.zeros((1, 64)))
