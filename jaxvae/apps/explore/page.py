"""The page: what it is told of a run, and the file itself."""

import html
import json
import re
from importlib import resources
from typing import Any

import jax
import numpy as np

from jaxvae._version import __version__
from jaxvae.apps.description import Description
from jaxvae.apps.explore import dense_decoder, examples, lattices, looks, spaces
from jaxvae.apps.explore.examples import Examples
from jaxvae.apps.figures.style import PALETTE
from jaxvae.apps.latent_space import count, rows
from jaxvae.apps.model_parts import kind
from jaxvae.apps.run_data import NOWHERE
from jaxvae.apps.runs import Run

LARGEST = 3_000_000  # bytes of the page
OF_DECODER, OF_EXAMPLES = 2_150_000, 500_000  # characters of base64, about
HELD_AGAINST = 200  # points at which the page's decoder is held against the model's
SCRIPTS = (
    "numbers.js", "geometry.js", "views.js", "pads.js", "sliders.js", "panels.js", "texts.js",
    "page.js",
)  # fmt: skip


def make(run: Run, *, with_examples: bool = True) -> str:
    """The page of a run. Where its data are not at hand it holds no examples, which is said.

    Args:
      run: the run.
      with_examples: whether the page holds examples of the run's data.

    Returns:
      HTML that needs no other file and no network.

    Raises:
      ValueError: if the model is none that the page can show; what is not is named.
    """
    model = run.config.model
    if model.condition_shape is not None:
        raise ValueError(
            f"run must be a model without a condition, got one of shape {model.condition_shape}"
        )
    own: Examples | None = None
    if with_examples and run.data_at_hand("the page holds no examples") is not None:
        own = examples.of_run(run)
    text = fill(told(run, own))
    if len(text.encode()) > LARGEST:
        raise ValueError(
            f"run must be a model whose page is at most {LARGEST / 1e6:g} MB, "
            f"got {len(text.encode()) / 1e6:.1f} MB for examples of {model.data_shape}"
        )
    return text


def told(run: Run, own: Examples | None) -> dict[str, Any]:
    """What the page is told of a run.

    Args:
      run: the run.
      own: its examples, or None.

    Returns:
      Plain values, as JSON has them.

    Raises:
      ValueError: if the model is none that the page can show.
    """
    model = run.config.model
    draws = run.draw(jax.random.key(1), HELD_AGAINST // 2)
    decoded = run.decode(draws)
    if decoded.shape[1] != np.prod(model.data_shape):
        raise ValueError(
            f"run must be a model that decodes to the shape of an example, {model.data_shape}, "
            f"got {decoded.shape[1]} values"
        )
    space = spaces.space_of(run, None if own is None else own.z)
    look = looks.look_of(model, None if own is None else own.x, decoded)
    points = _points(run, own, draws)
    decoder, error = None, 0.0
    found = dense_decoder.find(run, points)
    if found is not None:
        made = dense_decoder.packed(found, run, points, looks.widths(look), OF_DECODER)
        decoder, error = made or (None, 0.0)
    if decoder is None:
        decoder = lattices.packed(run, space, look, OF_DECODER)
    entry = dense_decoder.entry_of(run)
    factors = (1.0,) * len(run.space.parts) if entry is None else entry.factors
    return {
        "about": _about(run, own),
        "colours": list(PALETTE),
        "space": spaces.packed(space, factors),
        "look": looks.packed(look),
        "decoder": decoder | {"error": float(f"{error:.2g}"), "tried": count(points)},
        "examples": None if own is None else examples.packed(own, space, look, OF_EXAMPLES),
    }


def fill(payload: dict[str, Any]) -> str:
    """The page's file.

    Args:
      payload: what it is told.

    Returns:
      HTML.
    """
    folder = resources.files("jaxvae.apps.explore") / "assets"

    def asset(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    # No text of the user's can end the script in which it stands.
    data = json.dumps(payload, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(payload["about"]["name"]),
        "style": asset("page.css"),
        "script": "\n".join(map(asset, SCRIPTS)),
        "payload": data,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], asset("page.html"))


def _points(run: Run, own: Examples | None, draws: Any) -> Any:
    """Where the page's decoder is held against the model's: draws, examples and corners."""
    several = [draws]
    if own is not None:
        several.append(rows(own.z, slice(HELD_AGAINST // 2)))
    if run.space.categories is not None:
        several.append(run.space.corners())
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *several)


def _about(run: Run, own: Examples | None) -> dict[str, Any]:
    """The names of things, for the page's texts."""
    model, origin = run.config.model, run.config.origin
    known = origin is not None and origin != NOWHERE
    return {
        "name": run.name if known else run.folder.name,
        "run": run.folder.name,
        "latent": kind(model.latent).replace("_", " "),
        "network": kind(model.network),
        "size": _size(model),
        "trained": origin.train_examples if known and origin is not None else 0,
        "data": "" if own is None else run.data.name,
        "version": __version__,
    }


def _size(model: Description) -> str:
    """What an example is, in words."""
    shape = model.image_shape or model.series_shape or model.data_shape
    size = " x ".join(map(str, shape))
    if model.image_shape is not None:
        return f"images of {size} pixels"
    if model.series_shape is not None:
        return f"series of {size}"
    what = {"counts": "counts", "table": "columns"}.get(str(model.data_kind), "values")
    return f"rows of {size} {what}"
