"""Values as JSON and back, by the public constructors and the arguments that made them.

A file names what it needs: `priors.symmetric`, `jax.nn.relu`, or what the user registered. Nothing
else can be made of it, so that a file from anywhere runs no code but this library's.
"""

import base64
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.model.modules import Module
from jaxvae.model.public_names import is_value, maker, name_of, named
from jaxvae.model.values import Recipe, recipe_of

SCHEDULED = "kl_weight"  # the argument that may be a schedule


# --- to JSON


def to_json(value: Any, name: str = "model") -> Any:
    """A value as what JSON holds.

    A KL weight that is a schedule is written as 1, for which it stands outside of training.

    Args:
      value: of the public modules, as `priors.symmetric(0.5)`, a Flax module of jaxvae's, Flax's or
        a registered class; or numbers, strings, arrays, lists, tuples and dicts, of these too.
      name: what to call it in an error.

    Returns:
      JSON's own values, all of which `from_json` reads.

    Raises:
      TypeError: if something in it has no name, as a function of the user's; it is named.

    Example:
      >>> from jaxvae import priors
      >>> to_json(priors.symmetric(0.5))
      {'make': 'priors.symmetric', 'with': {'concentration': 0.5}}
    """
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, str):
        return str(value)
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is list:
        return [to_json(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if type(value) is tuple:
        return {"tuple": [to_json(item, f"{name}[{i}]") for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        pairs = ((to_json(key, name), to_json(v, f"{name}[{key!r}]")) for key, v in value.items())
        return {"dict": [list(pair) for pair in pairs]}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _array_to_json(value, name)
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    if (own := name_of(value)) is not None:
        return {"name": own}
    if isinstance(value, functools.partial):
        return {
            "partial": to_json(value.func, name),
            "args": [to_json(item, name) for item in value.args],
            "with": {
                key: to_json(item, f"{key} of {name}") for key, item in value.keywords.items()
            },
        }
    if is_value(value):
        return _value_to_json(value, name)
    if isinstance(value, Module):
        return _module_to_json(value, name)
    if callable(value):
        raise _nameless(name, "function", value)
    raise TypeError(f"{name} must be a number, a text, an array or a value of jaxvae to be saved, "
                    f"got {value!r}")  # fmt: skip


def _nameless(name: str, what: str, value: Any) -> TypeError:
    return TypeError(
        f"{name} must be registered to be saved, `jaxvae.register(name, {what})`, or save the "
        f"parameters alone, got {value!r}"
    )


def _value_to_json(value: Any, name: str) -> Any:
    recipe = recipe_of(value)
    if recipe is None:  # made by hand, of functions that have names
        return _call_to_json(name, type(value), value._asdict(), value._field_defaults)
    if not _made_so(value, recipe):
        raise TypeError(f"{name} must be as {recipe.constructor.__name__} made it to be saved, "
                        f"got one with a function replaced")  # fmt: skip
    parameters = inspect.signature(recipe.constructor).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    arguments = dict(recipe.arguments)
    if SCHEDULED in arguments:
        arguments[SCHEDULED] = _unscheduled(arguments[SCHEDULED])
    return _call_to_json(name, recipe.constructor, arguments, defaults)


def _made_so(value: Any, recipe: Recipe) -> bool:
    try:
        return type(recipe.value) is type(value) and bool(recipe.value == value)
    except ValueError:  # of arrays that a field was replaced with
        return False


def _unscheduled(weight: Any) -> Any:
    if isinstance(weight, Mapping):
        return {part: _unscheduled(one) for part, one in weight.items()}
    return 1.0 if callable(weight) and name_of(weight) is None else weight


def _module_to_json(module: Any, name: str) -> Any:
    fields = [field for field in dataclasses.fields(module) if field.name != "parent"]
    arguments = {field.name: getattr(module, field.name) for field in fields}
    if arguments["name"] is None:
        del arguments["name"]
    return _call_to_json(name, type(module), arguments, {f.name: f.default for f in fields})


def _call_to_json(
    name: str, constructor: Any, arguments: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Any:
    """A default without a name is left out; any other default is written, for it may change."""
    if (own := name_of(constructor)) is None:
        raise _nameless(name, constructor.__name__, constructor)

    def is_left_out(key: str, item: Any) -> bool:
        return callable(item) and item is defaults.get(key) and name_of(item) is None

    given = {
        key: to_json(item, f"{key} of {constructor.__name__}")
        for key, item in arguments.items()
        if not is_left_out(key, item)
    }
    return {"make": own, "with": given}


def _array_to_json(array: Any, name: str) -> Any:
    if isinstance(array, jax.core.Tracer):
        raise TypeError(f"{name} must be known to be saved, got {array!r} inside compiled code")
    if not _is_number(array.dtype):
        raise TypeError(f"{name} must hold numbers to be saved, got dtype {array.dtype}")
    kind = "jax" if isinstance(array, jax.Array) else "numpy"
    own = np.asarray(array)
    return {
        "array": base64.b64encode(own.tobytes()).decode(),
        "dtype": own.dtype.name if np.dtype(own.dtype.name) == own.dtype else own.dtype.str,
        "shape": list(own.shape),
        "of": "scalar" if isinstance(array, np.generic) else kind,
    }


def _is_number(dtype: Any) -> bool:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.extended):
        return False
    number = jnp.issubdtype(dtype, jnp.number) and np.dtype(dtype).kind != "m"
    return bool(number or np.dtype(dtype) == np.dtype(bool))


# --- from JSON


def from_json(value: Any) -> Any:
    """Read what `to_json` gave.

    Args:
      value: JSON's own values, from anywhere.

    Returns:
      A value equal to the one that was written.

    Raises:
      ValueError: if it names what is neither public nor registered, or is of another form.

    Example:
      >>> from jaxvae import priors
      >>> from_json({"make": "priors.symmetric", "with": {"concentration": 0.5}})._fields[:2]
      ('init', 'log_prob')
      >>> from_json({"make": "os.system", "with": {"command": "ls"}})  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      ValueError: name must be public in jaxvae, or registered ... got 'os.system'
    """
    try:
        return _read(value)
    except RecursionError:
        raise ValueError("a saved value must not be nested so deeply") from None


def _read(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_read(item) for item in value]
    if isinstance(value, Mapping) and (form := _FORMS.get(frozenset(value))) is not None:
        return form(**{_FIELDS.get(key, str(key)): item for key, item in value.items()})
    got = ", ".join(map(repr, value)) if isinstance(value, Mapping) else repr(value)
    raise ValueError(f"a saved value must be of a known form, got {got}")


def _must(right: bool, what: str, value: Any) -> None:
    if not right:
        raise ValueError(f"{what}, got {value!r}")


def _read_make(make: Any, arguments: Any) -> Any:
    constructor, given = maker(make), _keywords(arguments)
    try:
        return constructor(**given)
    except RecursionError:
        raise
    except Exception as error:  # whatever a constructor makes of arguments of the wrong kinds
        raise ValueError(f"{make}: {error}") from None


def _read_partial(function: Any, args: Any, arguments: Any) -> Any:
    own = _read(function)
    _must(callable(own), "partial must be of a function", own)
    _must(isinstance(args, list), "args must be a list", args)
    return functools.partial(own, *_read(args), **_keywords(arguments))


def _keywords(arguments: Any) -> dict[str, Any]:
    _must(isinstance(arguments, Mapping), "with must hold arguments by name", arguments)
    return {name: _read(item) for name, item in arguments.items()}


def _read_tuple(items: Any) -> Any:
    _must(isinstance(items, list), "tuple must be a list", items)
    return tuple(_read(items))


def _read_dict(pairs: Any) -> Any:
    whole = isinstance(pairs, list) and all(isinstance(p, list) and len(p) == 2 for p in pairs)
    _must(whole, "dict must be a list of pairs", pairs)
    try:
        return {_read(key): _read(item) for key, item in pairs}
    except TypeError:
        raise ValueError(f"dict must have keys that can be hashed, got {pairs!r}") from None


def _read_float(text: Any) -> float:
    _must(text in ("nan", "inf", "-inf"), "float must be nan, inf or -inf", text)
    return float(text)


def _read_dtype(dtype: Any) -> np.dtype:
    try:
        own = np.dtype(dtype) if isinstance(dtype, str) else None
    except (TypeError, ValueError):
        own = None
    _must(own is not None and _is_number(own), "dtype must name one of numbers", dtype)
    assert own is not None
    return own


def _read_array(array: Any, dtype: Any, shape: Any, of: Any) -> Any:
    own = _read_dtype(dtype)
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    _must(whole, "shape must be a list of sizes", shape)
    _must(of in ("numpy", "jax", "scalar"), "of must be numpy, jax or scalar", of)
    try:
        content = base64.b64decode(array, validate=True)
    except (ValueError, TypeError):
        raise ValueError("array must be in base 64") from None
    size = math.prod(shape) * own.itemsize
    _must(len(content) == size, f"array must have {size} bytes for its shape", len(content))
    made = np.frombuffer(content, own).reshape(shape).copy()
    if of != "jax":
        return made[()] if of == "scalar" else made
    _must(jax.dtypes.canonicalize_dtype(own) == own, "dtype must be one of JAX as it is set", dtype)
    return jnp.asarray(made)


_FIELDS = {"with": "arguments", "partial": "function", "tuple": "items", "dict": "pairs",
           "float": "text"}  # fmt: skip
_FORMS: dict[frozenset[str], Callable[..., Any]] = {
    frozenset({"name"}): named,
    frozenset({"make", "with"}): _read_make,
    frozenset({"partial", "args", "with"}): _read_partial,
    frozenset({"tuple"}): _read_tuple,
    frozenset({"dict"}): _read_dict,
    frozenset({"float"}): _read_float,
    frozenset({"dtype"}): _read_dtype,
    frozenset({"array", "dtype", "shape", "of"}): _read_array,
}
