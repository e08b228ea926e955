# %% [markdown]
# # Devices and seeds
#
# How many devices train a model is a matter of speed; it should not be a matter of
# results. This notebook trains one model on one device, on two and on four and compares
# the runs. Then it trains from a file that is never read whole, and eight seeds at once.
#
# A CPU is one device to JAX. It can be told to be four: no faster, but the same program
# that four GPUs would run. It must be told before anything is computed.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)

import jaxvae
from jaxvae import figures

plt.rcParams["figure.dpi"] = 72
QUICK = "JAXVAE_QUICK" in os.environ  # for the tests: fewer epochs
epochs = 4 if QUICK else 12
data = jaxvae.datasets.load_digits()
x, y = data.x_train, data.y_train
vae = jaxvae.dirichlet_vae(
    jaxvae.dense_dirichlet_network(64, 10, layers=2, hidden_units=64),
    likelihood=jaxvae.likelihoods.normal(1.0),
)
key = jax.random.key(0)
print(len(jax.devices()), "devices")

# %% [markdown]
# ## The same run
#
# `devices=4` splits each batch of 50 over four devices. Four does not divide 50, nor 50
# the 1,437 examples; what is missing is filled up with examples of weight zero. The noise
# of an example follows from its place in the whole batch, so that it does not change with
# the split.


# %%
def losses(history):
    """The loss of every step of a run."""
    return np.concatenate([record.batch_losses for record in history.epochs])


def distance(one, other):
    """The largest difference of a parameter."""
    apart = jax.tree.map(lambda a, b: float(abs(a - b).max()), one.params, other.params)
    return max(jax.tree.leaves(apart))


runs = {
    devices: jaxvae.fit(key, vae, x, y, batch_size=50, epochs=epochs, devices=devices)
    for devices in (1, 2, 4)
}
state, history = runs[1]
print("         last epoch's   difference to one device: largest of")
print("devices  loss (nats)    a step's loss   a parameter")
for devices, (other_state, other_history) in runs.items():
    loss_apart = abs(losses(other_history) - losses(history)).max()
    loss, apart = other_history.epochs[-1].loss, distance(state, other_state)
    print(f"{devices:7d}  {loss:11.4f}   {loss_apart:13.1e}   {apart:11.1e}")

# %% [markdown]
# What is left is rounding: a sum over four devices adds in another order. In a much
# longer run it can tip a comparison, in a ReLU or where the sampler rejects a draw. From
# there on the parameters drift apart, while the losses hardly do.
#
# A mistake would look different. Another key, for comparison:

# %%
_, other_history = jaxvae.fit(jax.random.key(1), vae, x, y, batch_size=50, epochs=epochs)
other_key_apart = abs(losses(other_history) - losses(history)).max()
print(f"largest difference of a step's loss with another key: {other_key_apart:.1e}")

# %% [markdown]
# ## A stream
#
# Data that do not fit into memory come as a function that yields batches, of any size;
# `fit` cuts them anew. This one reads a file through a memory map, in an order of its own
# each epoch. It works on several devices too.

# %%
temporary = tempfile.TemporaryDirectory()
path = Path(temporary.name, "examples.npy")
np.save(path, x)


def stream():
    rng = np.random.default_rng(0)

    def batches():
        examples = np.load(path, mmap_mode="r")
        for rows in np.array_split(rng.permutation(len(examples)), 10):
            yield examples[rows], y[rows]

    return batches


streamed, stream_history = jaxvae.fit(key, vae, stream(), batch_size=50, epochs=epochs)
streamed_4, _ = jaxvae.fit(key, vae, stream(), batch_size=50, epochs=epochs, devices=4)
stream_losses = [record.loss for record in stream_history.epochs]
stream_apart = distance(streamed, streamed_4)
print(f"loss: first epoch {stream_losses[0]:.2f} nats, last {stream_losses[-1]:.2f}")
print(f"largest difference of a parameter, one device and four: {stream_apart:.1e}")

# %% [markdown]
# ## Eight seeds at once
#
# One run says little about a method. `fit_many` takes a key for each run and trains them
# all by one compiled program: on a CPU a run on each core, on an accelerator all in one
# step, by `vmap`. `devices` would spread them.

# %%
keys = jax.random.split(key, 8)
states, histories = jaxvae.fit_many(keys, vae, x, y, batch_size=50, epochs=epochs)
figures.loss_spread([history.epochs for history in histories])

# %% [markdown]
# How much of a result is luck? The accuracy of each member on the test set:


# %%
def member(states, i):
    return jax.tree.map(lambda leaf: leaf[i], states)


accuracies = [
    jaxvae.accuracy(vae, member(states, i).params, data.x_test, data.y_test)
    for i in range(8)
]
print("accuracy of each:", *(f"{accuracy:.3f}" for accuracy in accuracies))
print(
    f"mean {np.mean(accuracies):.3f}, standard deviation {np.std(accuracies, ddof=1):.3f}"
)

# %% [markdown]
# Each member is the run that `fit` makes of its key alone: on a CPU to the bit, else to
# rounding.

# %%
alone, alone_history = jaxvae.fit(keys[3], vae, x, y, batch_size=50, epochs=epochs)
member_apart = abs(losses(alone_history) - losses(histories[3])).max()
print(f"largest difference of a step's loss: {member_apart:.1e}")

# %% [markdown]
# ## The same for a hyper-parameter
#
# `hyperparams` gives each member a value of its own. Here it is the learning rate, with
# one key for all, so that nothing else differs.

# %%
rates = [1e-4, 3e-4, 1e-3, 3e-3]
same_key = jax.random.wrap_key_data(np.tile(jax.random.key_data(key), (4, 1)))
_, histories = jaxvae.fit_many(
    same_key,
    vae,
    x,
    y,
    batch_size=50,
    epochs=epochs,
    hyperparams={"learning_rate": rates},
)
for rate, history in zip(rates, histories, strict=True):
    loss = history.epochs[-1].loss
    print(f"learning rate {rate:.0e}: {loss:.3f} nats after {epochs} epochs")

# %% [markdown]
# On the command line these are `--devices 4` and `--seeds 8`. Several hosts, Slurm, and
# what all of this costs: [Devices, hosts, streams and seeds](../docs/devices.md).
