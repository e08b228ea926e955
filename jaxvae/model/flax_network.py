"""Flax modules as networks: dropout and batch norm included, told by us whether they are trained.

A module need not know of batches, keys or devices: its `nn.Dropout` and `nn.BatchNorm` are told. In
training, dropout's noise follows from each example's key, and batch norm takes the statistics of
the whole batch over all devices, by the examples' weights, so that padding counts for nothing. In
evaluation there is no noise, and the running statistics are used.
"""

import contextlib
import inspect
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import FlaxError

from jaxvae.data.batches import Batch
from jaxvae.model.modules import NormedDense
from jaxvae.model.networks import Function, Half, Network, Params, Training, of_halves
from jaxvae.model.values import made_by
from jaxvae.numerics import random, sharding

STATISTICS = "batch_stats"  # Flax's name of them
FLAGS = {"training": True, "train": True, "deterministic": False, "use_running_average": False}


@made_by
def flax_function(name: str, module: nn.Module) -> Function:
    """Make a `Function` of a Flax module of one array whose only variables are its parameters.

    Args:
      name: what an error calls the module.
      module: from one array to whatever an encoder or a decoder returns.

    Returns:
      Its `init` and `apply`.

    Raises:
      TypeError: if it is no Flax linen module.
      ValueError: from `init`, if the module keeps state besides its parameters (batch norm).

    Example:
      >>> from jaxvae.networks import MLP, Decoder
      >>> decoder = flax_function("decoder", Decoder(64, MLP(1, 16, nn.relu)))
      >>> params = decoder.init(jax.random.key(0), jnp.ones((5, 10)))
      >>> decoder.apply(params, jnp.ones((5, 10))).shape
      (5, 64)
    """
    _check_module(name, module)
    # Compiled: operation by operation it takes longer than to compile a training epoch.
    module_init = jax.jit(module.init)

    def init(key: jax.Array, x: Any) -> Params:
        variables = module_init(key, x)
        if extra := sorted(set(variables) - {"params"}):
            raise ValueError(
                f"{name} must be a module whose only variables are its params, "
                f"got {', '.join(extra)}"
            )
        return variables.get("params", {})

    def apply(params: Params, x: Any) -> Any:
        return module.apply({"params": params}, x)

    return Function(init, apply)


@made_by
def flax_network(encoder: nn.Module, decoder: nn.Module) -> Network:
    """Make a `Network` of any two Flax modules.

    A module that takes a second argument is given the batch's condition; one that names an argument
    `batch` the whole batch; one that names an argument `training` or `train` whether it is trained.
    `nn.Dropout` and `nn.BatchNorm` in it are told that in any case, unless it says so itself.

    Args:
      encoder: a module from x [B, ...] to the posterior's parameters, as `Network.encode` returns
        them.
      decoder: a module from z [B, K] to what the likelihood takes.

    Returns:
      The network; its parameters are `{"encoder": ..., "decoder": ...}`, and where a module keeps
      running statistics, they are beside them under "statistics".

    Raises:
      TypeError: if one of them is no Flax linen module.
      ValueError: from `init`, if a module keeps state that is neither parameters nor the running
        statistics of batch norm, or there is a condition that it does not take.

    Example:
      >>> from jaxvae.networks import MLP, Decoder, NormalEncoder
      >>> network = flax_network(
      ...     NormalEncoder(2, MLP(1, 16, nn.relu)), Decoder(64, MLP(1, 16, nn.relu))
      ... )
      >>> sorted(network.init(jax.random.key(0), jnp.ones((5, 64))))
      ['decoder', 'encoder']
    """
    return of_halves(half("encoder", encoder), half("decoder", decoder))


def half(
    name: str,
    module: nn.Module,
    join_condition: Callable[[Any, Batch], Any] | None = None,
    after: Callable[[Any], Any] = lambda value: value,
) -> Half:
    """A Flax module as half of a network.

    Args:
      name: what an error calls it.
      module: of one array, and if it likes the condition or the batch.
      join_condition: `join_condition(input, batch)` gives the module's only argument; where None
        the module takes the condition itself.
      after: applied to what it returns.

    Returns:
      The half.

    Raises:
      TypeError: if it is no Flax linen module.
    """
    _check_module(name, module)
    names = list(inspect.signature(type(module).__call__).parameters)[1:]
    flags = [flag for flag in FLAGS if flag in names]
    inputs = [other for other in names if other not in FLAGS]

    def arguments(value: Any, batch: Batch) -> tuple[Any, ...]:
        if join_condition is not None:
            return (join_condition(value, batch),)
        if "batch" in inputs:
            return value, batch
        if len(inputs) > 1 and batch.condition is not None:
            return value, batch.condition
        if batch.condition is not None:
            raise ValueError(
                f"{name} must take the condition as its second argument, or the batch by this "
                f"name, got a module of ({', '.join(inputs)})"
            )
        return (value,)

    def told(training: bool) -> dict[str, Any]:
        return {flag: FLAGS[flag] is training for flag in flags}

    def start(key: jax.Array, args: tuple[Any, ...]) -> Any:
        with nn.intercept_methods(_evaluating):
            return module.init(key, *args, **told(False))

    # Compiled: operation by operation it takes longer than to compile a training epoch.
    start = jax.jit(start)

    def init(key: jax.Array, batch: Batch, value: Any) -> tuple[Params, Params]:
        variables = start(key, arguments(value, batch))
        if extra := sorted(set(variables) - {"params", STATISTICS}):
            raise ValueError(
                f"{name} must be a module whose only variables are its params and the running "
                f"statistics of batch norm, got {', '.join(extra)}"
            )
        return variables.get("params", {}), variables.get(STATISTICS, {})

    def apply(
        params: Params, statistics: Params, batch: Batch, training: Training | None, value: Any
    ) -> tuple[Any, Params]:
        args = arguments(value, batch)
        variables = {"params": params, STATISTICS: statistics} if statistics else {"params": params}
        if training is None:
            with nn.intercept_methods(_evaluating):
                return after(module.apply(variables, *args, **told(False))), {}
        with nn.intercept_methods(_trained(training)):
            out = module.apply(
                variables,
                *args,
                **told(True),
                mutable=[STATISTICS] if statistics else False,
                rngs={"dropout": _first(training.keys)},  # for modules with noise of their own
            )
        value, kept = out if statistics else (out, {})
        return after(value), kept.get(STATISTICS, {})

    return Half(init, apply)


def _first(keys: jax.Array) -> jax.Array:
    """The first key, also of keys that are split over Explicit mesh axes, which refuse a slice."""
    return sharding.rows(keys, jnp.zeros(1, jnp.int32))[0]


def _check_module(name: str, module: Any) -> None:
    if not isinstance(module, nn.Module):
        shown = repr(module) if len(repr(module)) <= 80 else f"a {type(module).__name__}"
        raise TypeError(
            f"{name} must be a flax.linen.Module instance, got {shown}; functions of parameters, "
            f"as of an NNX or Equinox module, make a jaxvae.Network"
        )


def _evaluating(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """Batch norm by its running statistics, dropout without effect."""
    module = context.module
    if context.method_name == "__call__":
        if isinstance(module, nn.BatchNorm) and not module.use_running_average:
            return _with(module, "use_running_average", True, call, args, kwargs)
        if isinstance(module, nn.Dropout) and not module.deterministic:
            return _with(module, "deterministic", True, call, args, kwargs)
    return call(*args, **kwargs)


def _with(module: nn.Module, flag: str, value: bool, call: Any, args: Any, kwargs: Any) -> Any:
    """Call a module's method with a flag that it was made without, or with another value."""
    before = getattr(module, flag)
    object.__setattr__(module, flag, None)  # Flax refuses a flag that is given twice
    try:
        return call(args[0], **{**kwargs, flag: value})
    finally:
        object.__setattr__(module, flag, before)


def _trained(training: Training) -> Any:
    """What batch norm and dropout do in training."""
    calls: dict[str, int] = {}

    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name == "__call__":
            if isinstance(module, nn.BatchNorm) and not _frozen(module, args, kwargs):
                return _batch_norm(module, call, args, kwargs, training)
            if isinstance(module, NormedDense):
                return _normed_dense(module, call, args[0], training)
            if isinstance(module, nn.Dropout) and not _still(module, args, kwargs):
                path = "/".join(module.path)
                calls[path] = calls.get(path, 0) + 1
                return _dropout(module, args[0], training, f"{path}:{calls[path]}")
        return call(*args, **kwargs)

    return intercept


def _frozen(module: nn.BatchNorm, args: Any, kwargs: Any) -> bool:
    """Whether a batch norm is told, by its own module, to use the running statistics."""
    given = args[1] if len(args) > 1 else kwargs.get("use_running_average")
    return bool(given or module.use_running_average)


def _still(module: nn.Dropout, args: Any, kwargs: Any) -> bool:
    """Whether a dropout is told, by its own module, to have no effect."""
    given = args[1] if len(args) > 1 else kwargs.get("deterministic")
    return bool(given or module.deterministic)


def _batch_norm(
    module: nn.BatchNorm, call: Any, args: Any, kwargs: Any, training: Training
) -> jax.Array:
    """Normalise by the whole batch's statistics, and move the running ones towards them.

    The module itself normalises, by statistics that are put where it keeps the running ones.
    """
    x = args[0]
    features = module.axis if isinstance(module.axis, tuple | list) else (module.axis,)
    kept = [axis % x.ndim for axis in features]
    others = tuple(axis for axis in range(x.ndim) if axis not in kept)
    rows = jnp.ones(x.shape[0], jnp.float32) if training.weight is None else training.weight
    weight = jnp.asarray(rows, jnp.float32).reshape(-1, *(1,) * (x.ndim - 1))
    each = x.size / x.shape[0]
    for axis in kept:
        each /= x.shape[axis]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def weighted(values: jax.Array) -> jax.Array:
        factor = jnp.broadcast_to(weight, values.shape).astype(values.dtype)
        return jnp.sum(jnp.where(factor == 0, 0, factor * values), axis=others)

    sums, size = _over_devices((weighted(wide), jnp.sum(weight) * each), training)
    size = jnp.where(size == 0, 1, size).astype(sums.dtype)
    mean = sums / size
    centred = wide - jnp.expand_dims(mean, others)
    var = _over_devices(weighted(centred**2), training) / size
    return _by_statistics(
        module,
        {"mean": mean, "var": var},
        lambda: _with(module, "use_running_average", True, call, args, kwargs),
    )


def _normed_dense(module: NormedDense, call: Any, z: jax.Array, training: Training) -> jax.Array:
    """The same of a linear layer that is normed: the moments of what goes into it suffice."""
    rows = jnp.ones(z.shape[0]) if training.weight is None else training.weight
    weight = jnp.asarray(rows, z.dtype)
    own = jnp.where(weight[:, None] == 0, 0, z)  # what it does not hold may be anything
    sums, size = _over_devices((weight @ own, weight.sum()), training)
    size = jnp.where(size == 0, 1, size)
    mean = sums / size
    centred = own - mean[None]
    covariance = _over_devices((weight[:, None] * centred).T @ centred, training) / size
    return _by_statistics(module, {"mean": mean, "covariance": covariance}, lambda: call(z))


def _over_devices(sums: Any, training: Training) -> Any:
    """The sums of the whole batch, from those of each device's part."""
    return sums if training.axis_name is None else jax.lax.psum(sums, training.axis_name)


def _by_statistics(module: nn.Module, batch: dict[str, Any], call: Callable[[], Any]) -> Any:
    """Call a module with the batch's statistics in place of the running ones; then move those."""
    running: dict[str, Any] = {name: module.get_variable(STATISTICS, name) for name in batch}
    for name, now in batch.items():
        module.put_variable(STATISTICS, name, now)
    y = call()
    for name, now in batch.items():
        moved = module.momentum * running[name] + (1 - module.momentum) * now
        module.put_variable(STATISTICS, name, jax.lax.stop_gradient(moved))
    return y


def _dropout(module: nn.Dropout, x: jax.Array, training: Training, name: str) -> jax.Array:
    """Dropout whose noise follows from each example's key, on whatever device it lies."""
    keep = 1 - module.rate
    if keep == 1:
        return x
    if keep == 0:
        return jnp.zeros_like(x)
    shape = [1 if axis in module.broadcast_dims else size for axis, size in enumerate(x.shape)]
    keys = training.keys
    if x.shape[0] != len(keys):  # the module has merged the examples' axis with another
        keys = jax.random.split(_first(keys), x.shape[0])
    own = jax.vmap(random.fold_in, (0, None))(keys, jnp.uint32(zlib.crc32(name.encode())))
    seen = jax.vmap(lambda key: random.bernoulli(key, keep, tuple(shape[1:])))(own)
    return jnp.where(jnp.broadcast_to(seen, x.shape), x / keep, 0)


@contextlib.contextmanager
def named_params(given: str) -> Iterator[None]:
    """Around a call of a network: its own words for parameters that are not its own, in ours.

    Args:
      given: what it was given beside them, with the shapes.

    Yields:
      Nothing.

    Raises:
      ValueError: where the network does not take the parameters.
    """
    try:
        yield
    except (FlaxError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"params must be of this model, and it must be made for {given}: {error}"
        ) from error
