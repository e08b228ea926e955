"""What training compiles: some steps of one run or of many, on one device or on several.

There is one function, `train_program`. Its results are remembered by what they were made of, so
that equal models and equal optimizers are compiled once.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._collector import uncollected
from jaxvae.model.vae import VAE, model_of
from jaxvae.model.values import Same
from jaxvae.numerics import compiled
from jaxvae.training.epochs import chunk_function, epoch_function
from jaxvae.training.layouts import ONE_DEVICE, Layout
from jaxvae.training.state import Metrics, TrainState, trained
from jaxvae.training.updates import shows_non_finite

# `program(needed, keys, values, states, *data) -> (states, metrics)`: whether it is needed, a key,
# values and a state, for each call of what is compiled; the metrics [members, steps], read by the
# host.
States = Sequence[TrainState]
Program = Callable[..., tuple[States, Metrics]]


@functools.lru_cache(maxsize=32)
def train_program(
    make: VAE | Same,
    optimizer: Same,
    on_non_finite: str,
    layout: Layout = ONE_DEVICE,
    *,
    batch_size: int | None = None,
    members: bool = False,
    examples: int | None = None,
) -> Any:
    """Some steps as a compiled function of `(key, state, values, *data)`.

    Args:
      make: the model, or a function of `values` that makes it.
      optimizer: any Optax transformation.
      on_non_finite: of `step_function`.
      layout: where the run lies.
      batch_size: of data that lie on the device: one epoch, `data` a `Batch` of all examples. None
        for a chunk of a stream: `data` its batches, and how many of them are to be used.
      members: whether key, state and values have a leading axis of members, to be trained alike.
      examples: of `epoch_function`, where each device holds a part of the data.

    Returns:
      The function; it returns `(state, metrics [steps], steps made)`. Before all else it takes the
      slots of the layout. The state is donated but with "trust", after which it may be needed once
      more.
    """
    is_chunk = batch_size is None

    def train(key: Any, state: TrainState, values: Any, *data: Any) -> Any:
        vae = model_of(make, values)
        if batch_size is None:
            chunk = chunk_function(
                vae, optimizer.value, layout.axis_name, on_non_finite=on_non_finite
            )
            return chunk(key, state, *data)
        epoch = epoch_function(
            vae,
            optimizer.value,
            batch_size,
            on_non_finite=on_non_finite,
            examples=examples,
            **layout.epoch_options(),
        )
        state, metrics = epoch(key, state, *data)
        return state, metrics, jnp.int32(metrics.loss.shape[0])

    function = train
    if members:
        function = jax.vmap(train, in_axes=(0, 0, 0, *[None] * (2 if is_chunk else 1)))
    return layout.compiled(function, donates=on_non_finite != "trust", is_chunk=is_chunk)


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
    with uncollected():
        lowered = function.lower(*args)
    options = compiled.compiler_options()
    return compiled.unless_refused(
        lambda: lowered.compile(compiler_options=options), lowered.compile
    )


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

    def program(*args: Any) -> tuple[States, Metrics]:
        after, metrics = trusting(*args)
        if metrics.finite.all():
            return after, metrics
        return careful("stop")(*args)

    return program


def trusts(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """`updates.shows_non_finite`, remembered.

    Args:
      optimizer: any Optax transformation.
      params: parameters or their shapes.

    Returns:
      Whether the faster program may run with this optimizer.
    """
    leaves, tree = jax.tree.flatten(trained(params))
    return _trusts(Same(optimizer), tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


@functools.lru_cache(maxsize=16)
@uncollected()
def _trusts(optimizer: Same, tree: Any, leaves: tuple[Any, ...]) -> bool:
    params = tree.unflatten(jax.ShapeDtypeStruct(*leaf) for leaf in leaves)
    return bool(jax.jit(lambda: shows_non_finite(optimizer.value, params))())


def read_metrics(metrics: Metrics, made: Any) -> Metrics:
    """The metrics of a program, on the host; this waits for it, and reads it once.

    Args:
      metrics: [steps], or with axes of devices and members before.
      made: how many steps were made, alike on each.

    Returns:
      The metrics of the steps made, [members, steps]; of one run those of one member.
    """
    metrics, made = jax.device_get((metrics, made))
    steps = int(np.ravel(made)[0])
    return jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1])[:, :steps], metrics)


def at_once(function: Callable[..., Any], *each: Sequence[Any]) -> list[Any]:
    """`map`, on as many threads as there are cores: a compiled call lets go of Python's lock.

    A context of JAX's (precision, mesh, default device) is its own thread's alone, so `function`
    must call what is compiled already, and read it: then no more calls are under way than threads.
    Where one raises, or Ctrl-C is pressed, those under way end first, and no other begins.

    Args:
      function: what is called.
      *each: the arguments of each call.

    Returns:
      What each call returned.
    """
    threads = min(len(each[0]), _cores())
    if threads == 1 or jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        return list(map(function, *each))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, *each))


def _cores() -> int:
    """How many this process may use, where the system says it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
