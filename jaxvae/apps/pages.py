"""The pages of a run: which points of its latent space each shows, and what they decode to."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.apps.drawing import Drawing, drawing_of
from jaxvae.apps.figures import latents
from jaxvae.apps.figures.style import short
from jaxvae.apps.latent_space import LatentSpace, Part, count, path_between
from jaxvae.apps.latent_space import rows as rows_of
from jaxvae.apps.runs import Run, on_host
from jaxvae.apps.samples import evenly, in_turn
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import dense, len_of
from jaxvae.model import evaluation

EXAMPLES = 20  # beside their reconstructions
STYLES = 10  # rows of styles.png, at most
CATEGORIES = 12  # that a page shows in rows or columns, at most
DRAWS = 10  # of each category
WALK_CATEGORIES = 10  # at most, that the walk visits
STEPS = 6  # of the walk from one category to the next
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a blend


def pages_of(run: Run, data: Dataset | None) -> dict[str, Any]:
    """Draw the pages of a run, but for its training curves.

    Args:
      run: the run.
      data: its data, or None: then what shows examples is left out.

    Returns:
      Figures and an animation, by the names of their files.
    """
    z = None
    if data is not None:
        batch = Batch(data.x_test, mask=data.mask_test)
        z = evaluation.encode_mean(run.vae, run.params, batch)
    space, names = run.space, run.category_names
    points, extent = _points(run, data, z)
    x = decoded(run, points)
    drawing = drawing_of(run, data, next(iter(x.values())).shape[-1])
    pages: dict[str, Any] = {}
    if data is not None:
        pages |= _latent_pages(space, names, data, z)
        pages |= _pages_of_examples(run, drawing, data, x)
    pages["generated.png"] = _generated(run, drawing, x["generated"], extent)
    if space.categories is not None:
        pages |= _simplex_pages(run, drawing, space.categories, points, x)
        if data is not None and space.categories.width > 2:
            shares = space.of(space.categories, z)
            pages["ternary.png"] = _ternary(shares, names, data)
    return pages


def decoded(run: Run, points: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What points decode to, all by the same compiled program.

    Args:
      run: the run.
      points: of its latent space, by any names.

    Returns:
      Examples [N, D] by these names.
    """
    sizes = {name: count(z) for name, z in points.items()}
    whole = jax.tree.map(lambda *each: np.concatenate(each), *points.values())
    x, ends = run.decode_many(whole), np.cumsum(list(sizes.values()))
    return dict(zip(sizes, np.split(x, ends[:-1]), strict=True))


def _points(run: Run, data: Dataset | None, z: Any) -> tuple[dict[str, Any], Any]:
    """Which points each page shows; and what the lattice spans, where there is one."""
    space = run.space
    points: dict[str, Any] = {}
    points["generated"], extent = _generated_points(run, z)
    if data is not None:
        points["reconstructions"] = rows_of(z, evenly(len_of(data.x_test), EXAMPLES))
    part = space.categories
    if part is None:
        return points, extent
    corners = space.corners()
    first, second = rows_of(corners, 0), rows_of(corners, 1)
    points |= {"corners": corners, "blend": path_between(first, second, len(WEIGHTS))}
    stops = [*range(_visited(part)), 0]
    legs = [
        path_between(rows_of(corners, a), rows_of(corners, b), STEPS + 1)
        for a, b in itertools.pairwise(stops)
    ]
    points["walk"] = jax.tree.map(lambda *each: np.concatenate([leg[:-1] for leg in each]), *legs)
    if data is not None and space.is_product:
        shown = min(part.width, CATEGORIES)
        own = rows_of(z, np.repeat(_different(data), shown))
        own[part.name] = np.tile(np.eye(part.width, dtype=np.float32)[:shown], (STYLES, 1))[
            : count(own)
        ]
        points["styles"] = own
    return points, extent


def _visited(part: Part) -> int:
    return min(part.width, WALK_CATEGORIES)


def _different(data: Dataset) -> np.ndarray:
    """Test examples of all labels in turn, those of one label after each other."""
    y = data.y_test
    if y is None or not (y >= 0).any():
        return evenly(len_of(data.x_test), STYLES)
    known = np.flatnonzero(y >= 0)
    order = known[in_turn(y[known], STYLES)]
    return order[np.argsort(y[order], kind="stable")]


def _label(data: Dataset, row: int) -> str:
    """What the label of a test example is called; nothing without one."""
    if data.y_test is None or data.y_test[row] < 0:
        return ""
    label = int(data.y_test[row])
    return str(label) if data.label_names is None else data.label_names[label]


# --- generated.png


def _labelled_draws(run: Run) -> tuple[str, ...]:
    """The categories that have draws of their own: those of labels, where the prior has them."""
    part = run.space.categories
    assert run.vae.parts is not None
    if part is None or not run.vae.parts.prior.uses_labels:
        return ()
    known = len(run.config.model.label_names or run.category_names)
    return run.category_names[:known][:CATEGORIES]


def _generated_points(run: Run, z: Any) -> tuple[Any, Any]:
    space, key = run.space, jax.random.key(run.config.training.seed)
    if space.style is not None and not space.is_product and space.width == 2:
        around = np.array([[-3.0, -3.0], [3.0, 3.0]]) if z is None else z  # of a Normal, nearly all
        return latents.lattice(around, 30 if run.config.model.image_shape else 6)
    if known := _labelled_draws(run):
        y = jnp.arange(len(known), dtype=jnp.int32).repeat(DRAWS)
        # One program for the draws of all categories, and one rather than each step's own.
        sample = jax.jit(lambda params, key, y: run.vae.sample_prior(params, key, Batch(y=y)))
        return jax.tree.map(on_host, sample(run.params, key, y)), None
    return run.draw(key, DRAWS * DRAWS), None


def _generated(run: Run, drawing: Drawing, x: np.ndarray, extent: Any) -> Any:
    if extent is not None:
        title = "Decoded lattice over the latent space"
        return drawing.lattice(x, title, extent)
    if not (known := _labelled_draws(run)):
        return drawing.several(x, "Decoded draws from the prior")
    said = ""
    if len(known) < len(run.category_names):
        said = f"{len(known)} of {len(run.category_names)} categories."
    groups = x.reshape(len(known), DRAWS, -1)
    return drawing.groups(groups, known, "Decoded draws from the prior of each category", said)


# --- latent.png, category.png, style.png, ternary.png


def _latent_pages(
    space: LatentSpace, names: tuple[str, ...], data: Dataset, z: Any
) -> dict[str, Any]:
    pages = {}
    for part in space.parts:
        is_category = part == space.categories
        pages[f"{part.name}.png" if space.is_product else "latent.png"] = latents.latent_scatter(
            space.of(part, z),
            data.y_test,
            title=_titled(part.name.capitalize() if space.is_product else "Latent space"),
            names=data.label_names,
            corners=names if is_category else None,
            principal=part.name if space.is_product else None if part.width == 2 else "latent",
            medians=not space.is_product,
        )
    return pages


def _titled(what: str) -> str:
    return f"{what}: posterior means of the test examples"


def _ternary(shares: np.ndarray, names: tuple[str, ...], data: Dataset) -> Any:
    three = _most_confused(shares)
    own = np.isin(shares.argmax(axis=1), three)
    whole = shares.shape[1] == 3
    said = "Examples whose largest share is one of these three, which are scaled to a sum of 1."
    return latents.ternary(
        shares[own][:, three],
        None if data.y_test is None else data.y_test[own],
        names=[f"category {names[k]}" for k in three],
        title="Posterior means between the three categories"
        + ("" if whole else " that share most"),
        label_names=data.label_names,
        note="" if whole else said,
    )


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


# --- reconstructions.png, styles.png, corners.png, blend.png, walk.gif


def _pages_of_examples(
    run: Run, drawing: Drawing, data: Dataset, x: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    def originals(index: np.ndarray) -> np.ndarray:
        own = dense(data.x_test[index]).reshape(len(index), -1)
        if data.mask_test is None:
            return own
        seen = np.asarray(data.mask_test[index], bool).reshape(own.shape)
        return np.where(seen, own, np.nan)  # what is missing is left blank

    pages: dict[str, Any] = {}
    index = evenly(len_of(data.x_test), EXAMPLES)
    some = originals(index)
    if some.shape != x["reconstructions"].shape:  # where each value has probabilities
        return pages
    labels = [_label(data, row) for row in index]
    names = [short(name) for name in labels] if any(labels) else []
    pages["reconstructions.png"] = drawing.pairs(some, x["reconstructions"], names, index.tolist())
    if "styles" in x:
        part = run.space.categories
        assert part is not None
        index, shown = _different(data), min(part.width, CATEGORIES)
        made = x["styles"].reshape(len(index), shown, -1)
        whole = np.concatenate([originals(index)[:, None], made], axis=1)
        own = [-1] * len(index)
        if part.labelled and data.y_test is not None:
            own = [int(y) if y < shown else -1 for y in data.y_test[index]]
        said = "" if shown == part.width else f"{shown} of {part.width} categories."
        pages["styles.png"] = drawing.styles(
            whole, run.category_names[:shown], [_label(data, row) for row in index], own, said
        )
    return pages


def _simplex_pages(
    run: Run,
    drawing: Drawing,
    part: Part,
    points: Mapping[str, Any],
    x: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    names = run.category_names
    style = run.space.style
    held = "" if style is None else f"The {style.name} is held at 0."
    visited = _visited(part)
    stops = [*range(visited), 0]
    what = "category " if max(map(len, names)) <= 3 else ""
    captions = [
        f"{what}{short(names[a], 20)} → {short(names[b], 20)}" for a, b in itertools.pairwise(stops)
    ]
    return {
        "corners.png": drawing.corners(x["corners"], names, held),
        "blend.png": drawing.blend(x["blend"], WEIGHTS, (names[0], names[1]), held),
        "walk.gif": drawing.walk(
            x["walk"],
            np.repeat(captions, STEPS).tolist(),
            held,
            shares=run.space.of(part, points["walk"])[:, :visited],
            names=names[:visited],
        ),
    }
