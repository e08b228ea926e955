"""Points that are decoded beforehand, for a decoder that the page cannot run."""

import itertools
from typing import Any

import numpy as np

from jaxvae.apps.explore import looks, packing
from jaxvae.apps.explore.looks import Look
from jaxvae.apps.explore.spaces import Space
from jaxvae.apps.runs import Run

# From fine to coarse: points between two corners, points across the polygon, and across the plane
# at a corner and elsewhere.
LEVELS = (
    (3, 15, 25, 5),
    (3, 11, 15, 5),
    (1, 9, 11, 3),
    (1, 7, 7, 3),
    (1, 5, 5, 1),
    (0, 3, 3, 1),
    (0, 1, 1, 1),
)
MOST = 6000  # points
LARGEST = 96  # pixels of a decoded image's longer side
AREA = 12_000_000  # pixels of all together: telephones show no larger picture
TOPS = 12  # counts of each point


def packed(run: Run, space: Space, look: Look, size: int) -> dict[str, Any]:
    """Decoded points as the page takes them, as many as there is room for.

    Args:
      run: the run.
      space: what the page moves in.
      look: of an example.
      size: the most characters of base64, about.

    Returns:
      Plain values: the points by their shares of the categories and their place in the plane, and
      what each decodes to.
    """

    def make(level: int) -> dict[str, Any]:
        shares, plane = points(space, *LEVELS[level])
        x = run.decode_many(space.z(shares=shares, plane=plane))
        made: dict[str, Any] = {"kind": "lattice", "count": len(x)}
        if shares is not None:
            made["shares"] = packing.plain(shares, "f2")
        if plane is not None:
            made["plane"] = packing.plain(plane, "f2")
        return made | _shown(look, x)

    possible = [i for i, level in enumerate(LEVELS) if _fits(look, _count(space, level))]
    return packing.most_that_fit(make, possible or [len(LEVELS) - 1], size)


def points(
    space: Space, between: int, across: int, at_corners: int, elsewhere: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Points of the simplex and of the plane, together.

    Args:
      space: what the page moves in.
      between: points between two corners, of each pair.
      across: points across the polygon.
      at_corners: points across the plane at a corner, or where there are no corners.
      elsewhere: points across the plane at another point of the simplex.

    Returns:
      Shares of the categories [N, K] and places in the plane [N, 2]; None where there is none.
    """
    plane = None if space.axes is None else _plane(space, at_corners)
    if not space.names:
        return None, plane
    corners = np.eye(len(space.names))
    inner = inner_points(len(space.names), between, across)
    if space.axes is None:
        return np.concatenate([corners, inner]), None
    assert plane is not None
    few = _plane(space, elsewhere)
    shares = [np.repeat(corners, len(plane), axis=0), np.repeat(inner, len(few), axis=0)]
    places = [np.tile(plane, (len(corners), 1)), np.tile(few, (len(inner), 1))]
    return np.concatenate(shares), np.concatenate(places)


def inner_points(categories: int, between: int, across: int) -> np.ndarray:
    """Points of the simplex that are no corners: between each two of them, and in the polygon.

    Args:
      categories: K.
      between: how many on the way from one corner to another.
      across: how many across the polygon in which the page shows the simplex.

    Returns:
      [N, K], each row of sum 1.

    Example:
      >>> inner_points(2, 1, 0).tolist()
      [[0.5, 0.5]]
    """
    corners = np.eye(categories)
    steps = np.arange(1, between + 1) / (between + 1)
    made = [
        (1 - t) * corners[a] + t * corners[b]
        for a, b in itertools.combinations(range(categories), 2)
        for t in steps
    ]
    if categories > 2:
        ends = np.linspace(-1, 1, across + 2)[1:-1]
        places = np.stack(np.meshgrid(ends, ends), axis=-1).reshape(-1, 2)
        made += [share for place in places if (share := shares_at(place, categories)) is not None]
    return np.array(made).reshape(-1, categories)


def shares_at(place: np.ndarray, categories: int) -> np.ndarray | None:
    """The Wachspress coordinates of a place in a regular polygon, a corner for each category.

    They are at least 0, of sum 1, linear along each side, and their mean of the corners is the
    place itself; in a triangle they are the only such numbers.

    Args:
      place: [2]; the corners lie on the circle of radius 1, the first at the top.
      categories: K, at least 3.

    Returns:
      [K]; None outside of the polygon.

    Example:
      >>> shares_at(np.zeros(2), 4).tolist()
      [0.25, 0.25, 0.25, 0.25]

    Source: Wachspress, 1975, A rational finite element basis, for regular polygons, whose corners
    are all alike.
    """
    angles = 2 * np.pi * np.arange(categories) / categories - np.pi / 2
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ahead = np.roll(corners, -1, axis=0)
    one, other = corners - place, ahead - place
    areas = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]  # of the place with each side
    if areas.min() < -1e-12:
        return None
    areas = np.maximum(areas, 0) / areas.mean()
    weights = np.array(
        [np.prod([a for i, a in enumerate(areas) if i not in (k, (k - 1) % categories)])
         for k in range(categories)]
    )  # fmt: skip
    return weights / weights.sum()


def _plane(space: Space, across: int) -> np.ndarray:
    """Places in the plane, the middle alone or a lattice."""
    ends = np.linspace(-space.reach, space.reach, across) if across > 1 else np.zeros(1)
    others = ends if space.axes is not None and len(space.axes) > 1 else np.zeros(1)
    return np.stack(np.meshgrid(ends, others), axis=-1).reshape(-1, 2)


def _count(space: Space, level: tuple[int, int, int, int]) -> int:
    shares, plane = points(space, *level)
    return max(len(part) for part in (shares, plane) if part is not None)


def _fits(look: Look, points: int) -> bool:
    """Whether there may be so many points, before it is known how long they are."""
    if look.kind != "image":
        return points <= MOST
    height, width = look.shape[:2]
    down, across = packing.block_of(height, width, LARGEST)
    return points <= MOST and points * (height // down + 7) * (width // across + 7) <= AREA


def _shown(look: Look, x: np.ndarray) -> dict[str, Any]:
    """What points decode to, as the page shows it."""
    if look.kind == "image":
        images = packing.smaller(looks.pictures(look, x), LARGEST)
        lossy = max(images.shape[1:3]) > 16  # small ones are better whole
        columns = max(1, round(len(images) ** 0.5))
        return {"sprite": packing.sprite(images, columns, lossy=lossy)}
    if look.kind == "counts":
        return {"tops": looks.tops(x, TOPS)}
    return {"values": packing.quantised(x)}
