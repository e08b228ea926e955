"""The pictures of a run, and the files they go to."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxvae._output import say
from jaxvae.apps import pages, topic_pages
from jaxvae.apps.drawing import drawing_of
from jaxvae.apps.figures import animations, losses
from jaxvae.apps.runs import Run
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder, whole_files

FRAMES = 12  # a second
GLYPH = re.compile(r"Glyph (\d+) .*missing from")  # Matplotlib's warning


def draw(run: Run) -> None:
    """Draw all pictures of a run into the folder `figures` in its own.

    Args:
      run: the run, its metrics on disk. Where its data are not at hand, what shows them is left
        out, and said.
    """
    shown = "latent.png and what shows examples" if run.topics is None else "the documents"
    data = run.data_at_hand(f"{shown} are left out")
    with _letters_noted():
        drawn = (pages if run.topics is None else topic_pages).pages_of(run, data)
        records = [SimpleNamespace(**record) for record in run_folder.records(run.folder)]
        if records:
            drawn["loss.png"] = losses.loss_curves(records, unit=_unit(run.vae))
        _save_all(run.folder / run_folder.FIGURES, drawn)


def draw_seeds(folder: Path, vae: VAE, histories: Sequence[Sequence[Any]]) -> None:
    """Draw the training curves of several runs into the folder `figures`.

    Args:
      folder: the one above the folders of the runs.
      vae: their model.
      histories: the epochs of each, as `History.epochs`.
    """
    _save_all(
        folder / run_folder.FIGURES, {"loss.png": losses.loss_spread(histories, unit=_unit(vae))}
    )


def save_decoded(path: Path, run: Run, z: Any, x: np.ndarray, title: str) -> None:
    """Draw decoded points.

    Args:
      path: a .png for a grid of them, a .gif for an animation from the first to the last and back.
      run: the run.
      z: points of its latent space.
      x: what they decode to [N, D].
      title: of the picture.
    """
    drawing = drawing_of(run, None, x.shape[1])
    if path.suffix == ".png":
        with _letters_noted():
            _save(path, drawing.several(x, title))
        return
    there_and_back = [*range(len(x)), *range(len(x) - 2, 0, -1)]
    part = run.space.categories
    shares = None if part is None else run.space.of(part, z)[there_and_back]
    captions = [title] * len(there_and_back)
    names = run.category_names if shares is not None else None
    _save(path, drawing.walk(x[there_and_back], captions, shares=shares, names=names))


@contextlib.contextmanager
def _letters_noted() -> Iterator[None]:
    """Say in one sentence that letters are missing, in place of a warning for each of them."""
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", GLYPH.pattern, UserWarning)
        usual = warnings.showwarning

        def show(message: Any, *others: Any, **more: Any) -> None:
            if glyph := GLYPH.match(str(message)):
                found.append(chr(int(glyph[1])))
            else:
                usual(message, *others, **more)

        warnings.showwarning = show
        yield
    if letters := "".join(dict.fromkeys(found)):
        shown = letters if len(letters) <= 8 else f"{letters[:8]}…"
        what = f"Matplotlib's font lacks letters ({shown}): the pictures show boxes in their place."
        say(what, error=True)


def _unit(vae: VAE) -> str:
    assert vae.parts is not None
    return "nats" if vae.parts.likelihood.normalized else "original's units"


def _save_all(folder: Path, drawn: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name, page in drawn.items():
        _save(folder / name, page)
    say(f"figures in {folder}: {', '.join(drawn)}")


def _save(path: Path, page: Any) -> None:
    with whole_files.whole(path) as new:
        if path.suffix == ".gif":
            page.save(new, writer=animations.GifWriter(fps=FRAMES))
        else:
            page.savefig(new, dpi=110)
