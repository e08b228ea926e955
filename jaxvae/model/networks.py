"""`Network`: an encoder and a decoder as pure functions of parameters."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.data.batches import Batch, as_batch, floating
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

Params = dict[str, Any]


@door("networks")
class Training(NamedTuple):
    """What a network is told while it is trained, and not else.

    Attributes:
      keys: a typed key for each example [B]: its noise, as dropout's.
      weight: of the examples [B], for statistics of the batch; 0 marks padding. None: all alike.
      axis_name: the mapped axis over which the batch is split, or None.

    Example:
      >>> Training(jax.random.split(jax.random.key(0), 4)).keys.shape
      (4,)
    """

    keys: Any
    weight: Any = None
    axis_name: str | None = None


@door("networks")
class Network(NamedTuple):
    """An encoder and a decoder as pure functions. No field holds parameters.

    A function may leave out what it has no use for: `init(key, x)`, `encode(params, x)`,
    `decode(params, z)` are a network too. One that takes `batch`, by this name, sees the whole
    `Batch`; one that takes `training` is told of it in training alone.

    Attributes:
      init: `init(key, batch) -> params`, a plain dict of arrays. One that takes `z_of` is told
        which shapes of z belong to the shapes of what `encode` returns.
      encode: `encode(params, batch, *, training=None)` -> the posterior's parameters, named or
        bare: `(loc, scale)`, each [B, K], for a Normal latent; `concentration` [B, K] for a
        Dirichlet one; a dict of the parts' for a product.
      decode: `decode(params, z [B, K], batch, *, training=None)` -> what the likelihood takes: the
        mean of a Normal, the logits of a Bernoulli, of x's shape.
      latent_shape: (K,), the shape of z for one example; `(part, (K,))` for each part of a product;
        None where unknown.

    A network that keeps statistics (batch norm) has them in `params["statistics"]`; where it is
    given `training`, it returns `(value, statistics)`, those of its side as they are afterwards.

    Example:
      >>> linear = Network(  # without Flax
      ...     init=lambda key, x: {"w": jax.random.normal(key, (x.shape[1], 2))},
      ...     encode=lambda params, x: (x @ params["w"], jnp.ones((len(x), 2))),
      ...     decode=lambda params, z: z @ params["w"].T,
      ... )
      >>> params = linear.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> linear.decode(params, jnp.zeros((5, 2))).shape
      (5, 64)
    """

    init: Callable[..., Params]
    encode: Callable[..., Any]
    decode: Callable[..., Any]
    latent_shape: Any = None


STATISTICS = "statistics"


def returned(params: Params, value: Any, statistics: Any, training: Training | None) -> Any:
    """What a function of a `Network` returns: beside its value statistics, where they are wanted.

    Args:
      params: that it was given.
      value: that it made.
      statistics: of its side, as they are afterwards.
      training: that it was given.

    Returns:
      `(value, statistics)` where a network that keeps statistics is trained, else the value.

    Example:
      >>> returned({"statistics": {"decoder": 2.0}}, 1.0, {"decoder": 3.0}, Training(None))
      (1.0, {'decoder': 3.0})
    """
    return (value, statistics) if training is not None and params.get(STATISTICS) else value


def whole(network: Network) -> Network:
    """A network whose three functions take all that there is, and return what they have to.

    Args:
      network: of functions that may leave out what they have no use for.

    Returns:
      `init(key, batch, z_of)`, `encode(params, batch, training)`,
      `decode(params, z, batch, training)`; the last two return `(value, statistics)`, the
      statistics {} where nothing is kept.

    Raises:
      TypeError: if it is no `Network` of functions.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a jaxvae.Network, got {network!r}")
    for name in ("init", "encode", "decode"):
        checks.function(f"network.{name}", getattr(network, name))
    init_names, encode_names, decode_names = (
        _names(function) for function in (network.init, network.encode, network.decode)
    )
    has_batch = "batch" in init_names, "batch" in encode_names
    third = [name for name in _positional(network.decode) if name != "training"][2:]
    decodes_batch = "batch" in decode_names or bool(third)

    def init(key: jax.Array, batch: Batch, z_of: Callable[[Any], Any]) -> Params:
        extra = {"z_of": z_of} if "z_of" in init_names else {}
        return network.init(key, batch if has_batch[0] else batch.x, **extra)

    def told(names: list[str], training: Training | None) -> dict[str, Any]:
        return {"training": training} if training is not None and "training" in names else {}

    def split(value: Any, params: Params, extra: dict[str, Any]) -> tuple[Any, Any]:
        return value if extra and params.get(STATISTICS) else (value, {})

    def encode(params: Params, batch: Batch, training: Training | None) -> tuple[Any, Any]:
        extra = told(encode_names, training)
        value = network.encode(params, batch if has_batch[1] else batch.x, **extra)
        return split(value, params, extra)

    def decode(params: Params, z: Any, batch: Batch, training: Training | None) -> tuple[Any, Any]:
        extra = told(decode_names, training)
        value = network.decode(params, z, *([batch] if decodes_batch else []), **extra)
        return split(value, params, extra)

    return Network(init, encode, decode, network.latent_shape)


def _names(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except ValueError:  # built in
        return []


def _positional(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return []
    return [option.name for option in parameters if option.kind in kinds]


@door("networks")
class Function(NamedTuple):
    """One half of a network, an encoder or a decoder of one array, as pure functions.

    Attributes:
      init: `init(key, x [B, D]) -> params`.
      apply: `apply(params, x [B, D])` -> what the module returns.

    Example:
      >>> scaled = Function(
      ...     init=lambda key, x: {"by": jnp.ones(())}, apply=lambda params, x: params["by"] * x
      ... )
      >>> scaled.apply(scaled.init(jax.random.key(0), jnp.ones((1, 3))), jnp.ones((1, 3)))
      Array([[1., 1., 1.]], dtype=float32)
    """

    init: Callable[[jax.Array, Any], Params]
    apply: Callable[[Params, Any], Any]


@made_by
def join(encoder: Function, decoder: Function) -> Network:
    """Make a `Network` of an encoder and a decoder.

    Args:
      encoder: from x [B, D] to `(loc, scale)` or to `concentration`, each [B, K].
      decoder: from z [B, K] to [B, D].

    Returns:
      The network; its parameters are `{"encoder": ..., "decoder": ...}`.

    Example:
      >>> none = Function(lambda key, x: {}, lambda params, x: x)
      >>> network = join(none, none)
      >>> network.init(jax.random.key(0), jnp.ones((1, 3)))
      {'encoder': {}, 'decoder': {}}
    """

    def init(key: jax.Array, x: Any) -> Params:
        encoder_key, decoder_key = jax.random.split(key)
        params = encoder.init(encoder_key, x)
        posterior = jax.eval_shape(encoder.apply, params, x)
        z = jax.tree.leaves(posterior)[0]
        return {
            "encoder": params,
            "decoder": decoder.init(decoder_key, jnp.zeros(z.shape, z.dtype)),
        }

    return Network(
        init,
        lambda params, x: encoder.apply(params["encoder"], x),
        lambda params, z: decoder.apply(params["decoder"], z),
    )


class Half(NamedTuple):
    """An encoder or a decoder that may keep statistics and be told that it is trained.

    Attributes:
      init: `init(key, batch, *inputs) -> (params, statistics)`.
      apply: `apply(params, statistics, batch, training, *inputs) -> (value, statistics)`.
    """

    init: Callable[..., tuple[Params, Params]]
    apply: Callable[..., tuple[Any, Params]]


def _z_like(q: Any) -> Any:
    """Shapes of z by those of q, where the latent is not known: of its first array, by part."""
    if isinstance(q, Mapping):
        return {name: _z_like(part) for name, part in q.items()}
    return jax.tree.leaves(q)[0]


def of_halves(encoder: Half, decoder: Half, latent_shape: Any = None) -> Network:
    """Make a `Network` of two halves, its parameters under "encoder" and "decoder".

    Args:
      encoder: takes x.
      decoder: takes z.
      latent_shape: of `Network`.

    Returns:
      The network.
    """

    def init(key: jax.Array, batch: Any, *, z_of: Callable[[Any], Any] | None = None) -> Params:
        batch = as_batch(batch)
        encoder_key, decoder_key = jax.random.split(key)
        encoder_params, encoder_statistics = encoder.init(encoder_key, batch, batch.x)
        q, _ = jax.eval_shape(
            lambda: encoder.apply(encoder_params, encoder_statistics, batch, None, batch.x)
        )
        z = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (z_of or own)(q))
        decoder_params, decoder_statistics = decoder.init(decoder_key, batch, z)
        statistics = {"encoder": encoder_statistics, "decoder": decoder_statistics}
        kept = {side: tree for side, tree in statistics.items() if tree}
        params = {"encoder": encoder_params, "decoder": decoder_params}
        return {**params, STATISTICS: kept} if kept else params

    def own(q: Any) -> Any:
        """z of the width that is known, else of the first array of q, by part."""
        if latent_shape is None:
            return _z_like(q)
        first = jax.tree.leaves(q)[0]
        if isinstance(latent_shape[0], tuple):
            return {
                name: jax.ShapeDtypeStruct((first.shape[0], *shape), first.dtype)
                for name, shape in latent_shape
            }
        return jax.ShapeDtypeStruct((first.shape[0], *latent_shape), first.dtype)

    def side(
        name: str, half: Half, params: Params, batch: Batch, training: Any, *inputs: Any
    ) -> Any:
        statistics = params.get(STATISTICS, {})
        value, after = half.apply(params[name], statistics.get(name, {}), batch, training, *inputs)
        return returned(params, value, {name: after} if after else {}, training)

    def encode(params: Params, batch: Any, *, training: Training | None = None) -> Any:
        batch = as_batch(batch)
        return side("encoder", encoder, params, batch, training, batch.x)

    def decode(
        params: Params, z: Any, batch: Any = None, *, training: Training | None = None
    ) -> Any:
        return side("decoder", decoder, params, as_batch(batch), training, z)

    return Network(init, encode, decode, latent_shape)


def concatenated(tree: Any, rows: int) -> jax.Array:
    """The arrays of a tree as one [B, ...], in JAX's order, each example flattened.

    Args:
      tree: of arrays [B, ...].
      rows: B.

    Returns:
      float32 [B, D].
    """
    leaves = jax.tree.leaves(tree)  # a dict by its sorted names: `jit` gives it no other order
    # The width is said: of no rows, JAX could not tell it.
    flat = [floating(leaf).reshape(rows, math.prod(leaf.shape[1:])) for leaf in leaves]
    return flat[0] if len(flat) == 1 else jnp.concatenate(flat, axis=1)
