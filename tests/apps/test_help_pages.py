"""The help of the command line: whole, true, in 80 columns; and what is told of wrong usage."""

import dataclasses
import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
import tyro

import jaxvae
from jaxvae import _front
from jaxvae.apps import cli, help_pages

COMMANDS = {
    name: getattr(importlib.import_module(where), cls)
    for name, command in _front.COMMANDS.items()
    for where, cls in [command.where.split(":")]
}


@pytest.fixture(autouse=True)
def columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_and_80_columns(name, capsys):
    assert cli.main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert page.startswith(f"usage: jaxvae {name} ")
    assert "None" not in page  # which says nothing to a reader
    texts = help_pages.field_texts(COMMANDS[name])
    for field in dataclasses.fields(COMMANDS[name]):
        text = " ".join(texts[field.name].split())
        assert text in " ".join(page.split())
        assert text[0] == text.lstrip()[0]
        assert text.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines(name):
    """Their options are there, and their values are of the type."""
    for line, does in getattr(COMMANDS[name], "EXAMPLES", ()):
        program, command, *rest = shlex.split(line)
        assert (program, command) == ("jaxvae", name)
        assert cli._parsed(name, COMMANDS[name], rest)
        assert does == does.strip()


def test_the_examples_of_the_first_page():
    text, status = _front.answer(["--help"])
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.strip().partition("   ")[0] for line in text.splitlines()]
    lines = [shlex.split(line) for line in lines if line.startswith("jaxvae ")]
    assert len(lines) >= 3
    for _, command, *rest in lines:
        assert cli._parsed(command, COMMANDS[command], rest)


def test_each_option_of_train_stands_in_one_section():
    named = [name for names in help_pages.SECTIONS.values() for name in names]
    assert len(named) == len({*named})
    assert {*named} == {field.name for field in dataclasses.fields(cli.Train)}


@dataclasses.dataclass
class Everything:
    """Shows each
    kind of option.

    No more of this.
    """

    SECTIONS: ClassVar = {"First": ("number", "many")}
    EXAMPLES: ClassVar = (("jaxvae everything a", "one"), ("jaxvae everything b --flag", "two"))

    place: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="PLACE")]]
    """Where
    it is."""
    number: float | None = None
    """A number. Default: found out."""
    many: tuple[int, ...] = (1, 2)
    """Some numbers."""
    two: tuple[int, int] = (0, 0)
    """Two numbers."""
    choice: Literal["a", "b"] | None = "b"
    """One of them."""
    flag: bool = False
    """Whether it is so."""
    zero: int = 0


def test_a_page(monkeypatch):
    assert (
        help_pages.page("everything", Everything)
        == """\
usage: jaxvae everything PLACE [options]

Shows each kind of option.

Examples:
  jaxvae everything a         one
  jaxvae everything b --flag  two

Arguments:
  PLACE
      Where it is.

First:
  --number FLOAT
      A number. Default: found out.
  --many INT ...
      Some numbers. Default: 1 2.

More:
  --two INT INT
      Two numbers. Default: 0 0.
  --choice {a,b}
      One of them. Default: b.
  --flag
      Whether it is so.
  --zero INT
      Default: 0."""
    )
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, help_pages.page("train", cli.Train).splitlines())) <= 75  # of a choice


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("trian", 2, "got trian; did you mean train?"),
        ("nonsense", 2, "command must be one of train, evaluate, "),
        ("", 2, "usage: jaxvae COMMAND [options]"),
    ],
    ids=["near", "far", "none"],
)
def test_no_such_command(capsys, line, status, message):
    assert cli.main(line.split()) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxvae {jaxvae.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "out", "err", "status"),
    [
        (["--version"], "jaxvae 0.", "", 0),
        (["--help"], "usage: jaxvae COMMAND", "", 0),
        ([], "", "usage: jaxvae COMMAND", 2),
        (["trian"], "", "jaxvae: error: command must be one of", 2),
    ],
    ids=["version", "help", "nothing", "error"],
)
def test_what_needs_no_jax_is_told_before_its_import(tmp_path, argv, out, err, status):
    """A JAX that cannot be imported would else be told of."""
    (tmp_path / "jax.py").write_text("raise RuntimeError('imported')")
    root = Path(jaxvae.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "jaxvae", *argv],
        env=paths(tmp_path, root),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status
    assert done.stdout.startswith(out)
    assert done.stderr.startswith(err)
    assert "imported" not in done.stderr


def test_a_program_of_ones_own_is_not_answered(tmp_path):
    """Its arguments are its own, whatever they are."""
    own = tmp_path / "own.py"
    own.write_text("import jaxvae, sys\nprint(sys.argv[1:])")
    root = Path(jaxvae.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(own), "--help"],
        env=paths(root),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['--help']\n"


def paths(*folders):
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
