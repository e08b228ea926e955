"""What `jaxvae` says of itself: its commands, its help, its version. It needs no other package.

`import jaxvae` brings JAX, which takes a second. Where all that is asked for is the help or the
version, the process that is the command line answers here and ends, before that import.
"""

import difflib
import sys
from typing import NamedTuple

from jaxvae import _failures, _output
from jaxvae._version import __version__


class Command(NamedTuple):
    """A command of `jaxvae`.

    Attributes:
      where: the module and the class of its options, as "jaxvae.apps.commands:Encode".
      does: what it does, in one line.
    """

    where: str
    does: str


# In the order in which one needs them.
COMMANDS = {
    "train": Command("jaxvae.apps.cli:Train", "Train a model on your data or on digits."),
    "evaluate": Command("jaxvae.apps.commands:Evaluate", "Measure a run on its test data."),
    "figures": Command("jaxvae.apps.commands:Figures", "Draw the pictures of a run again."),
    "explore": Command("jaxvae.apps.explore.command:Explore",
                       "Make an HTML page in which one walks through the latent."),
    "compare": Command("jaxvae.apps.compare:Compare", "Compare runs in a table and a picture."),
    "generate": Command("jaxvae.apps.commands:Generate", "Make new examples."),
    "interpolate": Command("jaxvae.apps.commands:Interpolate",
                           "Decode the way from one point of the latent to another."),
    "encode": Command("jaxvae.apps.commands:Encode", "Write z for each example of a file."),
    "export": Command("jaxvae.apps.export:Export",
                      "Write the model into one file that JAX reads alone."),
    "push": Command("jaxvae.apps.hub:Push", "Put the model on the Hugging Face Hub."),
}  # fmt: skip
HELP = """\
usage: jaxvae COMMAND [options]

Train variational autoencoders, and use what they have learned.

Commands:
{commands}

`jaxvae COMMAND --help` says more of a command. A run is the folder that
`jaxvae train` has written; the other commands take it.

Examples:
  jaxvae train --out runs/first        train on 8 x 8 images of digits
  jaxvae generate runs/first           draw new digits into generated.png
  jaxvae train --data iris.csv --label species --out runs/iris
                                       train on a table of your own
  jaxvae encode runs/iris iris.csv --out latents.csv
                                       write the latent of each of its rows
"""


def answer(argv: list[str]) -> tuple[str, int] | None:
    """The answer to arguments that need no command.

    Args:
      argv: those after the program's name.

    Returns:
      The text and the exit status: 0, or 2 for an error. None where a command is to be run.
    """
    first = argv[0] if argv else ""
    if first in ("-h", "--help"):
        return HELP.format(commands=_listed()).rstrip(), 0
    if first in ("-V", "--version"):
        return f"jaxvae {__version__}", 0
    if first in COMMANDS:
        return None
    if not argv:
        return HELP.format(commands=_listed()).rstrip(), 2
    text = f"jaxvae: error: command must be one of {', '.join(COMMANDS)}, got {first}"
    close = difflib.get_close_matches(first, COMMANDS, n=1)
    return (f"{text}; did you mean {close[0]}?" if close else text), 2


def say_answer(argv: list[str]) -> int | None:
    """Print the answer to arguments that need no command.

    Args:
      argv: those after the program's name.

    Returns:
      The exit status; None where a command is to be run.
    """
    if (found := answer(argv)) is None:
        return None
    text, status = found
    _output.say(text, error=status != 0)
    return status


def _listed() -> str:
    wide = max(map(len, COMMANDS))
    return "\n".join(f"  {name:{wide}}  {command.does}" for name, command in COMMANDS.items())


if _failures.is_command_line() and (_status := say_answer(sys.argv[1:])) is not None:
    sys.exit(_status)
