"""`jaxvae explore`: the command."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jaxvae._output import say_made
from jaxvae.apps import outputs
from jaxvae.apps.commands import OnData


@dataclass(frozen=True)
class Explore(OnData):
    """Make one HTML page in which one drags a point through the latent space of a run and sees at
    once what the point decodes to, and which test examples lie near it. The page needs no server
    and no network. Where the run's data cannot be read, the page holds no examples."""

    EXAMPLES: ClassVar = (
        ("jaxvae explore runs/first", "into explore.html, for any browser"),
        ("jaxvae explore runs/iris --out iris.html", "into a file of another name"),
    )

    out: Path | None = None
    """The new file, an .html. Default: explore.html, or where that exists explore-2.html."""
    without_examples: bool = False
    """Leave the test examples out of the page, as before it goes to people who may not see them."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """Print the name of the file and nothing else."""

    def run(self) -> int:
        def write(path: Path) -> None:
            from jaxvae.apps.explore import page  # other commands need none of it

            made = page.make(self.open(), with_examples=not self.without_examples)
            path.write_text(made, encoding="utf-8")

        out = outputs.write_new(self.out, "explore.html", (".html",), write, replace=self.force)
        say_made(f"A page of {out.stat().st_size / 1e6:.1f} MB, to open in a browser, is in", out)
        return 0
