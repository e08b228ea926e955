"""The examples that the page holds: which, where they lie in the latent space, their labels."""

from typing import Any, NamedTuple

import numpy as np

from jaxvae.apps.explore import looks, packing
from jaxvae.apps.explore.looks import Look
from jaxvae.apps.explore.spaces import Space
from jaxvae.apps.latent_space import rows
from jaxvae.apps.runs import Run
from jaxvae.apps.samples import evenly, in_turn
from jaxvae.data.batches import Batch
from jaxvae.data.flat import dense, len_of
from jaxvae.model import evaluation

SEEN = 2000  # examples of which the page's axes and the usual values are made
MOST = 300  # that the page holds


class Examples(NamedTuple):
    """Examples of a run's data.

    Attributes:
      x: [N, D], NaN where a value is missing.
      z: their posterior means.
      places: of each in the test data [N].
      labels: the number of each one's label [N], -1 where it is missing; or None.
      names: of the labels.
    """

    x: np.ndarray
    z: Any
    places: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...]


def of_run(run: Run) -> Examples:
    """Test examples of a run, evenly spaced over its data.

    Args:
      run: the run.

    Returns:
      At most `SEEN` of them.

    Raises:
      ValueError, TypeError, OSError, ImportError: if its data are not at hand.
      ValueError: if the model gives no numbers for them.
    """
    data = run.data
    total = len_of(data.x_test)
    places = evenly(total, SEEN)
    x = dense(data.x_test[places])
    mask = None if data.mask_test is None else data.mask_test[places]
    z = evaluation.encode_mean(run.vae, run.params, Batch(x, mask=mask))
    flat = x.reshape(len(x), -1)
    if mask is not None:
        flat = np.where(mask.reshape(flat.shape), flat, np.nan)
    labels = None if data.y_test is None else np.asarray(data.y_test)[places]
    names = data.label_names or ()
    if labels is not None and not names:
        names = tuple(map(str, range(int(labels.max(initial=-1)) + 1)))
    return Examples(flat, z, places, labels, names)


def packed(examples: Examples, space: Space, look: Look, size: int) -> dict[str, Any]:
    """Some examples as the page takes them, of each label equally many.

    Args:
      examples: of the run.
      space: what the page moves in.
      look: of an example.
      size: the most characters of base64, about.

    Returns:
      Plain values.
    """
    labels = examples.labels
    chosen = evenly(len(examples.x), MOST) if labels is None else in_turn(labels, MOST)
    shown = looks.examples(look, examples.x[chosen], size)
    chosen = chosen[: shown["count"]]
    z, space_of = rows(examples.z, chosen), space.run.space
    made: dict[str, Any] = {
        **shown,
        "places": examples.places[chosen].tolist(),
        "labels": None if labels is None else labels[chosen].tolist(),
        "names": list(examples.names),
    }
    if space.categories is not None:
        made["shares"] = packing.plain(space_of.of(space.categories, z), "f2")
    if space.style is not None:
        made["style"] = packing.plain(space_of.of(space.style, z), "f2")
    return made
