"""No result that is not a number is given back in silence."""

from typing import Any

import jax
import numpy as np

from jaxvae.model.networks import Params


def numbers(what: str, found: Any, params: Params, *, finite: bool = False) -> Any:
    """A result, where it holds numbers.

    Args:
      what: it is.
      found: NumPy arrays or numbers, in a tree.
      params: that it was made with.
      finite: whether an infinite number is none either.

    Returns:
      The result.

    Raises:
      ValueError: if it holds NaN: params is named where it does too, else x.
    """
    wrong = np.isnan if not finite else lambda leaf: ~np.isfinite(leaf)
    for leaf in map(np.asarray, jax.tree.leaves(found)):
        if not np.issubdtype(leaf.dtype, np.floating) or not (bad := wrong(leaf)).any():
            continue
        for path, own in jax.tree.leaves_with_path(params):
            if not np.isfinite(own := np.asarray(own)).all():
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise ValueError(
                    f"params must be finite, got {own[~np.isfinite(own)][0]} in {name}"
                )
        place = "" if not leaf.ndim else f" of example {np.argwhere(bad)[0][0]}"
        raise ValueError(
            f"{what}{place} is {leaf[bad][0] if leaf.ndim else leaf}, though params are finite: "
            f"some values are too large for {leaf.dtype}"
        )
    return found
