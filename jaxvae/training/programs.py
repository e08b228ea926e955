"""An epoch as a compiled program: of arrays or of a stream, on one device or on several."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils

from jaxvae.data import streaming
from jaxvae.data.batches import Batch
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training import parallel
from jaxvae.training.epochs import chunk_function, epoch_function
from jaxvae.training.state import Metrics, TrainState
from jaxvae.training.updates import shows_non_finite

# `program(state, *chunk) -> (state, metrics)`, the metrics read by the host.
Program = Callable[..., tuple[TrainState, Metrics]]


def compile_ahead(function: jax.stages.Wrapped, *args: Any) -> Callable[..., Any]:
    """Compile a function for arguments like these; under `jax.disable_jit` leave it as it is.

    Args:
      function: jitted or mapped.
      *args: what it will be called with.

    Returns:
      What to call.
    """
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        return function
    return function.lower(*args).compile()


def stopping(compile_for: Callable[[str], Program], *, trust: bool) -> Program:
    """A program whose state stays as it was from the first step on that is not finite.

    Args:
      compile_for: makes the program for one of `step_function`'s on_non_finite.
      trust: run the faster program that trusts its gradients, and only where its losses or its
        last parameters are not finite the careful one, from the same state.

    Returns:
      The program.
    """
    if not trust:
        return compile_for("stop")
    trusting, careful = compile_for("trust"), functools.cache(compile_for)

    def program(state: TrainState, *chunk: Any) -> tuple[TrainState, Metrics]:
        after, metrics = trusting(state, *chunk)
        if metrics.finite.all():
            return after, metrics
        return careful("stop")(state, *chunk)

    return program


def trusts(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """`steps.shows_non_finite`, remembered.

    Args:
      optimizer: any Optax transformation.
      params: parameters or their shapes.

    Returns:
      Whether the faster program may run with this optimizer.
    """
    leaves, tree = jax.tree.flatten(params)
    return _trusts(optimizer, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


@functools.lru_cache(maxsize=16)
def _trusts(optimizer: optax.GradientTransformation, tree: Any, leaves: tuple[Any, ...]) -> bool:
    params = tree.unflatten(jax.ShapeDtypeStruct(*leaf) for leaf in leaves)
    return bool(jax.jit(lambda: shows_non_finite(optimizer, params))())


def checked_data(x: Any, y: Any, weight: Any) -> tuple[np.ndarray, Any, Any]:
    """Examples, labels and weights, checked, and as the weights would have them.

    Args:
      x: examples [N, D].
      y: labels [N] or None.
      weight: weights [N] or None.

    Returns:
      x, y and weight without the examples of weight 0, which then count for nothing at all: not in
      a batch's size, nor in the number of steps. The weights have a mean of 1, so that no sum of
      them is beyond float32; they are None where all are equal, which is no weighing.

    Raises:
      ValueError, TypeError: if one cannot be used; the argument is named.
    """
    x = checks.data_array("x", x)
    y = None if y is None else checks.label_array("y", y, len(x))
    if weight is None:
        return x, y, None
    weight = checks.weight_array("weight", weight, len(x))
    keep = weight > 0
    if not keep.all():
        x, y, weight = x[keep], None if y is None else y[keep], weight[keep]
    weight = weight / weight.max()
    if (weight == 1).all():
        return x, y, None
    return x, y, (weight / weight.mean()).astype(np.float32)


class Arrays:
    """Data that lie on the device: an epoch is one compiled call."""

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        devices: tuple[jax.Device, ...] | None,
        weight: Any = None,
    ):
        self.example, self.labels, self.weight = checked_data(x, y, weight)
        self.batch_size, self.devices = min(batch_size, len(self.example)), devices

    def compile(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        on_non_finite: str,
    ) -> Program:
        before: tuple[Any, ...]
        arrays: tuple[Any, ...] = (Batch(self.example, self.labels, self.weight),)
        if self.devices is None:
            before, data = (), jax.device_put(arrays)
            train_epoch = _train_epoch(vae, optimizer, self.batch_size, on_non_finite)
        else:
            before = (parallel.shard(parallel.slots(self.devices), self.devices),)
            data = parallel.replicate(arrays, self.devices)
            train_epoch = parallel.map_epoch(
                vae, optimizer, self.batch_size, self.devices, on_non_finite, len(arrays) == 3
            )
        compiled = compile_ahead(train_epoch, *before, key, state, *data)

        def program(state: TrainState) -> tuple[TrainState, Metrics]:
            state, metrics = compiled(*before, key, state, *data)
            return state, jax.device_get(metrics)  # waits for the epoch, and reads it once

        return program

    def run_epoch(
        self, program: Program, state: TrainState, *, skip: bool
    ) -> tuple[TrainState, Metrics, int]:
        return *program(state), len(self.example)

    def last_rows(self) -> np.ndarray:
        """The examples among which the last steps' were."""
        return self.example


class Stream:
    """Data that are read as they are needed: an epoch is a compiled call for each chunk."""

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        devices: tuple[jax.Device, ...] | None,
        weight: Any = None,
    ):
        if y is not None:
            raise ValueError("y must be None where x gives batches: they hold the labels")
        if weight is not None:
            raise ValueError("weight must be None where x gives batches: they hold the weights")
        rows = batch_size
        if devices is not None:
            rows, rest = divmod(batch_size * parallel.local_count(devices), len(devices))
            if rest and jax.process_count() > 1:
                raise ValueError(
                    f"batch_size must give each host whole rows, got {batch_size} "
                    f"for {parallel.local_count(devices)} of {len(devices)} devices"
                )
        self.source, self.rows, self.devices = x, rows, devices
        self.batch_size = batch_size
        for self.example, self.labels, *_ in streaming.read(x):
            break
        else:
            raise ValueError("x must give at least one batch, got none")
        self.steps = streaming.chunk_steps(rows, self.example.shape[1])

    def compile(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        on_non_finite: str,
    ) -> Program:
        if self.devices is None:
            train_chunk = _train_chunk(vae, optimizer, on_non_finite)
        else:
            train_chunk = parallel.map_chunk(vae, optimizer, self.devices, on_non_finite)
        compiled = compile_ahead(train_chunk, key, state, *self._nothing)

        def program(state: TrainState, chunk: Any) -> tuple[TrainState, Metrics]:
            state, metrics, made = compiled(key, state, *chunk)
            metrics, made = jax.device_get((metrics, made))
            return state, Metrics(*(leaf[:made] for leaf in metrics))

        return program

    def run_epoch(
        self, program: Program, state: TrainState, *, skip: bool
    ) -> tuple[TrainState, Metrics, int]:
        several, all_metrics, examples = jax.process_count() > 1, [], 0
        chunks = streaming.chunks(self.source, self.rows, self.steps)
        with contextlib.closing(streaming.prefetch(chunks, self._counted)) as ready:
            while True:
                count, chunk = next(ready, (0, None))
                examples += count
                # A host whose data have ended takes part until every host's have.
                if chunk is None and not several:
                    break
                self._last = chunk = chunk or self._nothing
                state, metrics = program(state, chunk)
                all_metrics.append(metrics)
                if len(metrics.loss) < self.steps or not (skip or metrics.finite.all()):
                    break
        if not sum(len(metrics.loss) for metrics in all_metrics):
            raise ValueError(
                "x must give its batches again in each epoch, got none of a weight above 0"
            )
        if several:
            examples = int(np.sum(multihost_utils.process_allgather(np.int32(examples))))
        metrics = jax.tree.map(lambda *leaves: np.concatenate(leaves), *all_metrics)
        return state, metrics, examples

    def last_rows(self) -> np.ndarray:
        """The examples of the last chunk, this host's: its batches are not donated."""
        x, weight = (
            np.concatenate([np.asarray(part.data) for part in leaf.addressable_shards])
            for leaf in (self._last[0].x, self._last[0].weight)
        )
        return x[weight > 0]

    @functools.cached_property
    def _nothing(self) -> tuple[Any, Any]:
        """A chunk without a step, on the device."""
        shape = (self.steps, self.rows)
        x = np.zeros((*shape, self.example.shape[1]), np.float32)
        y = None if self.labels is None else np.zeros(shape, np.int32)
        return self._to_device(streaming.Chunk(Batch(x, y, np.zeros(shape, np.float32)), 0))

    def _counted(self, chunk: streaming.Chunk) -> tuple[int, Any]:
        """How many examples a chunk holds, and the chunk on the device."""
        return int(np.count_nonzero(np.asarray(chunk.batches.weight))), self._to_device(chunk)

    def _to_device(self, chunk: streaming.Chunk) -> tuple[Any, Any]:
        if self.devices is None:
            return jax.device_put((chunk.batches, np.int32(chunk.used)))
        local = parallel.local_count(self.devices)
        batches = parallel.split_rows(chunk.batches, local, axis=1)
        return parallel.shard((batches, np.full(local, chunk.used, np.int32)), self.devices)


# The same function for the same model, optimizer and batch size: JAX then finds what it compiled
# for it before, and a second call of `fit` on data of the same shape compiles nothing. The state is
# donated but with "trust", after which it may be needed once more.
@functools.lru_cache(maxsize=16)
def _train_epoch(
    vae: VAE, optimizer: optax.GradientTransformation, batch_size: int, on_non_finite: str
) -> jax.stages.Wrapped:
    epoch = epoch_function(vae, optimizer, batch_size, on_non_finite=on_non_finite)
    return jax.jit(epoch, donate_argnums=() if on_non_finite == "trust" else 1)


@functools.lru_cache(maxsize=16)
def _train_chunk(
    vae: VAE, optimizer: optax.GradientTransformation, on_non_finite: str
) -> jax.stages.Wrapped:
    chunk = chunk_function(vae, optimizer, on_non_finite=on_non_finite)
    return jax.jit(chunk, donate_argnums=() if on_non_finite == "trust" else 1)
