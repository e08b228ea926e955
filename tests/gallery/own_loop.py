"""A training loop of one's own on four devices: by `jit` with `NamedSharding`, by `shard_map`."""

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

import jaxvae
from jaxvae import Batch, datasets

key, x = jax.random.key(0), datasets.load_digits().x_train[:1024]
vae, optimizer = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2)), optax.adam(1e-3)
mesh = jax.make_mesh((4,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
rows, whole = PartitionSpec("data"), PartitionSpec()
by_jit = jaxvae.make_train_step(vae, optimizer)
of_one = jaxvae.make_train_step(vae, optimizer, axis_name="data")
by_shard_map = jax.shard_map(of_one, mesh=mesh, in_specs=(whole, whole, rows), out_specs=whole)

for train_step in (by_jit, jax.jit(by_shard_map)):
    state = jaxvae.init_state(key, vae, optimizer, x)
    for start in range(0, 1024, 128):
        batch = Batch(x[start : start + 128], position=np.arange(128))
        batch = jax.device_put(batch, NamedSharding(mesh, rows))
        state, metrics = train_step(key, state, batch)
    print(f"loss {metrics.loss:.3f}")
