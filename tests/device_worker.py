"""What tests/test_parallel.py runs in processes of their own, each under a time-out.

`python device_worker.py JOB OUT [HOST:PORT INDEX]`: the job's numbers go to OUT, an .npz file.
"""

import os
import sys

job, out = sys.argv[1:3]
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2" if job == "hosts" else "8"

import jax

if job == "hosts":
    jax.distributed.initialize(sys.argv[3], 2, int(sys.argv[4]))

import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

import jaxvae
from jaxvae import Batch
from jaxvae.model.values import Same
from jaxvae.training import devices as places
from jaxvae.training import programs, steps
from jaxvae.training.layouts import SplitBatches

ROWS = 50  # 3, 4 and 8 do not divide it
data = jaxvae.datasets.load_digits()
key = jax.random.key(0)


def make(model, objective):
    """Of unit variance: the slope of a learned scale is a small difference of large sums."""
    likelihood = "normal" if objective == "original" else jaxvae.likelihoods.normal()
    if model == "normal":
        network = jaxvae.dense_normal_network(64, 2, layers=2, hidden_units=16)
        return jaxvae.normal_vae(network, objective=objective, likelihood=likelihood)
    network = jaxvae.dense_dirichlet_network(64, 10, layers=2, hidden_units=16)
    return jaxvae.dirichlet_vae(network, objective=objective, likelihood=likelihood)


# An optimizer whose state is the last gradient, and which changes nothing.
capture = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, state, params: (jax.tree.map(jnp.zeros_like, grads), grads),
)


def flat(tree):
    return np.asarray(ravel_pytree(jax.tree.map(np.asarray, tree))[0])


def batch(rows=ROWS):
    weight = np.ones(rows, np.float32)
    weight[-7:] = 0.0  # an uneven last batch: the last device's share may be nothing but padding
    return Batch(data.x_train[:rows], data.y_train[:rows], weight, np.arange(rows, dtype=np.int32))


def gradients(vae, counts=(1, 2, 4, 8)):
    """The gradient of one step: on one device, by `pmap` over more, by `shard_map`, by `vmap`."""

    def state():
        return jaxvae.init_state(key, vae, capture, data.x_train)

    found = {"one": jaxvae.make_train_step(vae, capture)(key, state(), batch())}
    for count in counts:
        step = jaxvae.pmap_train_step(vae, capture, devices=count)
        found[f"pmap {count}"] = step(key, state(), batch())

    step, split = steps.step_function(vae, capture, "device"), places.split_rows(batch(), 4)
    mapped = jax.vmap(
        lambda batch: step(key, state(), batch, True), axis_name="device", axis_size=4
    )
    found["vmap 4"] = jax.tree.map(lambda leaf: leaf[0], mapped(split))
    mesh = Mesh(np.array(jax.devices()[:4]), ("device",))
    rows = jax.tree.map(jnp.concatenate, split)
    sharded = jax.shard_map(
        lambda state, batch: step(key, state, batch, True),
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("device")),
        out_specs=PartitionSpec(),
    )
    found["shard_map 4"] = jax.jit(sharded)(state(), rows)
    result = {}
    for name, (after, metrics) in found.items():
        result[f"{name}/gradient"] = flat(after.opt_state)
        result[f"{name}/metrics"] = np.array([float(value) for value in metrics[:5]])
    return result


def fit(vae, x, y, devices, epochs, optimizer=None):
    return jaxvae.fit(
        key, vae, x, y, batch_size=ROWS, epochs=epochs, devices=devices, optimizer=optimizer
    )


def run():
    """200 steps on several counts, twice on one; traces, replicas and messages counted."""
    result = {}
    for model in ("normal", "dirichlet"):
        vae, traces = make(model, "elbo"), []

        def loss(*args, vae=vae, traces=traces):
            traces.append(1)
            return vae.loss(*args)

        counted = vae._replace(loss=loss)
        optimizer = optax.adam(1e-3)
        x, y = data.x_train, data.y_train
        for name, devices in (("1", 1), ("3", 3), ("8", 8), ("8 again", 8)):
            traces.clear()
            programs.train_program.cache_clear()
            state, history = fit(counted, x, y, devices, 10, optimizer)
            losses = np.concatenate([record.batch_losses for record in history.epochs])
            result[f"{model}/{name}/losses"] = losses[:200]
            result[f"{model}/{name}/params"] = flat(state.params)
            result[f"{model}/{name}/traces"] = len(traces)

        chosen = places.choose_devices(8)
        mapped = programs.train_program(
            counted, Same(optimizer), "stop", SplitBatches(chosen), batch_size=ROWS
        )
        state = jaxvae.init_state(key, vae, optimizer, x)
        given = key, state, {}, Batch(x, y)
        args = places.slots(chosen), *places.replicate(given, chosen)
        text = mapped.lower(*args).compile().as_text()
        sizes = [
            line.split("f32[")[1].split("]")[0]
            for line in text.splitlines()
            if "all-reduce(" in line
        ]
        result[f"{model}/messages"] = np.array([int(size) for size in sizes])
        result[f"{model}/parameters"] = flat(state.params).size
        state, *_ = mapped(*args)
        shards = [
            [np.asarray(s.data) for s in leaf.addressable_shards] for leaf in jax.tree.leaves(state)
        ]
        result[f"{model}/replicas equal"] = all(
            np.array_equal(one, other) for one, *others in shards for other in others
        )
    return result


def once():
    """A short run on eight devices, for the test that repeats it."""
    state, _ = fit(make("normal", "elbo"), data.x_train[:400], None, 8, 3)
    return {"params": flat(state.params)}


def hosts():
    """Two hosts of two devices: arrays, and each host's own rows as a stream."""
    vae, result = make("dirichlet", "elbo"), {}
    state, history = fit(vae, data.x_train, data.y_train, None, 2)
    result["arrays/losses"] = np.concatenate([r.batch_losses for r in history.epochs])
    result["arrays/params"] = flat(state.params)

    def own_rows(rows=52, share=26):
        for start in range(0, len(data.x_train), rows):
            own = slice(start + share * jax.process_index(), None)
            x, y = (array[: start + rows][own][:share] for array in (data.x_train, data.y_train))
            if len(x):
                yield x, y

    state, history = jaxvae.fit(key, vae, own_rows, batch_size=52, epochs=2)
    result["stream/losses"] = np.concatenate([r.batch_losses for r in history.epochs])
    result["stream/params"] = flat(state.params)
    return result


def broken_reduction():
    """What the gradients would be if devices counted alike, whatever their rows weigh."""

    def reduce(means, grads, weight, axis_name):
        grads = jax.tree.map(lambda leaf: leaf / jnp.maximum(weight, 1), grads)
        means, grads = jax.lax.pmean((means, grads), axis_name)
        return means, grads, jax.lax.psum(weight, axis_name)

    steps._reduce = reduce
    return gradients(make("normal", "elbo"), counts=(4,))


jobs = {"run": run, "once": once, "hosts": hosts, "broken reduction": broken_reduction}
np.savez(out, **(jobs[job]() if job in jobs else gradients(make(*job.split("/")))))
