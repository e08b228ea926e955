"""Checks of arguments, made on the host before anything is traced or compiled.

Every error names the argument, says what is allowed, and shows the value it got.
"""

import inspect
import math
import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export


def positive_int(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` as an int, or raise if it is no integer of at least `minimum`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {_show(value)}") from None
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {_show(value)}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def axis_length(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` as an int from `minimum` to what an axis can have, or raise."""
    number = positive_int(name, value, minimum=minimum)
    if number >= 2**31:  # more than XLA indexes everywhere, and than any memory holds
        raise ValueError(f"{name} must be from {minimum} to {2**31 - 1}, got {number}")
    return number


def positive_float(name: str, value: Any, *, zero: bool = False) -> float:
    """Return `value` as a finite float above zero (or at zero, where `zero` is True)."""
    allowed = "finite and at least 0" if zero else "finite and above 0"
    try:
        # float() takes these too, an array of one number with a warning
        if isinstance(value, bool | np.bool_ | str | bytes) or getattr(value, "ndim", 0) > 0:
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {_show(value)}") from None
    except OverflowError:
        raise ValueError(f"{name} must be {allowed}, got an integer beyond floats") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be {allowed}, got {number}")
    single = np.finfo(np.float32)  # what is computed in: beyond it there is inf, or NaN from 0/0
    if number > float(single.max) or (number < float(single.tiny) and not zero):
        raise ValueError(f"{name} must be {allowed} as a float32 too, got {number}")
    return number


def number(name: str, value: Any, *, zero: bool = False) -> Any:
    """As `positive_float`; a value inside compiled code, of a sweep, passes as it is."""
    return value if is_traced(value) else positive_float(name, value, zero=zero)


def is_traced(value: Any) -> bool:
    """Whether a value inside compiled code, which is not known yet, stands in for a number."""
    return isinstance(value, jax.core.Tracer)


def boolean(name: str, value: Any) -> bool:
    """Return `value` as a bool, or raise if it is none."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {_show(value)}")
    return bool(value)


def one_of(name: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return `value` if it is one of the `allowed` names."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {_show(value)}")
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...], allowed: str) -> None:
    """Raise unless `value` is of a class, which `allowed` names with its article."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {allowed}, got {_show(value)}")


def path(name: str, value: Any) -> Path:
    """Return `value` as a path, or raise; an empty text would be the folder in which one is."""
    instance(name, value, (str, os.PathLike), "a path")
    if not os.fspath(value):
        raise ValueError(f"{name} must not be empty, got {value!r}")
    return Path(value)


def hashable(name: str, value: Any, allowed: str) -> None:
    """Raise unless `value` can be a key: what was compiled is found again by what it is for."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(f"{name} must be {allowed}, got {_show(value)}: {error}") from None


def function(name: str, value: Any, *takes: str) -> Any:
    """Return `value` if it can be called, with so many arguments where they are named."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {_show(value)}")
    if takes:
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # one that does not say
            return value
        try:
            signature.bind(*takes)
        except TypeError as error:
            raise TypeError(
                f"{name} must take ({', '.join(takes)}), got a function: {error}"
            ) from None
    return value


def shape(name: str, value: Any) -> tuple[int, ...]:
    """Return `value` as a shape [..., K] with K at least 1, or raise if it is none.

    A size that `jax.export` leaves open passes.
    """
    if not isinstance(value, tuple | list) or not value:
        raise TypeError(f"{name} must be a tuple (..., K) of integers, got {_show(value)}")

    def checked(name: str, size: Any, minimum: int) -> int:
        open_size = export.is_symbolic_dim(size)
        return size if open_size else positive_int(name, size, minimum=minimum)

    return (*(checked(name, size, 0) for size in value[:-1]), checked(f"{name}[-1]", value[-1], 1))


def on_host(instead: str, **arguments: Any) -> None:
    """Raise if a function that runs compiled programs itself is being traced into one.

    `instead` says what to do inside `jit`, `vmap` and `grad`.
    """

    def is_source(node: Any) -> bool:  # of batches, which is not to be read here
        return hasattr(node, "__iter__") and not isinstance(node, list | tuple | Mapping)

    def holds_traced(value: Any) -> bool:
        return any(map(is_traced, jax.tree.leaves(value, is_leaf=is_source)))

    traced = [name for name, value in arguments.items() if holds_traced(value)]
    if not traced and is_traced(jax.device_put(np.int32(0))):  # `jit` of a call without arguments
        traced = list(arguments)
    if traced:
        raise TypeError(
            f"{traced[0]} must be given outside jit, vmap and grad, "
            f"got {_show(arguments[traced[0]])} inside; {instead}"
        )


def typed_key(name: str, key: Any) -> None:
    """Raise unless `key` is one typed key, as `jax.random.key` makes it."""
    if not _is_key(key):
        raise TypeError(f"{name} must be a typed key from jax.random.key(seed), got {_show(key)}")
    if key.shape != ():
        raise ValueError(f"{name} must be one key, got an array of keys of shape {key.shape}")


def typed_keys(name: str, keys: Any) -> int:
    """Return how many typed keys an array [M] holds, or raise if it is none."""
    if not _is_key(keys):
        raise TypeError(
            f"{name} must be typed keys from jax.random.split(key, M), got {_show(keys)}"
        )
    if keys.ndim != 1 or not len(keys):
        raise ValueError(f"{name} must have the shape [M], got {keys.shape}")
    return len(keys)


def floating(name: str, value: Any) -> jax.Array:
    """Return `value` as a float32 or float64 array: integers and half precision are widened."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):  # JAX's own errors do not name the argument
        raise TypeError(f"{name} must be an array of real numbers, got {_show(value)}") from None
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array.astype(float)


def common_shape(arrays: Mapping[str, jax.Array], *, event: bool = False) -> tuple[int, ...]:
    """Return the shape to which arrays broadcast; with `event` it has a last axis [..., K]."""
    try:
        common = jnp.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{' and '.join(arrays)} must broadcast, got {shapes}") from None
    if event and (not common or common[-1] == 0):
        name = next(iter(arrays))
        raise ValueError(
            f"{name} must have at least one axis [..., K], with K at least 1, got {common}"
        )
    return common


def same_shape(name: str, value: Any, other_name: str, other: Any, axes: str) -> None:
    """Raise unless two arrays have one shape, of rank 1 at least: broadcasting hides mistakes."""
    if np.shape(value) != np.shape(other) or not np.shape(value):
        raise ValueError(
            f"{name} must have the shape of {other_name}, {axes}, {np.shape(other)}, "
            f"got {np.shape(value)}"
        )


def one_a_row(rows: tuple[int, ...], **arrays: Any) -> None:
    """Raise unless each array has one value for each row of x, [B]; None has none to check."""
    for name, value in arrays.items():
        if value is not None and np.shape(value) != rows:
            raise ValueError(
                f"{name} must have one value for each row of x, the shape {rows}, "
                f"got {np.shape(value)}"
            )


def finite_array(
    name: str,
    value: Any,
    *,
    positive: bool = False,
    nonnegative: bool = False,
    minus_infinity: bool = False,
) -> None:
    """Raise if a concrete array holds NaN or an infinity; or what else is not allowed.

    With `positive`, that is a value <= 0, or one below the least normal float, which a compiled
    program takes for zero; with `nonnegative`, one < 0. With `minus_infinity`, it is allowed.
    Values inside compiled code are not known yet and pass unseen.
    """
    if is_traced(value):
        return
    # What JAX could not compute, for want of memory, raises here; in NumPy it ends the process.
    array = np.asarray(jax.device_get(jax.block_until_ready(value)))
    bad = ~np.isfinite(array)
    allowed = "finite"
    if minus_infinity:
        bad &= array != -np.inf
        allowed = "finite or minus infinity"
    if positive:
        bad |= array < jnp.finfo(array.dtype).tiny
        allowed = "finite and above 0"
    if nonnegative:
        bad |= array < 0
        allowed = "finite and at least 0"
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        if positive and array[place] > 0 and np.isfinite(array[place]):
            allowed += f" as a normal {array.dtype}"
        where = f" at index {place}" if place else ""
        far = beyond(array[place])
        raise ValueError(f"{name} must be {allowed}, got {array[place]}{where}{far}")


def beyond(value: Any) -> str:
    """What to add of a float32 that is infinite: the number that was given may not be."""
    infinite = value.dtype == np.float32 and np.isinf(value)
    return "; as a float32 a number beyond 3.4e38 is infinite" if infinite else ""


def real_array(name: str, value: Any, *, boolean: bool = False) -> np.ndarray:
    """Return a NumPy array of floats or integers, JAX's own (bfloat16, ...) included.

    With `boolean`, one of True and False too.
    """
    array = _array(name, value)
    if boolean and array.dtype == bool:
        return array
    numbers = jnp.issubdtype(array.dtype, jnp.floating) | jnp.issubdtype(array.dtype, jnp.integer)
    if not numbers or array.dtype.kind == "m":  # a duration is an integer to NumPy
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def data_array(name: str, value: Any) -> np.ndarray:
    """Return examples as a float32 NumPy array [N, D], or raise what is wrong with them."""
    array = real_array(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} must have the shape [N, D] (rank 2), got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got the shape {array.shape}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, refused just below
        array = array.astype(np.float32)
    finite_array(name, array)
    return array


def label_array(
    name: str,
    value: Any,
    examples: int,
    categories: int | None = None,
    *,
    missing: bool = False,
) -> np.ndarray:
    """Return labels as an int32 NumPy array [N] in [0, categories), or raise what is wrong.

    With `missing`, -1 is allowed too.
    """
    array = _array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have the shape [N] (rank 1), got {array.shape}")
    if len(array) != examples:
        raise ValueError(
            f"{name} must have one label for each of {examples} examples, got {len(array)}"
        )
    top = np.iinfo(np.int32).max if categories is None else categories - 1
    bad = (array < (-1 if missing else 0)) | (array > top)
    if bad.any():
        place = int(np.argmax(bad))
        allowed = "at least 0" if categories is None else f"from 0 to {top}"
        hint = "; -1 stands for a missing label" if missing else ""
        raise ValueError(f"{name} must be {allowed}, got {array[place]} at index {place}{hint}")
    return array.astype(np.int32)


def weight_array(
    name: str, value: Any, examples: int, *, dtype: Any = np.float64, all_zero: bool = False
) -> np.ndarray:
    """Return examples' weights as a NumPy array [N], or raise what is wrong with them."""
    array = real_array(name, value)
    if array.shape != (examples,):
        raise ValueError(
            f"{name} must have one weight for each of {examples} examples, the shape "
            f"({examples},), got {array.shape}"
        )
    with np.errstate(over="ignore"):  # as in `data_array`
        array = array.astype(dtype)
    finite_array(name, array, nonnegative=True)
    if not (all_zero or array.any()):
        raise ValueError(f"{name} must not be all zero, got {examples} zeros")
    return array


def _array(name: str, value: Any) -> np.ndarray:
    if np.ma.is_masked(value):  # `asarray` would take what lies under the mask
        raise ValueError(f"{name} must have no masked values, got {np.ma.count_masked(value)}")
    if value is None or (callable(value) and not hasattr(value, "__array__")):
        raise TypeError(f"{name} must be an array, got {_show(value)}")
    try:
        return np.asarray(jax.device_get(value) if isinstance(value, jax.Array) else value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array, got rows that differ: {error}; several arrays are a dict of "
            f"them, and batches come from a function: lambda: iter(batches)"
        ) from None


def floating_dtype(name: str, value: Any) -> Any:
    """Return a dtype of floats, or None as it is; or raise."""
    if value is None:
        return None
    try:
        found = jnp.dtype(value)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise TypeError(f"{name} must be a dtype of floats or None, got {_show(value)}")
    return value


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _show(value: Any) -> str:
    """A short repr, so that a large array does not become the error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
