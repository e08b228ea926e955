"""Examples of any shape, laid flat: a row for each."""

import math
from typing import Any

import numpy as np

from jaxvae.data import fields, sparse

SMALLEST_IMAGE = 4  # pixels a side
LONGEST_IMAGE = 4  # times its other side
CHANNELS = (1, 3, 4)
RANKS = {"images": ("[N, H, W] or [N, H, W, C]", (3, 4)), "series": ("[N, T, C] or [N, T]", (2, 3))}


def len_of(x: Any) -> int:
    """How many rows there are.

    Args:
      x: an array, a sparse matrix, or None.

    Returns:
      N; 0 for None.

    Example:
      >>> len_of(np.zeros((2, 3)))
      2
    """
    return 0 if x is None else int(x.shape[0])


def dense(x: Any) -> np.ndarray:
    """Some rows as an array of float32.

    Args:
      x: an array or a sparse matrix.

    Returns:
      The array.

    Example:
      >>> dense(np.zeros((2, 3), np.uint8)).dtype
      dtype('float32')
    """
    return np.asarray(x.toarray() if sparse.is_sparse(x) else x).astype(np.float32, copy=False)


def laid_flat(
    name: str, value: Any, kind: str | None, like: tuple[int, ...] | None = None
) -> tuple[Any, tuple[int, ...], str, list[str]]:
    """Examples as a data set has them.

    Args:
      name: of the argument.
      value: an array, a sparse matrix, a list.
      kind: what they are, or None to find it out. Of "series" rows are such of one value a step.
      like: the shape of an example where it is known; rows of as many values are taken for such.

    Returns:
      The examples flat [N, D], perhaps with NaN; the shape of one; what they are; what was decided,
      in sentences.

    Raises:
      ValueError, TypeError: if it is no array of examples.

    Example:
      >>> laid_flat("x", np.zeros((2, 4, 4)), "images")[1]
      (4, 4)
    """
    x = fields.x_arrays(name, value)
    if isinstance(x, dict | tuple):
        raise TypeError(f"{name} must be one array to make a data set of, got a tree of arrays")
    shapes, ranks = RANKS.get(kind or "", ("", ()))
    if sparse.is_sparse(x):
        if ranks and like is None:
            raise ValueError(f"{name} must be dense for {kind}, {shapes}, got a sparse matrix")
        return x, x.shape[1:], kind or "table", []
    if x.ndim > 4:
        raise ValueError(
            f"{name} must have the shape [N, D], [N, H, W], [N, H, W, C] or [N, T, C], "
            f"got {x.shape}"
        )
    if like is not None and x.ndim == 2 and x.shape[1] == math.prod(like):
        x = x.reshape(-1, *like)
    said = []
    if x.ndim == 4 and kind in (None, "images"):
        kind = "images"
        if x.shape[-1] not in CHANNELS and x.shape[1] in CHANNELS:
            x = np.moveaxis(x, 1, -1)
            said.append("The channels of the images came first; they are last here.")
        if x.shape[-1] == 1:
            x = x[..., 0]
    if kind is None:
        kind = "table"
        if x.ndim == 3:
            kind = "images" if _are_images(x) else "series"
            other = "series" if kind == "images" else "images"
            said.append(
                f"Examples of {x.shape[1]} x {x.shape[2]} are taken for {kind}; "
                f"the option kind={other} says otherwise."
            )
    if ranks and x.ndim not in ranks:
        raise ValueError(f"{name} must be {shapes} for {kind}, got {x.shape}")
    if kind == "series" and x.ndim == 2:
        x = x[..., None]
    return np.ascontiguousarray(x).reshape(len(x), -1), x.shape[1:], kind, said


def _are_images(x: np.ndarray) -> bool:
    """Whether [N, H, W] are images: no stripes, and of values as pixels have them."""
    height, width = x.shape[1:]
    if min(height, width) < SMALLEST_IMAGE or max(height, width) > LONGEST_IMAGE * min(
        height, width
    ):
        return False
    some = x[:1000]
    low, high = float(np.nanmin(some)), float(np.nanmax(some))
    whole = bool((some == np.round(some)).all())
    return (low >= 0 and (high <= 1 or (whole and high <= 65535))) or (low >= -1 and high <= 1)
