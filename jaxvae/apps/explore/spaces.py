"""What the page moves in: the simplex of the categories, the plane of the style, or both."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae.apps.explore import packing
from jaxvae.apps.latent_space import Part
from jaxvae.apps.runs import Run
from jaxvae.model import reports

DRAWS = 256  # from the prior
REACH = 3.0  # of the plane, from its middle: nearly all of a standard Normal


class Space(NamedTuple):
    """What the page moves in.

    Attributes:
      run: the run.
      categories, style: the parts of its latent that are moved; one may be None.
      names: of the categories; none without.
      axes: directions of the style that are the axes of the plane [2, D], or [1, D] where it has
        one number alone; None without a style.
      by: what the axes are: "numbers", two of them; "means", the principal components of the
        posterior means; or "decoder", the directions in which the decoded example changes most.
      reach: of the plane and of the sliders, from 0.
      order: the numbers of the style, the one that differs most first.
      used: how many of them differ at all.
      draws: of the style, from the prior [M, D].
    """

    run: Run
    categories: Part | None
    style: Part | None
    names: tuple[str, ...]
    axes: np.ndarray | None
    by: str
    reach: float
    order: tuple[int, ...]
    used: int
    draws: np.ndarray | None

    def z(self, *, shares: np.ndarray | None = None, plane: np.ndarray | None = None) -> Any:
        """Points of the latent space, all that is not given in its middle.

        Args:
          shares: of the categories [N, K].
          plane: places in the plane [N, 2].

        Returns:
          z of so many rows.
        """
        given: dict[str, np.ndarray] = {}
        if shares is not None and self.categories is not None:
            given[self.categories.name] = shares
        if plane is not None and self.style is not None and self.axes is not None:
            given[self.style.name] = plane[:, : len(self.axes)] @ self.axes
        return self.run.space.point(**given)


def space_of(run: Run, z: Any) -> Space:
    """What the page of a run moves in.

    Args:
      run: the run.
      z: the posterior means of its examples; None without any.

    Returns:
      The space.

    Raises:
      ValueError: if no part of the latent is a simplex of categories or real numbers.
    """
    categories, style = run.space.categories, run.space.style
    if categories is None and style is None:
        got = ", ".join(part.latent.support for part in run.space.parts)
        raise ValueError(f"run must have a latent on a simplex or of real numbers, got {got}")
    names = run.category_names
    if style is None:
        return Space(run, categories, None, names, None, "", 0.0, (), 0, None)
    draws = run.space.of(style, run.draw(jax.random.key(0), DRAWS))
    own = None if z is None else run.space.of(style, z)
    variance = _sensitivity(run, style) if own is None else own.var(axis=0)
    order = np.argsort(-variance, kind="stable")
    used = style.width if own is None else int(reports.active_units(style.latent, own).sum())
    if style.width <= 2:
        axes, by = np.eye(style.width), "numbers"
    elif own is not None and len(own) > 2:
        axes, by = _components(np.cov(own.T)), "means"
    else:
        axes, by = _components(_changes(run, style)), "decoder"
    far = np.abs(np.concatenate([draws] if own is None else [draws, own]) @ axes.T)
    reach = max(REACH, float(np.ceil(2 * np.quantile(far, 0.99)) / 2))
    order_of = tuple(int(i) for i in order)
    return Space(run, categories, style, names, axes, by, reach, order_of, used, draws)


def packed(space: Space, factors: tuple[float, ...]) -> dict[str, Any]:
    """A space as the page takes it.

    Args:
      space: the space.
      factors: of each part of the latent, how much a step in it counts for what is near.

    Returns:
      Plain values.
    """
    width = len(space.names)
    middle = space.z(
        shares=np.full((1, width), 1 / width) if width else None,
        plane=None if width else np.zeros((1, 2)),
    )
    roles = {id(space.categories): "categories", id(space.style): "style"}
    made: dict[str, Any] = {
        "parts": [
            {
                "name": part.name,
                "width": part.width,
                "factor": float(f"{factor:.4g}"),
                "role": roles.get(id(part), "still"),
                "middle": packing.rounded(space.run.space.of(part, middle)[0]),
            }
            for part, factor in zip(space.run.space.parts, factors, strict=True)
        ],
        "categories": None,
        "style": None,
    }
    if space.categories is not None:
        made["categories"] = {"names": list(space.names)}
    if space.style is not None and space.axes is not None and space.draws is not None:
        made["style"] = {
            "axes": [packing.rounded(axis) for axis in space.axes],
            "by": space.by,
            "reach": space.reach,
            "order": list(space.order),
            "used": space.used,
            "draws": packing.plain(space.draws, "f2"),
        }
    return made


def _components(square: np.ndarray) -> np.ndarray:
    """The two directions of the largest eigenvalues [2, D], each with its largest number positive:
    their sign is arbitrary."""
    _, vectors = np.linalg.eigh(square)
    axes = vectors[:, ::-1][:, :2].T
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    return axes * signs[:, None]


def _differences(run: Run, part: Part) -> np.ndarray:
    """How the decoded example changes from -1 to 1 in each number of a part [D, ...]."""
    corners, unit = run.space.categories, np.eye(part.width)
    where: list[dict[str, Any]] = [{}]
    if corners is not None:
        where = [{corners.name: row} for row in np.eye(corners.width)]
    made = []
    for fixed in where:
        ends = [
            run.decode(run.space.point(**{part.name: sign * unit}, **fixed)) for sign in (1, -1)
        ]
        made.append(ends[0] - ends[1])
    return np.concatenate(made, axis=1)


def _changes(run: Run, part: Part) -> np.ndarray:
    own = _differences(run, part)
    return own @ own.T


def _sensitivity(run: Run, part: Part) -> np.ndarray:
    return np.square(_differences(run, part)).sum(axis=1)
