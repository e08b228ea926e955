"""The latent space of a model as pictures and commands see it: its parts, and points in it.

A point z is an array [N, K], or of a product a dict of such by part. Nothing here asks which latent
a part is: it asks for its support.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae.data.batches import Batch
from jaxvae.model import latents, priors
from jaxvae.model.latents import Latent
from jaxvae.model.vae import VAE

SIMPLEX, REAL = "simplex", "real"


class Part(NamedTuple):
    """One latent.

    Attributes:
      name: of it in a product; else "z".
      latent: the family.
      width: K.
      labelled: whether its prior is made from labels.
    """

    name: str
    latent: Latent
    width: int
    labelled: bool


class LatentSpace(NamedTuple):
    """The parts of a latent, and points in it.

    Attributes:
      parts: one, unless the latent is a product.
      is_product: whether z is a dict.
    """

    parts: tuple[Part, ...]
    is_product: bool

    @property
    def width(self) -> int:
        """K, of a product the sum."""
        return sum(part.width for part in self.parts)

    @property
    def categories(self) -> Part | None:
        """The part whose corners are categories: the one on the simplex. Of several the one whose
        prior is made from labels, and None if that is not one alone.
        """
        on = [part for part in self.parts if part.latent.support == SIMPLEX]
        chosen = on if len(on) == 1 else [part for part in on if part.labelled]
        return chosen[0] if len(chosen) == 1 else None

    @property
    def style(self) -> Part | None:
        """The first part that is real numbers."""
        return next((part for part in self.parts if part.latent.support == REAL), None)

    def of(self, part: Part, z: Any) -> np.ndarray:
        """What z holds of a part [N, K]."""
        return np.asarray(z[part.name] if self.is_product else z)

    def point(self, **given: Any) -> Any:
        """Points by their parts, each [N, K] or [K]; of a part that is not given its middle."""
        arrays = {name: np.atleast_2d(np.asarray(value)) for name, value in given.items()}
        count = max(len(array) for array in arrays.values())
        each = {
            part.name: np.broadcast_to(
                arrays.get(part.name, _middle(part)[None]), (count, part.width)
            ).astype(np.float32)
            for part in self.parts
        }
        return each if self.is_product else each[self.parts[0].name]

    def corners(self) -> Any:
        """The corner of each category, all other parts in their middle."""
        part = self.categories
        assert part is not None
        return self.point(**{part.name: np.eye(part.width)})

    def columns(self, z: Any) -> dict[str, np.ndarray]:
        """The columns of z by name, as z_0 or category_0."""
        return {
            f"{part.name}_{k}": self.of(part, z)[:, k]
            for part in self.parts
            for k in range(part.width)
        }

    def arrays(self, z: Any) -> dict[str, np.ndarray]:
        """z as arrays by name: z, or of a product z_category and so on."""
        if not self.is_product:
            return {"z": np.asarray(z)}
        return {f"z_{part.name}": self.of(part, z) for part in self.parts}


def space_of(vae: VAE, example: Batch) -> LatentSpace:
    """The latent space of a model.

    Args:
      vae: the model.
      example: one, as shapes.

    Returns:
      Its parts.
    """
    assert vae.parts is not None
    latent, shape = vae.parts.latent, vae.parts.network.latent_shape
    is_product = bool(latent.parts)
    if shape is None:  # the network does not say; the encoder does

        def mean(key: jax.Array, batch: Batch) -> Any:
            return latent.mean(vae.encode(vae.init(key, batch), batch))

        made = jax.eval_shape(mean, jax.random.key(0), example)
        shape = jax.tree.map(lambda leaf: leaf.shape[1:], made)
    shapes = dict(shape) if is_product else {"z": shape}
    of_priors = priors.parts_of(vae.parts.prior)
    return LatentSpace(
        tuple(
            Part(name, own, shapes[name][-1], of_priors[name].uses_labels)
            for name, own in latents.parts_of(latent).items()
        ),
        is_product,
    )


def rows(z: Any, index: Any) -> Any:
    """Some rows of points.

    Args:
      z: points.
      index: which.

    Returns:
      The points.
    """
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], z)


def count(z: Any) -> int:
    """How many points z holds.

    Args:
      z: points.

    Returns:
      N.
    """
    return len(jax.tree.leaves(z)[0])


def path_between(start: Any, end: Any, steps: int) -> Any:
    """Points on the straight line from one point to another.

    Args:
      start: the first point [K], or a dict of such by part.
      end: the last.
      steps: how many, both ends included.

    Returns:
      [steps, K], or a dict of such. On the simplex, if both ends are.
    """
    share = np.linspace(0, 1, steps)[:, None]
    return jax.tree.map(
        lambda a, b: (1 - share) * np.asarray(a) + share * np.asarray(b), start, end
    )


def _middle(part: Part) -> np.ndarray:
    """A point in the middle of a part: the simplex's, the origin; of a sphere one of its points."""
    if part.latent.support == SIMPLEX:
        return np.full(part.width, 1 / part.width)
    return np.zeros(part.width) if part.latent.support == REAL else np.eye(part.width)[0]
