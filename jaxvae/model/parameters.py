"""The parameters of the families of distributions, by name."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae._door import door


@door("latents")
class Normal(NamedTuple):
    """The parameters of a Normal with a diagonal covariance. It unpacks as a pair.

    Attributes:
      loc: means [..., K].
      scale: standard deviations [..., K], above zero.

    Example:
      >>> loc, scale = Normal(jnp.zeros(2), jnp.ones(2))
      >>> scale.tolist()
      [1.0, 1.0]
    """

    loc: Any
    scale: Any


@door("latents")
class Dirichlet:
    """The parameter of a Dirichlet. It can be used as the array that it holds.

    Attributes:
      concentration: [..., K], above zero.

    Example:
      >>> q = Dirichlet(jnp.array([1.0, 3.0]))
      >>> q.shape, (q / q.sum()).tolist(), jnp.log(q).shape
      ((2,), [0.25, 0.75], (2,))
    """

    def __init__(self, concentration: Any):
        self.concentration = concentration

    def __repr__(self) -> str:
        return f"Dirichlet(concentration={self.concentration!r})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.concentration, dtype, copy=copy)

    def __jax_array__(self) -> Any:
        return self.concentration

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "concentration":
            raise AttributeError(name)
        return getattr(self.concentration, name)

    def __getitem__(self, index: Any) -> Any:
        return self.concentration[index]

    def __len__(self) -> int:
        return len(self.concentration)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.concentration)


def _as_array(name: str, *, reflected: bool = False) -> Callable[..., Any]:
    function = getattr(operator, name)

    def apply(self: Dirichlet, *others: Any) -> Any:
        plain = [o.concentration if isinstance(o, Dirichlet) else o for o in others]
        operands = [self.concentration, *plain]
        return function(*(operands[::-1] if reflected else operands))

    return apply


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Dirichlet, f"__{_name}__", _as_array(_name))
    setattr(Dirichlet, f"__r{_name}__", _as_array(_name, reflected=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs"):
    setattr(Dirichlet, f"__{_name}__", _as_array(_name))
jax.tree_util.register_pytree_with_keys(
    Dirichlet,
    lambda q: (((jax.tree_util.GetAttrKey("concentration"), q.concentration),), None),
    lambda _, leaves: Dirichlet(*leaves),
)


@door("latents")
class Logits(NamedTuple):
    """The parameter of `concrete`.

    Attributes:
      logits: [..., K], any real numbers; a constant added to a row changes nothing.

    Example:
      >>> Logits(jnp.zeros(3)).logits.shape
      (3,)
    """

    logits: Any


@door("latents")
class Kumaraswamy(NamedTuple):
    """The parameters of `stick_breaking`: of the K - 1 fractions that are broken off.

    Attributes:
      a: [..., K - 1], above zero.
      b: [..., K - 1], above zero.

    Example:
      >>> Kumaraswamy(jnp.ones(2), jnp.ones(2)).b.shape
      (2,)
    """

    a: Any
    b: Any


# --- what an encoder may return in their place


def pair_of_arrays(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    """`wrap` of a family with two parameters: a pair becomes them by their order.

    Args:
      kind: makes the parameters of two arrays.

    Returns:
      The function.
    """

    def wrap(outputs: Any) -> Any:
        bare = type(outputs) in (tuple, list) and len(outputs) == 2
        return kind(*outputs) if bare else outputs

    return wrap


def one_array(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    """`wrap` of a family with one parameter: an array becomes it.

    Args:
      kind: makes the parameter of an array.

    Returns:
      The function.
    """

    def wrap(outputs: Any) -> Any:
        return kind(outputs) if isinstance(outputs, jax.Array | np.ndarray) else outputs

    return wrap
