"""The train step and the epoch over several devices, and over several hosts, under `jax.pmap`."""

from jaxvae.training.parallel import (
    AXIS,
    choose_devices,
    local_copy,
    local_count,
    map_chunk,
    map_epoch,
    no_mesh,
    pmap_train_epoch,
    pmap_train_step,
    replicate,
    shard,
    slots,
    split_rows,
)

__all__ = [
    "AXIS",
    "choose_devices",
    "local_copy",
    "local_count",
    "map_chunk",
    "map_epoch",
    "no_mesh",
    "pmap_train_epoch",
    "pmap_train_step",
    "replicate",
    "shard",
    "slots",
    "split_rows",
]
