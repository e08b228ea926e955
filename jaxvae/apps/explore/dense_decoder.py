"""A dense decoder as the page runs it: found by trial, so that no kind of part is asked for.

The layers are read from the parameters. Which activation lies between them, what makes the mean of
the last one, and what turns it back into the user's units is tried out: what gives the model's own
numbers is right. Where nothing does, the page shows points that were decoded beforehand.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.apps.explore import packing
from jaxvae.apps.runs import Run
from jaxvae.model.modules import ACTIVATIONS
from jaxvae.model.networks import Network
from jaxvae.model.values import recipe_of

LARGEST_ERROR = 0.02  # share of the room in which a value is shown
TRIED = 16  # points

Layer = tuple[np.ndarray, np.ndarray]
OUTPUTS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda h: h,
    "sigmoid": jax.nn.sigmoid,
    "exp": jnp.exp,
    "softmax": lambda h: jax.nn.softmax(h, axis=-1),
}
CURVES: dict[str, Callable[[Any], Any]] = {"linear": lambda x: x, "sinh": np.sinh}


class Entry(NamedTuple):
    """What a decoder sees of z, the parts of it side by side: z @ matrix + shift.

    Attributes:
      matrix: [K, H].
      shift: [H].
      factors: of each part, how far one step in it takes what the decoder sees.
    """

    matrix: np.ndarray
    shift: np.ndarray
    factors: tuple[float, ...]


class Dense(NamedTuple):
    """A decoder of dense layers.

    Attributes:
      layers: the kernel [I, O] and the bias [O] of each. The first takes the parts of z side by
        side: what wrappers of the network make of them before is in it.
      activation: after each layer but the last, of `ACTIVATIONS`.
      output: what makes a mean of the last layer, of `OUTPUTS`.
      curve: what turns it back into the user's units, of `CURVES`: centre + width * curve(x).
      centre, width: numbers [D].
    """

    layers: tuple[Layer, ...]
    activation: str
    output: str
    curve: str
    centre: np.ndarray
    width: np.ndarray


def find(run: Run, z: Any) -> Dense | None:
    """The dense decoder of a run.

    Args:
      run: the run.
      z: points to try it at.

    Returns:
      What decodes as nearly as possible like the model; None where it has other layers, or its
      likelihood or transform is none that the page knows.
    """
    layers, entry = _layers(run.params), entry_of(run)
    if layers is None or entry is None or entry.matrix.shape[1] != len(layers[0][0]):
        return None
    (kernel, bias), *others = layers
    layers = ((entry.matrix @ kernel, entry.shift @ kernel + bias), *others)
    z = jax.tree.map(lambda leaf: np.asarray(leaf[:TRIED], np.float32), z)
    joined = _joined(run, z)
    assert run.vae.parts is not None
    likelihood, own = run.vae.parts.likelihood, run.params.get("likelihood", {})
    found = run.vae.parts.network.decode(run.params, jax.tree.map(jnp.asarray, z))
    decoded = np.asarray(found).reshape(len(joined), -1)
    activation, _ = _nearest(
        {name: _through(layers, f, joined) for name, f in ACTIVATIONS.items()}, decoded
    )
    mean = np.asarray(jax.vmap(likelihood.mean, (None, 0))(own, found)).reshape(len(joined), -1)
    output, error = _nearest({name: np.asarray(f(decoded)) for name, f in OUTPUTS.items()}, mean)
    units = _units(run)
    if units is None or error > LARGEST_ERROR * max(float(np.abs(mean).max()), 1e-6):
        return None
    return Dense(layers, activation, output, *units)


def decode(dense: Dense, run: Run, z: Any) -> np.ndarray:
    """What points decode to.

    Args:
      dense: the decoder.
      run: of which it is.
      z: points [N, K], or a dict of such.

    Returns:
      [N, D], in the user's units.
    """
    last = _through(dense.layers, ACTIVATIONS[dense.activation], _joined(run, z))
    mean = np.asarray(OUTPUTS[dense.output](last), np.float64)
    return dense.centre + dense.width * CURVES[dense.curve](mean)


def packed(
    dense: Dense, run: Run, z: Any, widths: np.ndarray, size: int
) -> tuple[dict[str, Any], float] | None:
    """A decoder as the page takes it, in half precision, or in bytes where that is too long.

    Args:
      dense: the decoder.
      run: of which it is.
      z: points at which it is held against the model.
      widths: the room in which a value is shown [D] or [1].
      size: the most characters of base64.

    Returns:
      Plain values, and the largest error as a share of that room; None where it is too long, or
      errs more than `LARGEST_ERROR`.
    """
    numbers = sum(kernel.size for kernel, _ in dense.layers)
    right = run.decode(z)
    for pack, size_of_one in ((_halves, 2), (_bytes, 1)):
        if numbers * size_of_one * 4 / 3 > size:
            continue
        layers, rounded = zip(*(pack(kernel, bias) for kernel, bias in dense.layers), strict=True)
        with np.errstate(over="ignore", invalid="ignore"):
            wrong = decode(dense._replace(layers=rounded), run, z)
            error = float(np.max(np.abs(wrong - right) / widths))
        if not error <= LARGEST_ERROR:  # nor is NaN
            continue
        made = {
            "kind": "dense",
            "layers": list(layers),
            "activation": dense.activation,
            "output": dense.output,
            "curve": dense.curve,
            "centre": _one_or_each(dense.centre),
            "width": _one_or_each(dense.width),
        }
        return made, error
    return None


def entry_of(run: Run) -> Entry | None:
    """What wrappers of a run's network make of z before its decoder sees it.

    The wrappers are made anew around a network that decodes to z itself.

    Args:
      run: the run.

    Returns:
      The map; None where it is not affine.
    """
    assert run.vae.parts is not None
    widths = [part.width for part in run.space.parts]
    total, ends = sum(widths), np.cumsum(widths)[:-1]
    seen = _transparent(run.vae.parts.network)

    def entered(rows: np.ndarray) -> np.ndarray:
        split = np.split(np.float32(rows), ends, axis=1)
        names = (part.name for part in run.space.parts)
        z: Any = dict(zip(names, map(jnp.asarray, split), strict=True))
        return np.asarray(seen.decode(run.params, z if run.space.is_product else split[0]))

    shift = entered(np.zeros((1, total)))[0]
    matrix = entered(np.eye(total)) - shift
    some = np.random.default_rng(0).normal(size=(TRIED, total)).astype(np.float32)
    if not np.allclose(some @ matrix + shift, entered(some), rtol=1e-3, atol=1e-3):
        return None
    lengths = np.split(np.square(matrix).sum(axis=1), ends)
    return Entry(matrix, shift, tuple(float(np.sqrt(own.mean())) for own in lengths))


def _transparent(network: Network) -> Network:
    """A network whose wrappers are kept and whose decoder gives back what it is shown."""
    recipe = recipe_of(network.decode)
    inner = None if recipe is None else recipe.arguments.get("network")
    if recipe is not None and isinstance(inner, Network):
        return recipe.constructor(**{**recipe.arguments, "network": _transparent(inner)})
    order = network.latent_shape

    def decode(params: Any, z: Any) -> jax.Array:
        if not isinstance(z, Mapping):
            return jnp.asarray(z)
        names = z if order is None else [name for name, _ in order]
        return jnp.concatenate([z[name] for name in names], axis=1)

    return Network(network.init, network.encode, decode, order)


def _layers(params: Mapping[str, Any]) -> tuple[Layer, ...] | None:
    """The layers of a decoder as the ready-made dense ones are; None for another."""
    decoder = dict(params.get("decoder", {}))
    last, trunk = decoder.pop("decoded", None), decoder.pop("trunk", {})
    names = [f"hidden_{i}" for i in range(len(trunk))]
    if decoder or last is None or params.get("statistics") or set(trunk) != set(names):
        return None
    layers = [trunk[name] for name in names] + [last]
    if any(not isinstance(own, Mapping) or set(own) != {"kernel", "bias"} for own in layers):
        return None
    if any(np.ndim(own["kernel"]) != 2 for own in layers):
        return None
    both = [(np.asarray(own["kernel"]), np.asarray(own["bias"])) for own in layers]
    return tuple((kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in both)


def _joined(run: Run, z: Any) -> np.ndarray:
    """The parts of z side by side."""
    return np.concatenate([run.space.of(part, z) for part in run.space.parts], axis=1)


def _through(layers: tuple[Layer, ...], activation: Any, h: np.ndarray) -> np.ndarray:
    *hidden, (kernel, bias) = layers
    for own, shift in hidden:
        h = np.asarray(activation(jnp.asarray(h @ own + shift)))
    return h @ kernel + bias


def _nearest(candidates: Mapping[str, np.ndarray], right: np.ndarray) -> tuple[str, float]:
    """The candidate that differs least, and by how much."""
    errors = {
        name: float(np.abs(own - right).max()) if own.shape == right.shape else np.inf
        for name, own in candidates.items()
    }
    name = min(errors, key=lambda n: errors[n] if np.isfinite(errors[n]) else np.inf)
    return name, errors[name]


def _units(run: Run) -> tuple[str, np.ndarray, np.ndarray] | None:
    """What the inverse of the transform is, from what it gives at a few numbers."""
    assert run.vae.parts is not None
    inverse = run.vae.parts.transform.inverse

    def at(number: float) -> np.ndarray:
        constant = jnp.full((1, *run.config.model.data_shape), number, jnp.float32)
        return np.asarray(inverse(constant), np.float64).reshape(-1)

    zero, one, far = at(0.0), at(1.0), at(-2.0)
    for name, curve in CURVES.items():
        width = (one - zero) / curve(1.0)
        if np.allclose(zero + width * curve(-2.0), far, rtol=1e-3, atol=1e-2 * np.abs(width)):
            return name, zero, width
    return None


def _halves(kernel: np.ndarray, bias: np.ndarray) -> tuple[dict[str, Any], Layer]:
    """A layer in half precision, and what is left of it."""
    with np.errstate(over="ignore"):
        half = kernel.astype(np.float16)
    packed = {"kernel": packing.plain(half, "f2"), "bias": packing.plain(bias, "f4")}
    return packed, (half.astype(np.float32), bias)


def _bytes(kernel: np.ndarray, bias: np.ndarray) -> tuple[dict[str, Any], Layer]:
    """A layer in bytes, each column by its largest weight, and what is left of it."""
    largest = np.abs(kernel).max(axis=0)
    step = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    whole = np.round(kernel / step)
    packed = {
        "kernel": packing.plain(whole, "i1"),
        "bias": packing.plain(bias, "f4"),
        "step": packing.plain(step, "f4"),
    }
    return packed, (whole.astype(np.float32) * step, bias)


def _one_or_each(numbers: np.ndarray) -> list[float]:
    return packing.rounded(numbers[:1] if np.ptp(numbers) == 0 else numbers)
