"""What is wrong with the arguments of a command, in words: the parser's own are of its insides."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union

from jaxvae.apps.help_pages import is_positional, value_name

WORDS = {int: "a whole number", float: "a number"}


class UsageError(ValueError):
    """Arguments that a command does not have. The exit status is 2."""


class _Takes(NamedTuple):
    """What an option takes: how many values, of which kind, and whether "None" is one."""

    kind: Any
    most: int | None  # None: any number
    nullable: bool


def check(name: str, command: Any, arguments: Sequence[str]) -> None:
    """Refuse arguments that a command does not have.

    Args:
      name: of the command.
      command: its dataclass.
      arguments: those after the name.

    Raises:
      UsageError: the option is named, what it must be, and what it got.

    Example:
      >>> @dataclasses.dataclass
      ... class Hello:
      ...     times: int = 1
      >>> check("hello", Hello, ["--times", "1.5"])
      Traceback (most recent call last):
      jaxvae.apps.wrong_usage.UsageError: --times must be a whole number, got 1.5
    """
    hints = typing.get_type_hints(command, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(command)}
    places = [field for field in fields if is_positional(hints[field])]
    options = {field: _takes(hints[field]) for field in fields if field not in places}
    alone: list[tuple[str, str]] = []  # what is no option's value, and what is said of it
    place = 0
    while place < len(arguments):
        word, place = arguments[place], place + 1
        if not is_flag(word):
            alone.append((word, ""))
            continue
        flag, has_value, value = word.partition("=")
        takes = options.get(_field(flag, options))
        if takes is None:
            raise UsageError(_unknown(name, flag, options))
        if takes.kind is bool:
            continue
        end = place
        while end < len(arguments) and not is_flag(arguments[end]):
            end += 1
        found = [value] if has_value else list(arguments[place:end])
        rest = _check_values(flag, takes, found)
        told = f"{flag} must be {_many(takes.most)}, got {' '.join(found)}"
        alone += [(one, told) for one in rest]
        place = place if has_value else end
    _check_places(name, [(field, fields[field], hints[field]) for field in places], alone)


def _check_values(flag: str, takes: _Takes, values: list[str]) -> list[str]:
    """Check the values of an option, and return those that are no longer its own."""
    if takes.nullable and values[:1] == ["None"]:
        return values[1:]
    if len(values) < (takes.most or 1):
        what = _what(takes.kind) if takes.most in (1, None) else _many(takes.most)
        got = f"got {' '.join(values)}" if values else "got none"
        raise UsageError(f"{flag} must be {what}, {got}")
    own = values[: takes.most]
    for value in own:
        if not _fits(takes.kind, value):
            raise UsageError(f"{flag} must be {_what(takes.kind)}, got {value}")
    return values[len(own) :]


def _check_places(
    name: str,
    places: list[tuple[str, dataclasses.Field[Any], Any]],
    alone: list[tuple[str, str]],
) -> None:
    """Check how many arguments there are that belong to no option."""
    names = [value_name(hint) for _, _, hint in places]
    needed = [
        shown
        for shown, (_, field, hint) in zip(names, places, strict=True)
        if field.default is dataclasses.MISSING and _takes(hint).most is not None
    ]
    usage = " ".join(["jaxvae", name, *names, "[options]"])
    if len(alone) < len(needed):
        raise UsageError(f"{needed[len(alone)]} must be given: {usage}")
    if any(_takes(hint).most is None for _, _, hint in places) or len(alone) <= len(places):
        return
    told = next((text for _, text in alone if text), None)
    word = alone[len(places)][0]
    raise UsageError(told or f"{word} must be left out, or be an option's value: {usage}")


def _takes(hint: Any) -> _Takes:
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    nullable = False
    if typing.get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        nullable, hint = len(kinds) < len(typing.get_args(hint)), kinds[0]
    if typing.get_origin(hint) is not tuple:
        return _Takes(hint, 1, nullable)
    kinds = list(typing.get_args(hint))
    return _Takes(kinds[0], None if ... in kinds else len(kinds), nullable)


def _fits(kind: Any, value: str) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in map(str, typing.get_args(kind))
    if kind not in WORDS:
        return True
    try:
        kind(value)
    except ValueError:
        return False
    return True


def _what(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    return WORDS.get(kind, "a value")


def _many(count: int | None) -> str:
    return {1: "one value", 2: "two values"}.get(count or 0, f"{count} values")


def _field(flag: str, options: dict[str, _Takes]) -> str:
    """The name of an option's field; of one that is yes or no also where it is negated."""
    name = flag.removeprefix("--").replace("-", "_")
    other = name.removeprefix("no_")
    return other if name not in options and options.get(other, _NONE).kind is bool else name


_NONE = _Takes(None, None, False)


def _unknown(name: str, flag: str, options: dict[str, _Takes]) -> str:
    known = [f"--{option.replace('_', '-')}" for option in options]
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.75)
    hint = f"; did you mean {close[0]}?" if close else f"; jaxvae {name} --help lists them"
    return f"{flag} must be an option of jaxvae {name}{hint}"


def is_flag(word: str) -> bool:
    """Whether a word is an option; neither a negative number nor a dash alone is one.

    Args:
      word: of the command line.

    Returns:
      Whether it is.

    Example:
      >>> [is_flag(word) for word in ("--seed", "-h", "-1e-3", "-", "mnist")]
      [True, True, False, False, False]
    """
    try:
        float(word)
    except ValueError:
        return word.startswith("-") and len(word) > 1
    return False
