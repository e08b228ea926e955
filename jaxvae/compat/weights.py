"""The weights of a model by the original's names: read, and put in from wherever they are."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.compat import keras
from jaxvae.compat.classes import DIRICHLET_VAE, VAE
from jaxvae.compat.coders import Coder, floats
from jaxvae.data.files import read_arrays
from jaxvae.numerics import checks

# Our names of the layers to the original's; the trunk has none there.
ORIGINAL_NAMES = {
    "loc": "encoder_mu_layer",
    "log_scale": "encoder_sigma_layer",
    "concentration": "alpha_layer",
    "decoded": "decoder_mu_layer",
}


def get_weights(model: Any) -> dict[str, np.ndarray]:
    """The weights by the original's names, as NumPy arrays: `numpy.savez(path, **weights)`.

    Args:
      model: a `VAE` or `DIRICHLET_VAE`; or an encoder or a decoder alone.

    Returns:
      `encoder/hidden_0/kernel` [in, out], `encoder/hidden_0/bias`, ..., with the heads
      `encoder_mu_layer` and `encoder_sigma_layer` (its output is log sigma), or `alpha_layer`,
      and `decoder_mu_layer`. Of an encoder or a decoder alone, without its first part. Your own
      modules' weights are named by their Flax paths.

    Raises:
      TypeError: if it is none of these.
      ValueError: if the weights do not exist yet and their width is not known.

    Example:
      >>> from jaxvae.compat import dense_encoder_decoder
      >>> encoder, decoder = dense_encoder_decoder(64, 2, 1, 16, "relu")
      >>> for name, weight in get_weights(encoder).items():
      ...     print(name, weight.shape)
      encoder_mu_layer/bias (2,)
      encoder_mu_layer/kernel (16, 2)
      encoder_sigma_layer/bias (2,)
      encoder_sigma_layer/kernel (16, 2)
      hidden_0/bias (16,)
      hidden_0/kernel (64, 16)
    """
    return {
        prefix + _name(path): np.array(weight)
        for prefix, coder in _coders(model).items()
        for path, weight in jax.tree.leaves_with_path(coder.build())
    }


def set_weights(model: Any, source: Any, *, prefix: str = "") -> None:
    """Put in weights, for example those that were trained in TensorFlow.

    Args:
      model: a `VAE` or `DIRICHLET_VAE`; or an encoder or a decoder alone.
      source: one of: arrays by name, as `get_weights` gives them; the path of an .npz file of
        these; Keras layers by name (`encoder/hidden_0`); a sequence of Keras layers, models or
        of arrays (kernel, bias, ...) in the order of use, the encoder's before the decoder's.
      prefix: what stands before each name in the source, as `init/`; names without it are
        left out.

    Raises:
      ValueError: if a weight is missing, left over, of another shape or not finite; it is named,
        and nothing has been changed.
      TypeError: if the source is none of these.

    Example:
      >>> from jaxvae.compat import dense_encoder_decoder
      >>> mine, other = (dense_encoder_decoder(64, 2, 1, 16, "relu")[0] for _ in range(2))
      >>> set_weights(mine, get_weights(other))
      >>> bool((mine(np.ones((1, 64)))[0] == other(np.ones((1, 64)))[0]).all())
      True
    """
    coders = _coders(model)
    paths = {
        side + _name(path): path
        for side, coder in coders.items()
        for path, _ in jax.tree.leaves_with_path(coder.build())
    }
    given = _named_arrays(source, paths, prefix)
    missing, extra = sorted(set(paths) - set(given)), sorted(set(given) - set(paths))
    if missing or extra:
        raise ValueError(
            f"source must hold each of the model's {len(paths)} weights and no other, "
            f"got {len(given)}: missing {missing or 'none'}, left over {extra or 'none'}"
        )

    made = {}
    for side, coder in coders.items():

        def take(path: Any, old: jax.Array, side: str = side) -> jax.Array:
            name = side + _name(path)
            new = floats(name, given[name])
            if new.shape != old.shape:
                raise ValueError(f"{name} must have the shape {old.shape}, got {new.shape}")
            checks.finite_array(name, new)
            return jnp.array(new)

        made[side] = jax.tree.map_with_path(take, coder.build())
    for side, coder in coders.items():
        coder.params = made[side]


def _coders(model: Any) -> dict[str, Coder]:
    if isinstance(model, Coder):
        return {"": model}
    if isinstance(model, VAE | DIRICHLET_VAE):
        return {"encoder/": model.encoder, "decoder/": model.decoder}
    raise TypeError(f"model must be a VAE, a DIRICHLET_VAE or one of its coders, got {model!r}")


def _name(path: Sequence[Any]) -> str:
    parts = [ORIGINAL_NAMES.get(entry.key, entry.key) for entry in path]
    return "/".join(part for part in parts if part != "trunk")


def _named_arrays(source: Any, names: Iterable[str], prefix: str) -> dict[str, Any]:
    """What a source of `set_weights` holds, by name, the prefix taken away."""
    if isinstance(source, str | Path):
        source = _read_npz(Path(source))
    if isinstance(source, Mapping):
        given: dict[str, Any] = {}
        for name, value in source.items():
            if not name.startswith(prefix):
                continue
            name = name.removeprefix(prefix)
            if keras.is_layer(value):
                given |= zip((f"{name}/kernel", f"{name}/bias"), keras.arrays(value), strict=True)
            else:
                given[name] = value
        return given
    if keras.is_layer(source):
        source = [source]
    if not isinstance(source, Sequence):
        raise TypeError(
            f"source must be a mapping, the path of an .npz file, or a sequence of Keras layers "
            f"or arrays, got {type(source).__name__}"
        )
    arrays: list[Any] = []
    for item in source:
        arrays += keras.arrays(item) if keras.is_layer(item) else [item]
    ordered = sorted(names, key=_place)
    if len(arrays) != len(ordered):
        raise ValueError(f"source must hold {len(ordered)} weights, got {len(arrays)}")
    return dict(zip(ordered, arrays, strict=True))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"source must be a readable .npz file, got {path}: {error}") from error


def _place(name: str) -> tuple[bool, bool, int, bool]:
    """Sorts names in the order of use: encoder, decoder; hidden layers, heads; kernel, bias."""
    *side, layer, kind = name.split("/")
    heads, number = list(ORIGINAL_NAMES.values()), layer.removeprefix("hidden_")
    if not (layer in heads or number.isdecimal()):
        raise ValueError(f"source must name the weights of your own modules, got none for {name}")
    place = heads.index(layer) if layer in heads else int(number)
    return side == ["decoder"], layer in heads, place, kind == "bias"
