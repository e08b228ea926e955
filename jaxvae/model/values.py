"""Values that are equal by what made them, though they are made of functions.

`elbo(2.0)` made twice is two tuples of different closures. Here each function of such a tuple knows
the public constructor and the arguments that it came from: equality, hash and pickle go by these,
so that what was compiled for one serves the other, and a pickle holds no code.
"""

import copy
import dis
import functools
import hashlib
import importlib
import inspect
import pickle
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import numpy as np

P = ParamSpec("P")
Value = TypeVar("Value", bound=tuple)
CONSTRUCTORS: set[Callable[..., Any]] = set()  # all that `made_by` has decorated
LIBRARIES = {"jaxvae", "jax", "optax", "flax", "numpy", "chex"}  # whose globals do not change
DIGESTED = 4096  # bytes from which a key has an array's digest in place of it


class Recipe:
    """A constructor and its arguments; what they make is made when it is first needed."""

    def __init__(self, constructor: Callable[..., Any], arguments: dict[str, Any]):
        self.constructor, self.arguments = constructor, arguments

    @functools.cached_property
    def value(self) -> Any:
        return self.constructor(**self.arguments)

    @functools.cached_property
    def key(self) -> Hashable:
        return self.constructor, frozen(self.arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and (self is other or self.key == other.key)

    @functools.cached_property
    def number(self) -> int:
        """The hash of the key, taken once: a model is looked up at each call of a compiled step."""
        return hash(self.key)

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={_short(v)}" for name, v in self.arguments.items())
        return f"{self.constructor.__name__}({arguments})"

    def __reduce__(self) -> tuple[Any, ...]:
        for name, value in self.arguments.items():
            if (local := _local_function(value)) is not None:
                raise pickle.PicklingError(
                    f"{name} of {self.constructor.__name__} must be made of functions that a "
                    f"module defines to be pickled or saved, got {local!r}"
                )
        stored = {name: _by_name(value) for name, value in self.arguments.items()}
        return _recipe, (self.constructor, stored)


class _Named(NamedTuple):
    """A function of JAX's that a pickle cannot find by itself, as it is compiled."""

    module: str
    name: str


def _by_name(value: Any) -> Any:
    for module in (jax.nn, jax.numpy):
        name = getattr(value, "__name__", "")
        if callable(value) and name and getattr(module, name, None) is value:
            return _Named(module.__name__, name)
    return value


def _recipe(constructor: Callable[..., Any], stored: dict[str, Any]) -> Recipe:
    def found(value: Any) -> Any:
        if isinstance(value, _Named):
            return getattr(importlib.import_module(value.module), value.name)
        return value

    return Recipe(constructor, {name: found(value) for name, value in stored.items()})


class Part:
    """One function of a value: called as itself, equal to the same one of an equal recipe."""

    def __init__(self, recipe: Recipe, name: str, function: Callable[..., Any]):
        self.recipe, self.name, self.__wrapped__ = recipe, name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and (self.name, self.recipe) == (other.name, other.recipe)

    def __hash__(self) -> int:
        return hash((self.recipe, self.name))

    def __repr__(self) -> str:
        return f"{self.recipe!r}.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _part_of, (self.recipe, self.name)

    def __copy__(self) -> "Part":
        return self

    def __deepcopy__(self, memo: Any) -> "Part":
        return self  # nothing in it changes


def _part_of(recipe: Recipe, name: str) -> Any:
    field, *places = name.split(".")
    found = getattr(recipe.value, field)
    for place in places:
        found = found[int(place)]
    return found


def recipe_of(value: Any) -> Recipe | None:
    """What made a value.

    Args:
      value: a NamedTuple of functions, or one of its functions.

    Returns:
      The recipe; None where no constructor of a module made it.

    Example:
      >>> from jaxvae import objectives
      >>> recipe_of(objectives.elbo(2.0)).arguments["kl_weight"], recipe_of(print)
      (2.0, None)
    """
    functions = value if isinstance(value, tuple) else (value,)
    return next((own.recipe for own in functions if isinstance(own, Part)), None)


def made_by(constructor: Callable[P, Value]) -> Callable[P, Value]:
    """Let what a public constructor makes be equal, hashable and picklable by its arguments.

    Args:
      constructor: a function of a module that returns a NamedTuple of functions.

    Returns:
      The same function; each function of its result is a `Part`.
    """
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def make(*args: P.args, **kwargs: P.kwargs) -> Value:
        made = constructor(*args, **kwargs)  # a wrong call gets Python's own error, from here
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _with_parts(made, Recipe(make, _flat(bound)))

    CONSTRUCTORS.add(make)
    return make


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    # Copies of what its owner may change before it is looked at.
    arguments = {
        name: copy.copy(value) if isinstance(value, dict | list) else value
        for name, value in bound.arguments.items()
    }
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name)
    return arguments


def _with_parts(made: Value, recipe: Recipe) -> Value:
    def part(name: str, field: Any) -> Any:
        if type(field) is tuple:
            return tuple(part(f"{name}.{place}", item) for place, item in enumerate(field))
        if isinstance(field, Part):  # of a value that this one is made of: now known by this one
            field = field.__wrapped__
        plain = isinstance(field, types.FunctionType | functools.partial)
        return Part(recipe, name, field) if plain else field

    fields = made._asdict().items()  # type: ignore[attr-defined]
    return type(made)(**{name: part(name, field) for name, field in fields})


class Same:
    """A value as a key of a cache: equal to what is made of equal code and equal values.

    Optax's transformations are closures, equal to themselves alone.
    """

    def __init__(self, value: Any):
        self.value, self.key = value, frozen(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def frozen(value: Any, seen: frozenset[int] = frozenset()) -> Hashable:
    """A hashable that is equal for what is equal: containers and arrays by content, functions by
    code, defaults, what they close over and the globals that they read, anything else by its own
    equality or by identity.

    Args:
      value: anything.
      seen: the containers and functions on the way to it; one that holds itself ends there.

    Returns:
      The key.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), value
    if isinstance(value, jax.core.Tracer):
        return Identity(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            with jax.ensure_compile_time_eval():  # it may be looked at while something is traced
                value = jax.random.key_data(value)  # type: ignore[arg-type]
        array = np.asarray(value)
        content = array.tobytes()
        if len(content) > DIGESTED:  # a cache must not hold a data set that a function reads
            content = hashlib.blake2b(content).digest()
        return type(value).__name__, array.shape, array.dtype.str, content
    if id(value) in seen:
        return "itself"
    seen = seen | {id(value)}
    if isinstance(value, Mapping):
        pairs = ((frozen(name, seen), frozen(item, seen)) for name, item in value.items())
        return type(value), tuple(pairs)
    if isinstance(value, tuple | list):
        return type(value), tuple(frozen(item, seen) for item in value)
    if isinstance(value, functools.partial):
        return functools.partial, frozen((value.func, value.args, value.keywords), seen)
    if isinstance(value, types.MethodType):
        return types.MethodType, frozen((value.__func__, value.__self__), seen)
    if isinstance(value, types.FunctionType):
        cells = (content_of(cell) for cell in value.__closure__ or ())
        if (value.__module__ or "").startswith("optax."):
            # Its schedules make a float of their own integer when they are first called.
            cells = (float(own) if type(own) is int else own for own in cells)
        parts = (value.__defaults__, value.__kwdefaults__, tuple(cells))
        # A loop variable of a notebook is a global: functions of one code may read other values.
        read = _read(value)
        seen = seen | {id(own) for own in read.values() if isinstance(own, types.FunctionType)}
        others = tuple((name, _global(own, seen)) for (_, name), own in read.items())
        return value.__code__, id(value.__globals__), frozen(parts, seen), others
    if isinstance(value, types.CodeType | type | types.ModuleType):
        return value
    try:
        hash(value)
    except TypeError:
        return Identity(value)
    return value


def _global(value: Any, seen: frozenset[int]) -> Hashable:
    """A global's key; of a function without its own globals, which are read with the others."""
    if not isinstance(value, types.FunctionType):
        return frozen(value, seen)
    cells = tuple(map(content_of, value.__closure__ or ()))
    return value.__code__, frozen((value.__defaults__, value.__kwdefaults__, cells), seen)


def _read(function: types.FunctionType) -> dict[tuple[int, str], Any]:
    """The globals that a function reads, and those that the functions among them read.

    Args:
      function: any.

    Returns:
      The values, by module and name; of functions of a library none.
    """
    found: dict[tuple[int, str], Any] = {}
    left = [function]
    while left:
        own = left.pop()
        if (own.__module__ or "").partition(".")[0] in LIBRARIES:
            continue
        space = own.__globals__
        for name in _global_names(own.__code__):
            if name in space and (id(space), name) not in found:
                found[id(space), name] = space[name]
                if isinstance(space[name], types.FunctionType):
                    left.append(space[name])
    return found


@functools.lru_cache(maxsize=1024)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    names = {own.argval for own in dis.get_instructions(code) if own.opname == "LOAD_GLOBAL"}
    inner = (own for own in code.co_consts if isinstance(own, types.CodeType))
    return tuple(sorted(names.union(*map(_global_names, inner))))


class Identity:
    """Equal to that of the same object alone, which it keeps alive."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def content_of(cell: Any) -> Any:
    """What a closure holds.

    Args:
      cell: one of its cells.

    Returns:
      Its content; None where it is not filled yet.
    """
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _local_function(value: Any) -> Any:
    """A function in a value that no module defines, if there is one."""
    if isinstance(value, types.FunctionType):
        return value if "<" in value.__qualname__ else None
    if isinstance(value, functools.partial):
        return _local_function((value.func, *value.args, *value.keywords.values()))
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((found for item in value if (found := _local_function(item))), None)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
