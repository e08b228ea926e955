"""The pictures of a run: what is decoded for each, and the files they go to."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from jaxvae._output import say
from jaxvae.apps.figures import animations, images, latents, losses
from jaxvae.apps.figures.arguments import ImageShape, Series
from jaxvae.apps.latent_space import Part, path_between
from jaxvae.apps.latent_space import rows as rows_of
from jaxvae.apps.runs import Run
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import dense
from jaxvae.model import evaluation
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder

WALK_CATEGORIES = 10  # at most, that the walk visits
STEPS = 6  # of the walk from one category to the next


def draw(run: Run) -> None:
    """Draw all pictures of a run into the folder `figures` in its own.

    Args:
      run: the run, its metrics on disk. Where its data are not at hand, what shows them is left
        out, and said.
    """
    pages: dict[str, Any] = {}
    try:
        data: Dataset | None = run.data
    except (ValueError, TypeError, OSError, ImportError) as error:
        data = None
        say(f"without the run's data, so latent.png and what shows examples are left out: {error}")
    if data is not None:
        pages |= _pages_of_data(run, data)
    z = None if data is None else _means(run, data)
    space = run.space
    if space.style is not None and space.width == 2:
        around = np.array([[-3.0, -3.0], [3.0, 3.0]]) if z is None else z  # of a Normal, nearly all
        points, extent = latents.lattice(around)
        title = "Decoded lattice over the latent space"
        shown = _shown(run, run.decode(points))
        generated = images.mosaic(shown, _shape(run), title=title, extent=extent)
    else:
        draws = run.draw(jax.random.key(run.config.training.seed), 144)
        title = "Decoded draws from the prior"
        shown = _shown(run, run.decode(draws))
        generated = images.image_grid(shown, _shape(run), columns=12, title=title)
    pages["generated.png"] = generated
    if space.categories is not None:
        pages |= _simplex_pages(run, space.categories, data, z)
    metrics = run.folder / run_folder.METRICS
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    if lines:
        records = [SimpleNamespace(**json.loads(line)) for line in lines]
        pages["loss.png"] = losses.loss_curves(records, unit=_unit(run.vae))
    _save_all(run.folder / "figures", pages)


def _means(run: Run, data: Dataset) -> Any:
    """The posterior mean of each test example."""
    batch = Batch(data.x_test, mask=data.mask_test)
    return evaluation.encode_mean(run.vae, run.params, batch)


def _pages_of_data(run: Run, data: Dataset) -> dict[str, Any]:
    """The pictures that show examples."""
    z = _means(run, data)
    some = dense(data.x_test[:12])
    x, again = some.reshape(len(some), -1), run.decode(rows_of(z, slice(12)), some)
    if data.mask_test is not None:  # what is missing is left blank
        x = np.where(data.mask_test[:12].reshape(len(some), -1), x, np.nan)
    pages: dict[str, Any] = {}
    for part in run.space.parts:
        name = f"{part.name}.png" if run.space.is_product else "latent.png"
        pages[name] = latents.latent_scatter(
            run.space.of(part, z), data.y_test, names=data.label_names, corners=run.category_names
        )
    if again.shape == x.shape:  # not where each value has probabilities
        pages["reconstructions.png"] = images.reconstructions(
            _shown(run, x), _shown(run, again), _shape(run)
        )
    return pages


def draw_seeds(folder: Path, vae: VAE, histories: Sequence[Sequence[Any]]) -> None:
    """Draw the training curves of several runs into the folder `figures`.

    Args:
      folder: the one above the folders of the runs.
      vae: their model.
      histories: the epochs of each, as `History.epochs`.
    """
    _save_all(folder / "figures", {"loss.png": losses.loss_spread(histories, unit=_unit(vae))})


def save_decoded(path: Path, run: Run, z: Any, x: np.ndarray, title: str) -> None:
    """Draw decoded points.

    Args:
      path: a .png for a grid of them, a .gif for an animation from the first to the last and back.
      run: the run.
      z: points of its latent space.
      x: what they decode to [N, D].
      title: of the picture.
    """
    shape, x = _shape(run), _shown(run, x)
    if path.suffix == ".png":
        columns = min(len(x), 12)
        _save(path, images.image_grid(x, shape, columns=columns, title=title))
        return
    there_and_back = [*range(len(x)), *range(len(x) - 2, 0, -1)]
    part = run.space.categories
    shares = None if part is None else run.space.of(part, z)[there_and_back]
    captions = [title] * len(there_and_back)
    names = run.category_names if shares is not None else None
    _save(path, animations.walk(x[there_and_back], captions, shape, shares=shares, names=names))


def _shape(run: Run) -> ImageShape:
    """How an example is drawn: as an image, as a series, or as one curve."""
    model = run.config.model
    return Series(*model.series_shape) if model.series_shape else model.image_shape


def _shown(run: Run, x: np.ndarray) -> np.ndarray:
    """Examples as they are drawn: of images, 0 is black and 1 is white."""
    low, high = run.config.model.image_range or (0.0, 1.0)
    return (x - low) / (high - low)


def _simplex_pages(run: Run, part: Part, data: Dataset | None, z: Any) -> dict[str, Any]:
    shape, names, categories = _shape(run), run.category_names, part.width
    corners = run.space.corners()
    weights = (0.0, 0.25, 0.5, 0.75, 1.0)
    blend = run.decode(path_between(rows_of(corners, 0), rows_of(corners, 1), len(weights)))
    pages: dict[str, Any] = {
        "corners.png": images.corners(_shown(run, run.decode(corners)), shape, names=names),
        "blend.png": images.blend(_shown(run, blend), weights, (names[0], names[1]), shape),
    }
    if categories > 2 and data is not None and z is not None:
        shares = run.space.of(part, z)
        three = _most_confused(shares)
        own = np.isin(shares.argmax(axis=1), three)
        pages["ternary.png"] = latents.ternary(
            shares[own][:, three],
            None if data.y_test is None else data.y_test[own],
            names=[f"category {names[k]}" for k in three],
            title="Posterior means between the three categories that share most",
            label_names=data.label_names,
        )
    visited = min(categories, WALK_CATEGORIES)
    stops = [*range(visited), 0]
    legs = [
        path_between(rows_of(corners, a), rows_of(corners, b), STEPS + 1)
        for a, b in itertools.pairwise(stops)
    ]
    path = jax.tree.map(lambda *each: np.concatenate([leg[:-1] for leg in each]), *legs)
    captions = [f"category {names[a]} → {names[b]}" for a, b in itertools.pairwise(stops)]
    pages["walk.gif"] = animations.walk(
        _shown(run, run.decode(path)),
        np.repeat(captions, STEPS).tolist(),
        shape,
        shares=run.space.of(part, path)[:, :visited],
        names=names[:visited],
    )
    return pages


def _most_confused(z: np.ndarray) -> list[int]:
    """Three categories between which much mass lies, the first of which some example favours."""
    shared = z.T @ z
    np.fill_diagonal(shared, 0)
    favoured = np.bincount(z.argmax(axis=1), minlength=len(shared)) > 0
    first = int((shared.sum(axis=0) * favoured).argmax())
    second = int(shared[first].argmax())
    third = shared[first] + shared[second]
    third[[first, second]] = -1
    return sorted([first, second, int(third.argmax())])


def _unit(vae: VAE) -> str:
    assert vae.parts is not None
    return "nats" if vae.parts.likelihood.normalized else "original's units"


def _save_all(folder: Path, pages: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name, page in pages.items():
        _save(folder / name, page)
    say(f"figures in {folder}: {', '.join(pages)}")


def _save(path: Path, page: Any) -> None:
    if path.suffix == ".gif":
        page.save(path, writer=animations.GifWriter(fps=12))
    else:
        page.savefig(path, dpi=110)
