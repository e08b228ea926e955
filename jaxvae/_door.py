"""The doors: modules at the top of the package that name what lies in its folders."""

from collections.abc import Callable
from typing import TypeVar

Class = TypeVar("Class", bound=type)


def door(name: str) -> Callable[[Class], Class]:
    """Let a public class call the door its module: a pickle then outlives a move in the house."""

    def say(cls: Class) -> Class:
        cls.__module__ = f"jaxvae.{name}"
        return cls

    return say
