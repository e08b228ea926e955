"""How the page shows an example: as an image, as curves, as bars, or as its largest counts."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxvae.apps.description import Description
from jaxvae.apps.explore import packing

LONGEST_TABLE = 24  # values without names that are shown as bars; more are a curve
TAILS = 0.01  # share of the values at either end that may lie outside a column's bar
SAMPLE = 48  # pixels of an example's longer side: it is shown small


class Look(NamedTuple):
    """How an example is shown.

    Attributes:
      kind: "image", "series", "bars" or "counts".
      shape: (height, width) or (height, width, channels); (steps, values); (columns,).
      low, high: what is drawn as black and white, or the ends of a bar or an axis: [D], or [1].
      middle: a usual value of each column [D]: the mean.
      names: of the columns [D].
      shares: whether decoded counts are shares of a total.
    """

    kind: str
    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    middle: np.ndarray
    names: tuple[str, ...]
    shares: bool = False


def look_of(model: Description, x: np.ndarray | None, decoded: np.ndarray) -> Look:
    """How examples of a model are shown.

    Args:
      model: what it is.
      x: examples of its data [N, D], NaN where a value is missing; or None.
      decoded: what draws from its prior decode to [M, D].

    Returns:
      The look.

    Example:
      >>> model = Description(latent=None, prior=None, data_shape=(2,), latent_dim=2)
      >>> made = look_of(model, None, np.array([[0.0, 5.0], [1.0, 7.0]]))
      >>> made.kind, made.names, made.middle.tolist()
      ('bars', ('value 0', 'value 1'), [0.5, 6.0])
    """
    kind, shape = _kind(model)
    names = model.column_names or tuple(f"value {i}" for i in range(decoded.shape[1]))
    # A multinomial without a total has shares.
    shares = kind == "counts" and np.allclose(decoded.sum(axis=1), 1, atol=1e-3)
    if x is not None and shares:
        x = x / np.maximum(x.sum(axis=1, keepdims=True), 1)
    known = decoded if x is None else np.concatenate([x, decoded])
    usual = decoded if x is None else x
    seen = ~np.isnan(usual)
    middle = np.where(seen, usual, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    if kind == "image":
        black, white = model.image_range or _image_range(decoded)
        return Look(kind, shape, np.array([black]), np.array([white]), middle, ())
    if kind == "counts":
        top = np.array([max(float(decoded.max()), 1e-6)])
        return Look(kind, shape, np.zeros(1), top, middle, names, bool(shares))
    if kind == "series":
        known = known.reshape(-1, shape[-1])
    low, high = (np.nanquantile(known, q, axis=0) for q in (TAILS, 1 - TAILS))
    room = np.where(high > low, 0.05 * (high - low), 0.5)
    low, high = np.nan_to_num(low - room), np.nan_to_num(high + room, nan=1.0)
    if kind == "series":
        low, high = (np.tile(end, shape[0]) for end in (low, high))
        names = tuple(f"value {i}" for i in range(shape[1])) if shape[1] > 1 else ("",)
    return Look(kind, shape, low, high, middle, names)


def _kind(model: Description) -> tuple[str, tuple[int, ...]]:
    """What an example is, and its shape."""
    values = math.prod(model.data_shape)
    if model.image_shape is not None:
        return "image", tuple(model.image_shape)
    if model.series_shape is not None:
        return "series", tuple(model.series_shape)
    if model.data_kind == "counts":
        return "counts", (values,)
    if model.column_names is None and values > LONGEST_TABLE:
        return "series", (values, 1)
    return "bars", (values,)


def _image_range(decoded: np.ndarray) -> tuple[float, float]:
    low, high = float(decoded.min()), float(decoded.max())
    return (0.0, 1.0) if low > -0.5 and high < 1.5 else (low, max(high, low + 1e-6))


def widths(look: Look) -> np.ndarray:
    """What an error is measured against: the room that a value is shown in.

    Args:
      look: of an example.

    Returns:
      [D] or [1], above zero.
    """
    return look.high - look.low


def packed(look: Look) -> dict[str, Any]:
    """A look as the page takes it.

    Args:
      look: the look.

    Returns:
      Plain values.
    """
    return {
        "kind": look.kind,
        "shape": list(look.shape),
        "low": packing.rounded(look.low),
        "high": packing.rounded(look.high),
        "middle": [] if look.kind in ("image", "series") else packing.rounded(look.middle, 4),
        "names": list(look.names),
        "shares": look.shares,
    }


def pictures(look: Look, x: np.ndarray) -> np.ndarray:
    """Examples as pictures.

    Args:
      look: of an image.
      x: examples [N, D].

    Returns:
      [N, H, W] or [N, H, W, 3], black 0 and white 1. Of four channels the last is left out.
    """
    made = ((x - look.low) / widths(look)).reshape(len(x), *look.shape)
    if made.ndim == 4:
        made = made[..., 0] if made.shape[-1] in (1, 2) else made[..., :3]
    return made


def tops(x: np.ndarray, count: int) -> dict[str, Any]:
    """The largest values of each example and where they are.

    Args:
      x: counts [N, D], NaN where a value is missing.
      count: how many of each, at most.

    Returns:
      `places` and `values` [N, count], as the page takes them.

    Example:
      >>> tops(np.array([[1.0, 5.0, 3.0]]), 2)["places"]["shape"]
      [1, 2]
    """
    own = np.nan_to_num(x, nan=-np.inf)
    places = np.argsort(-own, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(np.nan_to_num(x), places, axis=1)
    return {"places": packing.plain(places, "u4"), "values": packing.plain(values, "f4")}


def examples(look: Look, x: np.ndarray, size: int) -> dict[str, Any]:
    """Examples as the page shows them: thumbnails, rows, or their largest counts.

    Args:
      look: of an example.
      x: examples [N, D], NaN where a value is missing.
      size: the most characters, about.

    Returns:
      Plain values; `count` says how many there was room for.
    """

    def make(count: int) -> dict[str, Any]:
        some = x[:count]
        if look.kind == "image":
            small = packing.smaller(pictures(look, some), SAMPLE)
            made: dict[str, Any] = {"sprite": packing.sprite(small, 20)}
        elif look.kind == "counts":
            made = {"tops": tops(some, 8)}
        else:
            made = {"values": packing.quantised(some)}
        return {"count": len(some), **made}

    counts = [len(x) // 2**k for k in range(8) if len(x) // 2**k] or [0]
    return packing.most_that_fit(make, counts, size)
