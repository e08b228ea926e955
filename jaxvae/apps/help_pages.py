"""The pages of `jaxvae COMMAND --help`, made from the command's dataclass.

The texts are the docstrings below its fields, which the parser, tyro, shows beside its errors too.
An option without a default says in its text what holds where it is left out.
"""

import ast
import dataclasses
import inspect
import itertools
import shutil
import textwrap
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from jaxvae._output import WIDTH

# How the options of `jaxvae train` are listed: in each section first what most people need.
SECTIONS = {
    "Data": ("data", "label", "dataset", "data_dir", "kind", "scale", "missing"),
    "Reading your data": ("ids", "leave_out", "text", "words", "layer", "image_size"),
    "Model": (
        "model", "latent_dim", "style_dim", "likelihood", "likelihood_scale", "objective",
        "kl_weight", "category_kl_weight",
    ),
    "Prior": ("prior", "smoothness", "total_concentration", "prior_concentration",
              "prior_variance"),
    "Network": ("network", "layers", "hidden_units", "channels", "activation", "head",
                "concentration_floor", "decoder", "dropout"),
    "Training": (
        "epochs", "batch_size", "learning_rate", "momentum", "schedule", "warmup_epochs",
        "clip_norm", "average", "final_rounds", "label_weight", "on_non_finite", "seed", "seeds",
    ),
    "Early stopping": ("hold_out", "patience"),
    "Devices and hosts": ("devices", "distributed"),
    "Output": ("out", "quiet", "resume", "checkpoint_every"),
}  # fmt: skip
INDENT = " " * 6  # of the text about an option
METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}


def page(name: str, command: Any) -> str:
    """The help of a command.

    Args:
      name: as it is typed after `jaxvae`.
      command: its dataclass. The docstring says what it does; each field is an option, or an
        argument where its type is `tyro.conf.Positional`. It may have `EXAMPLES`, pairs of a
        command line and what it does; and `SECTIONS`, the names of its options by the title under
        which they stand. What is not named there comes last.

    Returns:
      The text, its lines at most 80 columns wide, or as wide as a narrower terminal.

    Example:
      >>> @dataclasses.dataclass
      ... class Hello:
      ...     '''Say hello.'''
      ...
      ...     name: str
      >>> print(page("hello", Hello))
      usage: jaxvae hello [options]
      <BLANKLINE>
      Say hello.
      <BLANKLINE>
      Options:
        --name TEXT
    """
    width = max(40, min(WIDTH, shutil.get_terminal_size().columns))
    hints = typing.get_type_hints(command, include_extras=True)
    texts = field_texts(command)
    fields = {field.name: field for field in dataclasses.fields(command)}
    positional = [field for field in fields if is_positional(hints[field])]
    named = {title: list(names) for title, names in getattr(command, "SECTIONS", {}).items()}
    known = {*positional, *itertools.chain.from_iterable(named.values())}
    rest = [field for field in fields if field not in known]
    inherited = fields.keys() - inspect.get_annotations(command).keys()
    rest.sort(key=inherited.__contains__)  # what is the command's own comes first
    titles = {"Arguments": positional, **named, ("More" if named else "Options"): rest}
    metavars = [value_name(hints[field]) for field in positional]
    lines = [" ".join(["usage: jaxvae", name, *metavars, "[options]"]), ""]
    about = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    lines += [*textwrap.wrap(" ".join(about[0].split()), width), ""]
    lines += _examples(getattr(command, "EXAMPLES", ()), width)
    for title, names in titles.items():
        if own := [field for field in names if field in fields]:
            lines.append(f"{title}:")
            for field in own:
                lines += _entry(fields[field], hints[field], texts.get(field, ""), width)
            lines.append("")
    return "\n".join(lines).rstrip()


def field_texts(command: type[Any]) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, those that it inherits too.

    Args:
      command: the dataclass; its source must be at hand.

    Returns:
      By the name of the field, each in one line.
    """
    texts: dict[str, str] = {}
    for cls in reversed(command.__mro__):
        if dataclasses.is_dataclass(cls):
            try:
                source = inspect.getsource(cls)
            except (OSError, TypeError):  # made where there is no file
                continue
            (tree,) = ast.parse(textwrap.dedent(source)).body
            assert isinstance(tree, ast.ClassDef)
            for field, text in zip(tree.body, tree.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    texts[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return texts


def _examples(examples: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Command lines, and what each does: beside them where there is room, else below."""
    if not examples:
        return []
    longest, text = (max(map(len, column)) for column in zip(*examples, strict=True))
    between = f"\n{INDENT}" if longest + text + 4 > width else "  "
    room = longest if between == "  " else 0
    return ["Examples:", *(f"  {line:{room}}{between}{does}" for line, does in examples), ""]


def _entry(field: dataclasses.Field[Any], hint: Any, text: str, width: int) -> list[str]:
    """An option with what it takes, and below it what it is."""
    is_option, metavar = not is_positional(hint), value_name(hint)
    head = f"--{field.name.replace('_', '-')} {metavar}" if is_option else metavar
    default = field.default
    named = "Default:" in text or any(default is it for it in (None, False, dataclasses.MISSING))
    if is_option and not named and default != ():
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else f"{default}"
        text = f"{text} Default: {shown}.".strip()
    head = head.rstrip()
    lines = textwrap.wrap(
        head.replace(",", ", ") if len(head) > width - 2 else head,
        width,
        initial_indent="  ",
        subsequent_indent=INDENT,
        break_on_hyphens=False,
    )
    return lines + textwrap.wrap(
        text, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    )


def is_positional(hint: Any) -> bool:
    """Whether tyro takes a value by its place: `Positional` is an annotation with a marker.

    Args:
      hint: the annotation of a field.

    Returns:
      Whether it does.
    """
    import tyro

    marker = typing.get_args(tyro.conf.Positional[int])[1:]
    return any(part in marker for part in getattr(hint, "__metadata__", ()))


def value_name(hint: Any) -> str:
    """What stands for a value in the help: by its annotation, or by its type.

    Args:
      hint: the annotation of a field.

    Returns:
      One word or more; of what is yes or no none.
    """
    if typing.get_origin(hint) is Annotated:
        kind, *notes = typing.get_args(hint)
        named = [own for note in notes if (own := getattr(note, "metavar", None))]
        return named[0] if named else value_name(kind)
    kind, args = typing.get_origin(hint), typing.get_args(hint)
    if kind in (Union, types.UnionType):
        return value_name(next(arg for arg in args if arg is not type(None)))
    if kind is Literal:
        return "{" + ",".join(map(str, args)) + "}"
    if kind is tuple:
        names = [value_name(arg) for arg in args if arg is not ...]
        return " ".join(names) + (" ..." if ... in args else "")
    return "" if hint is bool else METAVARS[hint]
