"""The train step and the epoch over several devices, and over several hosts, under `jax.pmap`."""

from jaxvae.training.devices import (
    AXIS,
    choose_devices,
    local_copy,
    local_count,
    no_mesh,
    replicate,
    shard,
    slots,
    split_rows,
)
from jaxvae.training.parallel import pmap_train_epoch, pmap_train_step
from jaxvae.training.placement import Placement

__all__ = [
    "AXIS",
    "Placement",
    "choose_devices",
    "local_copy",
    "local_count",
    "no_mesh",
    "pmap_train_epoch",
    "pmap_train_step",
    "replicate",
    "shard",
    "slots",
    "split_rows",
]
