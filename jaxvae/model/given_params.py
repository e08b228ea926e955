"""What is given as a model's parameters, looked at before a network is called with it."""

from typing import Any

import jax

from jaxvae.numerics.checks import is_traced


def check_params(params: Any) -> None:
    """Refuse what cannot be a model's parameters.

    Args:
      params: the argument of this name.

    Raises:
      TypeError: if they are a whole state.
      ValueError: as `check_present`.
    """
    if hasattr(params, "opt_state"):
        raise TypeError(
            f"params must be a model's parameters, got a {type(params).__name__}: take its params"
        )
    check_present("params", params)


def check_present(name: str, tree: Any) -> None:
    """Refuse arrays that a step was given, and took the memory of for its results.

    Args:
      name: what they are called.
      tree: of arrays.

    Raises:
      ValueError: if there is one.
    """
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and not is_traced(leaf) and leaf.is_deleted():
            raise ValueError(
                f"{name} must be arrays that are still there, got some that were given to a step, "
                f"which took them: use the state that it returned"
            )
