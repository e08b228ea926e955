"""What a value was made of, in words that are the same in each process.

A run that goes on must be of the model and the optimizer that it began with. Arrays of the same
shapes do not say so; what made them does.
"""

import dataclasses
import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxvae.model.values import Part, Recipe, content_of, recipe_of

LIBRARIES = ("jaxvae", "optax", "jax", "flax", "numpy", "functools")  # their closures are told
MOST_LINES = 5000
CODE = "#code"  # ends the line of a function's code, which another version of Python changes


def describe(value: Any) -> str:
    """What a value was made of: constructors, arguments, modules' fields, functions' closures.

    Args:
      value: a model, an optimizer, or anything else.

    Returns:
      A line for each part, `path: text`; arrays and code by their digests. What differs from
      process to process, and functions that the user defined inside of others, are left out.

    Example:
      >>> from jaxvae import objectives
      >>> print(describe(objectives.elbo(2.0)))
      : jaxvae.model.objectives.elbo
      kl_weight: 2.0
      free_bits: 0.0
      draws: 1
      gradient: 'pathwise'
    """
    return "\n".join(f"{path}: {text}" for path, text in described(value).items())


def described(value: Any) -> dict[str, str]:
    """`describe` as a dict.

    Args:
      value: anything.

    Returns:
      Texts by path, in order.

    Example:
      >>> described((1, "a"))
      {'': 'tuple of 2', '0': '1', '1': "'a'"}
    """
    lines: dict[str, str] = {}
    for path, text in _lines(value, "", frozenset()):
        lines.setdefault(path, text)
        if len(lines) >= MOST_LINES:
            break
    return lines


def _lines(value: Any, path: str, seen: frozenset[int]) -> Iterator[tuple[str, str]]:
    if isinstance(value, jax.core.Tracer):
        return
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield path, repr(value)
    elif isinstance(value, np.ndarray | np.generic | jax.Array):
        yield path, _array(value)
    elif id(value) not in seen:
        yield from _parts(value, path, seen | {id(value)})


def _parts(value: Any, path: str, seen: frozenset[int]) -> Iterator[tuple[str, str]]:
    """The lines of what is no number, text or array."""
    if isinstance(value, Recipe):
        yield path, _name(value.constructor)
        yield from _each(value.arguments, path, seen)
    elif isinstance(value, Part):
        yield from _lines(value.recipe, path, seen)
        yield _under(path, "function"), value.name
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from _record(value, path, seen)
    elif isinstance(value, Mapping):
        yield path, _name(type(value))
        yield from _each(value, path, seen)
    elif isinstance(value, tuple | list):
        yield path, f"{_name(type(value))} of {len(value)}"
        yield from _each(dict(enumerate(value)), path, seen)
    elif isinstance(value, functools.partial):
        yield from _each({"partial": value.func}, path, seen)
        yield from _each(dict(enumerate(value.args)) | value.keywords, path, seen)
    elif isinstance(value, types.MethodType):
        yield from _each({"method": value.__func__, "of": value.__self__}, path, seen)
    elif isinstance(value, types.FunctionType):
        yield from _function(value, path, seen)
    elif isinstance(value, types.ModuleType):
        yield path, value.__name__
    elif isinstance(value, type):
        yield path, _name(value)
    elif dataclasses.is_dataclass(value):
        yield path, _name(type(value))
        fields = [field.name for field in dataclasses.fields(value) if field.name != "parent"]
        yield from _each({name: getattr(value, name, None) for name in fields}, path, seen)
    elif isinstance(wrapped := getattr(value, "__wrapped__", None), types.FunctionType):
        yield from _lines(wrapped, path, seen)
    elif isinstance(getattr(value, "__name__", None), str):  # built in
        yield path, _name(value)
    else:
        yield path, _name(type(value))
        if _library(type(value)) == "optax":  # as `MultiSteps`, an object of functions
            yield from _each(vars(value), path, seen)


def _record(value: Any, path: str, seen: frozenset[int]) -> Iterator[tuple[str, str]]:
    """A NamedTuple: by what made it, and what was replaced in it since."""
    fields = value._asdict()
    recipe = recipe_of(value)
    if recipe is None:
        yield path, _name(type(value))
        yield from _each(fields, path, seen)
        return
    yield from _lines(recipe, path, seen)
    made = recipe.value
    if type(made) is type(value):
        changed = {n: f for n, f in fields.items() if not _same(f, getattr(made, n))}
        yield from _each(changed, path, seen)


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # as of arrays
        return False


def _function(value: types.FunctionType, path: str, seen: frozenset[int]) -> Any:
    if "<" in value.__qualname__ and _library(value) not in LIBRARIES:
        return  # the user's own: what it holds may be anything, a counter even
    yield path, _name(value)
    yield path + CODE, _digest(_code(value.__code__))
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    yield from _each({name: content_of(cell) for name, cell in cells}, path, seen)
    defaults = dict(enumerate(value.__defaults__ or ())) | (value.__kwdefaults__ or {})
    yield from _each({f"default {name}": one for name, one in defaults.items()}, path, seen)


def _each(parts: Mapping[Any, Any], path: str, seen: frozenset[int]) -> Any:
    for name, part in parts.items():
        yield from _lines(part, _under(path, str(name)), seen)


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name(value: Any) -> str:
    module = getattr(value, "__module__", None)
    name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    # A script's own functions are those of a module where it is imported.
    return f"{module}.{name}" if module not in (None, "builtins", "__main__") else name


def _library(value: Any) -> str:
    return (getattr(value, "__module__", None) or "").partition(".")[0]


def _array(value: Any) -> str:
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    shape = ", ".join(map(str, array.shape))
    text = f"{array.dtype.name} [{shape}]"
    if array.size == 1:
        return f"{text} {array.reshape(())[()]}"
    return f"{text} {_digest(array.tobytes())}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _code(code: types.CodeType) -> bytes:
    """What a code object does: without file names and lines."""
    constants = map(_constant, code.co_consts)
    return b"|".join([code.co_code, repr(code.co_names).encode(), *constants])


def _constant(value: Any) -> bytes:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # its order is another in each process
        return repr(sorted(map(repr, value))).encode()
    return repr(value).encode()


def differences(theirs: Mapping[str, str], own: Mapping[str, str], *, strict: bool) -> list[str]:
    """Where two descriptions differ.

    Args:
      theirs: of `described`, before.
      own: of `described`, now.
      strict: whether both were made by the same versions of Python and of the libraries. Where
        not, only what both name is compared, and no code.

    Returns:
      For each difference a text that names it, `network.activation 'relu', got 'tanh'`.

    Example:
      >>> differences({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, strict=True)
      ['b 2, got 3']
    """
    if strict:
        paths = [*theirs, *(path for path in own if path not in theirs)]
    else:
        paths = [path for path in theirs if path in own and not path.endswith(CODE)]
    return [
        f"{path or 'its kind'} {theirs.get(path, 'absent')}, got {own.get(path, 'absent')}"
        for path in paths
        if theirs.get(path) != own.get(path)
    ]
