"""`jax.jit`, with what the compiler of a CPU has to be told."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# XLA keeps to vectors of 256 bits on a CPU that has them of 512, for the sake of chips of 2017 that
# lower their clock for the long ones. Draws, densities and divergences are long polynomials: they
# take two thirds of the time. It is a bound, and says nothing to a CPU without.
_ON_CPU = {"xla_cpu_prefer_vector_width": 512}
# How JAX words it that options have no place inside another program, or that XLA has none such.
_REFUSED = ("can only be passed to top-level", "No such compile option")


def compiler_options() -> dict[str, Any]:
    """What to pass as `compiler_options` for the default backend."""
    return dict(_ON_CPU) if jax.default_backend() == "cpu" else {}


def unless_refused(
    first: Callable[..., Any], otherwise: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """What the first function gives; where its compiler options are refused, what the second does.

    Args:
      first: what is tried, with options.
      otherwise: the same without options.
      *args: of both.
      **kwargs: of both.

    Returns:
      As the functions.
    """
    try:
        return first(*args, **kwargs)
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if not any(words in str(error) for words in _REFUSED):
            raise
    return otherwise(*args, **kwargs)


class Compiled:
    """`jax.jit(function, **options)` with `compiler_options`, which may be called anywhere.

    JAX refuses a function with compiler options inside another `jit`, `grad` or `scan`. There, this
    is the function without.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        functools.update_wrapper(self, function)
        self._function, self._options = function, options
        self._inside = jax.jit(function, **options)

    @functools.cached_property
    def _alone(self) -> Any:
        # Not before the first call: to ask for the backend starts it.
        return jax.jit(self._function, compiler_options=compiler_options(), **self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return unless_refused(self._alone, self._inside, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._alone, name)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` for a program of its own; a decorator too.

    Args:
      function: as of `jax.jit`.
      **options: of `jax.jit`.

    Returns:
      A `jax.stages.Wrapped`.
    """
    return Compiled(function, **options)
