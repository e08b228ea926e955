# %% [markdown]
# # The functional core
#
# A model here is a tuple of pure functions. It holds no parameters and no random state,
# so every part can be taken out, swapped, differentiated, mapped. This notebook does each
# of these once, on small models that train in seconds.
#
# ## The parts
#
# A `Network` is an encoder and a decoder. `dirichlet_vae` binds it to a latent and an
# objective. What comes out is six functions; the parameters are an argument of theirs.

# %%
# %matplotlib inline
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.scipy.stats import norm

import jaxvae
from jaxvae import Batch, LossTerms, TrainState, objectives

plt.rcParams["figure.dpi"] = 72
QUICK = "JAXVAE_QUICK" in os.environ  # for the tests: fewer epochs and draws
data = jaxvae.datasets.load_digits()
x, y = data.x_train, data.y_train
key = jax.random.key(0)

network = jaxvae.dense_dirichlet_network(64, 10, layers=2, hidden_units=64)
unit = jaxvae.likelihoods.normal(1.0)  # of unit variance
vae = jaxvae.dirichlet_vae(network, likelihood=unit)
params = vae.init(key, x[:1])
loss, terms = jax.jit(vae.loss)(params, key, Batch(x[:64], y[:64]))
print("a VAE:      ", ", ".join(vae._fields))
print("the loss:   ", f"{loss:.2f} nats, before any training")
print("its terms:  ", f"reconstruction {terms.reconstruction.shape}, KL {terms.kl.shape}")

# %% [markdown]
# ## Another prior
#
# `label_prior` and `symmetric_prior` come with the library, and more in `jaxvae.priors`.
# One of your own takes a line: here the later categories are rarer.

# %%
rarer = jaxvae.DirichletPrior(
    lambda y, categories: 4.0 * 0.7 ** jnp.arange(categories), uses_labels=False
)
for name, prior in [
    ("from labels", jaxvae.label_prior()),
    ("symmetric", jaxvae.symmetric_prior(0.5)),
    ("rarer and rarer", rarer),
]:
    z = jaxvae.dirichlet_vae(network, prior=prior).sample_prior(params, key, (2000, 10))
    print(
        f"{name:16s} mean shares",
        np.array2string(np.asarray(z.mean(axis=0)), precision=2),
    )

# %% [markdown]
# ## Another network
#
# Any two Flax modules make a network: an encoder that gives `(loc, scale)`, a decoder
# that gives the mean. This encoder is a convolution.


# %%
class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.Conv(8, (3, 3), strides=2)(x.reshape(-1, 8, 8, 1)))
        h = nn.relu(nn.Dense(64)(h.reshape(len(x), -1)))
        return nn.Dense(4)(h), nn.softplus(nn.Dense(4)(h)) + 1e-3


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(64)(nn.relu(nn.Dense(64)(z)))


convolutional = jaxvae.normal_vae(
    jaxvae.flax_network(Encoder(), Decoder()), likelihood=unit
)

# %% [markdown]
# ## Another objective
#
# `jaxvae.objectives` has this one: give `objectives.iwae(draws=8)` to `normal_vae`. Here
# it is written out, to show that `vae._replace(loss=...)` is the same model with a loss
# of your own, and that everything that takes a `VAE` takes it. The importance-weighted
# bound of [Burda, Grosse and Salakhutdinov (2016)](https://arxiv.org/abs/1509.00519)
# averages S weights p(x, z) / q(z | x) inside the logarithm. With one draw it is an ELBO;
# with more it comes closer to log p(x). The pixels are enlarged here, so that there is
# more to code ([Which scale](../docs/your_data.md#which-scale-which-likelihood)).


# %%
def importance_weighted(vae, draws):
    """The same model, minimising the bound of so many draws an example."""

    def loss(params, key, batch):
        loc, scale = vae.encode(params, batch.x)

        def log_weight(key):
            z = jaxvae.sample_normal(key, loc, scale)
            ratio = norm.logpdf(z) - norm.logpdf(z, loc, scale)
            return ratio.sum(axis=-1) - objectives.normal_nll(
                batch.x, vae.decode(params, z)
            )

        log_weights = jax.vmap(log_weight)(jax.random.split(key, draws))
        bound = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(draws)
        # The bound does not split into two terms: the first one carries it all.
        terms = LossTerms(reconstruction=-bound, kl=jnp.zeros_like(bound))
        return objectives.weighted_mean(-bound, batch.weight), terms

    return vae._replace(loss=loss)


state, history = jaxvae.fit(
    key,
    importance_weighted(convolutional, 8),
    4 * x,
    batch_size=64,
    epochs=5 if QUICK else 40,
)
iw_losses = [record.loss for record in history.epochs]
print(
    f"trained by 8 draws: first epoch {iw_losses[0]:.3f} nats, last {iw_losses[-1]:.3f}"
)

bounds = {}
for draws in (1, 8, 64):
    bounded = importance_weighted(convolutional, draws)
    bounds[draws] = jaxvae.evaluate(key, bounded, state.params, 4 * data.x_test).loss
    print(f"test set, {draws:2d} draws: {bounds[draws]:.3f} nats")

# %% [markdown]
# The parameters are the same in the last three lines. More draws give a tighter bound.
#
# ## Through the sampler
#
# A Dirichlet draw is differentiable in its concentration. Take f(z) = sum of z², whose
# mean has a closed form, and compare the mean of many single-draw gradients with the
# gradient of that form. `vmap` over keys makes the draws; two of the concentrations are
# small, where it is hard.

# %%
concentration = jnp.array([0.02, 0.3, 1.0, 8.0])
keys = jax.random.split(key, 20_000 if QUICK else 200_000)


def f(concentration, key, method="fast"):
    return jnp.sum(jaxvae.sample_dirichlet(key, concentration, method=method) ** 2)


def mean_of_f(a):
    total = a.sum()
    return jnp.sum(a * (a + 1)) / (total * (total + 1))


gradients = jax.jit(jax.vmap(jax.grad(f), in_axes=(None, 0)))(concentration, keys)
estimate = gradients.mean(axis=0)
error = gradients.std(axis=0) / len(keys) ** 0.5
exact = jax.grad(mean_of_f)(concentration)
print("concentration   estimate  standard error  closed form")
for row in zip(concentration, estimate, error, exact, strict=True):
    print("{:13.2f}  {:9.5f}  {:14.5f}  {:11.5f}".format(*row))

# %% [markdown]
# The same over six decades of one concentration, beside two that stay at 1: the gradient
# of the mean of z₁² by it. Points are estimates with two standard errors, the line is the
# closed form.

# %%
grid = jnp.logspace(-3, 3, 19)
beside = jnp.array([1.0, 1.0])


def first_squared(a, key):
    return jaxvae.sample_dirichlet(key, jnp.concatenate([a[None], beside]))[0] ** 2


def mean_of_first_squared(a):
    return a * (a + 1) / ((a + 2) * (a + 3))


over_keys = jax.vmap(jax.grad(first_squared), in_axes=(None, 0))
draws = jax.jit(jax.vmap(over_keys, in_axes=(0, None)))(grid, keys[:20_000])
figure, ax = plt.subplots(figsize=(7, 3.5))
ax.errorbar(
    grid, draws.mean(1), 2 * draws.std(1) / 20_000**0.5, fmt="o", ms=4, label="estimate"
)
line = jnp.logspace(-3, 3, 200)
ax.plot(
    line, jax.vmap(jax.grad(mean_of_first_squared))(line), label="closed form", zorder=0
)
ax.set(xscale="log", xlabel="concentration", ylabel="gradient")
_ = ax.legend(frameon=False)
# %% [markdown]
# ## Another sampler
#
# `method="tfp"` draws the gammas with TensorFlow Probability. The law is the same, so the
# means agree; the draws of one key do not.

# %%
for method in ("fast", "tfp"):
    values = jax.jit(jax.vmap(lambda key, method=method: f(concentration, key, method)))(
        keys
    )
    print(
        f"{method:4s} mean of f {values.mean():.4f}, f of the first key {values[0]:.4f}"
    )
print(f"closed form    {mean_of_f(concentration):.4f}")

# %% [markdown]
# ## The train step by hand
#
# `fit` is a loop around a step of six lines. Here they are. The key of a step follows
# from the base key and the step's number, so that a run has no hidden state to lose.

# %%
optimizer = optax.adam(1e-3)


def step(state, batch):
    gradient = jax.value_and_grad(vae.loss, has_aux=True)
    step_key = jax.random.fold_in(key, state.step)
    (loss, _), grads = gradient(state.params, step_key, batch)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state), loss


batches = Batch(jnp.reshape(x[:1408], (22, 64, 64)), jnp.reshape(y[:1408], (22, 64)))
looped = jaxvae.init_state(key, vae, optimizer, x)
compiled_step = jax.jit(step)
losses = []
for i in range(22):
    looped, loss = compiled_step(looped, jax.tree.map(lambda leaf, i=i: leaf[i], batches))
    losses.append(loss)
print(f"22 steps: {losses[0]:.2f} nats, then {losses[-1]:.2f}")

# %% [markdown]
# The same steps as one program, by `lax.scan`; and by the library's own step, which also
# leaves an update out when it is not finite. All three are one run.

# %%
start = jaxvae.init_state(key, vae, optimizer, x)
scanned, scanned_losses = jax.jit(lambda state: jax.lax.scan(step, state, batches))(start)

train_step = jaxvae.make_train_step(vae, optimizer)
library = jaxvae.init_state(key, vae, optimizer, x)
for i in range(22):
    library, metrics = train_step(
        key, library, jax.tree.map(lambda leaf, i=i: leaf[i], batches)
    )


def distance(one, other):
    apart = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), one.params, other.params)
    return float(max(jax.tree.leaves(apart)))


scan_distance, library_distance = distance(looped, scanned), distance(looped, library)
print(f"largest difference of a parameter, loop and scan:    {scan_distance:.0e}")
print(f"largest difference of a parameter, loop and library: {library_distance:.0e}")

# %% [markdown]
# The scan is the form that `make_train_epoch` compiles and `fit` calls once an epoch.
# Many keys at once are `fit_many`: the [fourth
# notebook](4_devices_and_seeds.ipynb). What each function promises is in the [API
# reference](../docs/api/index.md).
