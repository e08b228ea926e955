"""The floor: an epoch's matrix products and updates of the parameters, and nothing else.

One compiled `lax.scan`. Each step multiplies a batch, already gathered into [steps, B, 784], by the
kernels of the encoder and the decoder in turn, takes the output as its own gradient (that of
1/2 sum out^2 / B), makes the products of the backward pass (none for the input's gradient, as in
training), and updates the kernels by SGD or Adam. No biases, activations, draws, loss, shuffling,
checks or metrics. It trains nothing.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from competitors import EPSILON, LEARNING_RATE


def kernels(case, key, dtype=jnp.float32):
    """The kernels of one case, Glorot-uniform: encoder's trunk, heads, decoder."""
    width, heads = [case.hidden_units] * case.layers, 1 if case.latent == "dirichlet" else 2
    shapes = {f"encoder_{i}": s for i, s in enumerate(itertools.pairwise([784, *width]))}
    shapes |= {f"head_{i}": (width[-1], case.latent_dim) for i in range(heads)}
    sizes = [case.latent_dim, *width, 784]
    shapes |= {f"decoder_{i}": s for i, s in enumerate(itertools.pairwise(sizes))}
    glorot, keys = jax.nn.initializers.glorot_uniform(), jax.random.split(key, len(shapes))
    return {
        name: glorot(key, shape, dtype)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def products(params, x):
    """The forward pass: what comes out of the last kernel."""
    for name, kernel in params.items():
        if name.startswith("encoder"):
            x = x @ kernel
    x = sum(x @ kernel for name, kernel in params.items() if name.startswith("head"))
    for name, kernel in params.items():
        if name.startswith("decoder"):
            x = x @ kernel
    return x


def floor_epoch(optimizer):
    """`epoch(params, opt_state, batches [steps, B, D]) -> (params, opt_state)`, compiled."""

    def step(carry, x):
        params, opt_state = carry
        grads = jax.grad(lambda p: 0.5 * jnp.sum(jnp.square(products(p, x))) / len(x))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def epoch(params, opt_state, batches):
        return jax.lax.scan(step, (params, opt_state), batches)[0]

    return jax.jit(epoch, donate_argnums=(0, 1))


def flops(case):
    """Floating-point operations of a step's matrix products: 2 forward, 4 backward a weight."""
    sizes = {n: k.size for n, k in jax.eval_shape(lambda key: kernels(case, key), KEY).items()}
    return 2 * case.batch_size * (3 * sum(sizes.values()) - sizes["encoder_0"])


KEY = jax.random.key(0)


def gather(x, batch_size):
    """x [N, D] as [steps, B, D]; the last batch is filled up with the first examples."""
    steps = -(-len(x) // batch_size)
    return np.resize(x, (steps * batch_size, *x.shape[1:])).reshape(steps, batch_size, -1)


def prepare(variant, case, x, y, seed):
    optimizer = (
        optax.sgd(LEARNING_RATE) if variant == "sgd" else optax.adam(LEARNING_RATE, eps=EPSILON)
    )
    params = kernels(case, jax.random.key(seed))
    carry, run = (params, optimizer.init(params)), floor_epoch(optimizer)
    batches = jnp.asarray(gather(x, case.batch_size))

    def epoch():
        nonlocal carry
        carry = jax.block_until_ready(run(*carry, batches))

    return epoch
