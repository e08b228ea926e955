"""A trained model with its parameters: what it makes of a user's data, from NumPy to NumPy."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.apps import description, saved_inputs
from jaxvae.apps.description import Description
from jaxvae.apps.latent_space import LatentSpace
from jaxvae.apps.topics.posteriors import has_topics, mean_of, refined
from jaxvae.data import labels
from jaxvae.data.batches import Batch, as_batch
from jaxvae.data.examples import FEW_SIZES, by_batches, examples, unweighted
from jaxvae.data.formats.source import listed
from jaxvae.data.sparse import is_sparse
from jaxvae.model import bind_checks, evaluation, generation
from jaxvae.model.evaluation import Evaluation
from jaxvae.model.finite import numbers
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE, Parts
from jaxvae.numerics import checks, compiled


@door("saved_models")
class SavedModel(NamedTuple):
    """A model with its parameters and what is known of its data.

    The methods take and return NumPy arrays, x in the user's units. x [N, ...] is examples of
    `description.data_shape`, or a `jaxvae.Batch` of them where the model has a condition. Columns
    of a frame or an AnnData are found by their names, in any order and beside others, where the
    model knows names. Values that its likelihood refuses are refused by all.

    Attributes:
      vae: the model.
      params: its parameters.
      description: its parts, the shape of its data, the names of labels and columns.

    Example:
      >>> import jaxvae
      >>> vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> path = jaxvae.save(Path(tempfile.mkdtemp(), "mine"), vae, params)
      >>> model = jaxvae.load(path)
      >>> z = model.encode(np.zeros((5, 64)))
      >>> z.shape, model.decode(z).shape, model.generate(3, key=jax.random.key(1)).shape
      ((5, 2), (5, 64), (3, 64))
    """

    vae: VAE
    params: Params
    description: Description

    def encode(self, x: Any, *, refine: bool = True, batch_size: int = 1024) -> Any:
        """The posterior mean of z for each example.

        Args:
          x: examples [N, ...].
          refine: of topics, whether the posterior of each document is found by itself, by gradients
            from where the encoder puts it, as `TopicModel.transform` and `jaxvae encode` do; it
            is drawn with the seed 0. Other models have their encoder's.
          batch_size: examples a compiled call, where nothing is refined.

        Returns:
          [N, K]; of a product a dict by part. Of a document without a word the mean of the prior.

        Raises:
          ValueError, TypeError: if x is not examples of the model's shape.
        """
        data = self._examples(x)
        if self._refines(refine):
            return mean_of(self._refined(data).concentration)
        return evaluation.encode_mean(self.vae, self.params, data, batch_size=batch_size)

    def posterior(self, x: Any, *, refine: bool = True, batch_size: int = 1024) -> Any:
        """The parameters of the posterior of each example.

        Args:
          x: examples [N, ...].
          refine: as for `encode`.
          batch_size: examples a compiled call, where nothing is refined.

        Returns:
          As `Normal(loc, scale)`, each [N, K]; of a product a dict by part.

        Raises:
          ValueError, TypeError: if x is not examples of the model's shape.
        """
        if self._refines(refine):
            return self._refined(self._examples(x))
        return self._each(_posterior, "the posterior", x, batch_size)

    def reconstruct(self, x: Any, *, batch_size: int = 1024) -> Any:
        """The mean of x given the posterior mean of z, the encoder's, without noise.

        Args:
          x: examples [N, ...].
          batch_size: examples a compiled call.

        Returns:
          [N, ...].

        Raises:
          ValueError, TypeError: if x is not examples of the model's shape.
        """
        return self._each(_reconstructed, "the reconstruction", x, batch_size)

    def decode(self, z: Any, *, condition: Any = None) -> Any:
        """The mean of x given each z.

        Args:
          z: [N, K]; of a product a dict by part.
          condition: what the decoder sees beside z [N, ...], or None.

        Returns:
          [N, ...].

        Raises:
          ValueError, TypeError: if z is not of the model's width, or holds what is no finite
            number; or a condition is missing, not wanted or not such.
        """
        z = saved_inputs.points(self.space, z)
        seen = self._condition(condition, len(jax.tree.leaves(z)[0]))
        batch = None if seen is None else Batch(condition=jnp.asarray(seen))
        return self._decoded(z, batch)

    def generate(
        self, count: int, *, key: jax.Array, category: Any = None, condition: Any = None
    ) -> Any:
        """New examples: z from the prior, decoded.

        Args:
          count: how many.
          key: one typed key.
          category: the label that a prior made from labels follows, by its name or its number;
            each drawn where None.
          condition: what the decoder sees beside z [count, ...], or None.

        Returns:
          [count, ...].

        Raises:
          ValueError, TypeError: if there is no such category, or the prior knows none; or as
            `decode` for a condition.
        """
        count = checks.positive_int("count", count)
        checks.typed_key("key", key)
        condition = self._condition(condition, count)
        y = None if category is None else np.full(count, self._category(category), np.int32)
        known = self.parts.network.latent_shape is not None
        if known or (y is None and condition is None):
            size = count if known else (count, self.description.latent_dim)
            return generation.generate(key, self.vae, self.params, size, y=y, condition=condition)
        # The network does not say its width: examples of any values do.
        x = np.zeros((count, *self.description.data_shape), np.float32)
        seen = Batch(x, y, condition=condition)
        z = self.vae.sample_prior(self.params, jax.random.split(key)[0], seen)
        given = None if condition is None else seen._replace(x=None)
        return self._decoded(z, given)

    def evaluate(
        self, x: Any, y: Any = None, *, key: jax.Array, batch_size: int = 1024
    ) -> Evaluation:
        """The loss and its terms over a data set, as `jaxvae.evaluate`.

        Args:
          x: examples [N, ...].
          y: labels [N] where the model's prior needs them, by name or by number.
          key: one typed key; it draws z.
          batch_size: examples a compiled call.

        Returns:
          The means over all examples.

        Raises:
          ValueError, TypeError: if x is not examples of the model's shape, or a label is unknown.
        """
        data = self._examples(x)
        if y is not None:
            data = data._replace(y=self._labels(y))
        return evaluation.evaluate(key, self.vae, self.params, data, batch_size=batch_size)

    def categories(self, x: Any, *, batch_size: int = 1024) -> np.ndarray:
        """The largest category of each example.

        Of topics by their refined posteriors, as `encode` has them. Of a product, of its part on
        the simplex; where there are several, of the one whose prior is made from labels.

        Args:
          x: examples [N, ...].
          batch_size: examples a compiled call.

        Returns:
          Names [N], or numbers where the model knows no names.

        Raises:
          ValueError, TypeError: if x is not examples of the model's shape, or no latent is on the
            simplex.
        """
        space = self.space
        part = space.categories
        if part is None:
            got = ", ".join(own.latent.support for own in space.parts)
            raise ValueError(f"model must have one latent on the simplex for categories, got {got}")
        largest = space.of(part, self.encode(x, batch_size=batch_size)).argmax(axis=-1)
        named = part.labelled and self.description.label_names is not None
        return np.array(self.category_names)[largest] if named else largest

    @property
    def space(self) -> LatentSpace:
        """The parts of the latent space."""
        return description.latent_space(self.vae, self.description)

    @property
    def category_names(self) -> tuple[str, ...]:
        """The names of the categories: of the labels that they are made from, else numbers; none
        where no latent is on the simplex.
        """
        part = self.space.categories
        if part is None:
            return ()
        names = (self.description.label_names if part.labelled else None) or ()
        # There may be more categories than labels.
        return (*names, *map(str, range(len(names), part.width)))

    def category_number(self, category: Any, argument: str = "category") -> int:
        """The number of a category.

        Args:
          category: its name, or its number where the names are no numbers.
          argument: what a message calls it.

        Returns:
          From 0 on.

        Raises:
          ValueError, TypeError: if there is none of this name; the argument is named.
        """
        names = self.category_names
        if isinstance(category, str) or _are_numbers(names):
            if str(category) not in names:
                raise ValueError(f"{argument} must be one of {listed(names)}, got {category}")
            return names.index(str(category))
        number = checks.positive_int(argument, category, minimum=0)
        if number >= len(names):
            raise ValueError(f"{argument} must be from 0 to {len(names) - 1}, got {number}")
        return number

    @property
    def parts(self) -> Parts:
        """What the model was bound of."""
        return evaluation.parts_of_vae("a saved model", self.vae)

    def _refines(self, refine: bool) -> bool:
        return checks.boolean("refine", refine) and has_topics(self.vae)

    def _refined(self, data: Batch) -> Any:
        return refined(jax.random.key(0), self.vae, self.params, data)

    def _each(self, function: Any, what: str, x: Any, batch_size: int) -> Any:
        data = examples(self._examples(unweighted(x)))
        each = functools.partial(function, self.vae, self.params)
        found = by_batches(each, data, batch_size, FEW_SIZES)
        return numbers(what, found, self.params, finite=True)

    def _decoded(self, z: Any, batch: Batch | None) -> Any:
        found = jax.device_get(_decoded(self.vae, self.params, z, batch))
        return numbers("the mean", found, self.params, finite=True)

    def _examples(self, x: Any) -> Batch:
        """Examples, of whose shape it is known that it is the model's."""
        checks.on_host("there call vae.encode", x=x)
        batch, own = as_batch(x), self.description
        batch = batch._replace(x=saved_inputs.by_names(batch.x, own.column_names))
        saved_inputs.check_rows("x", batch.x, own.data_shape)
        if own.masked and batch.mask is None and not is_sparse(batch.x):
            values = np.asarray(batch.x)
            seen = ~np.isnan(values)
            batch = batch._replace(x=np.where(seen, values, 0), mask=None if seen.all() else seen)
        if own.condition_shape is not None:
            if batch.condition is None:
                raise ValueError("x must be a jaxvae.Batch with the condition that the model was "
                                 "trained with, got one without")  # fmt: skip
            saved_inputs.check_rows("condition", batch.condition, own.condition_shape)
        data = examples(batch.x, mask=batch.mask)
        bind_checks.check_in_units(self.parts, data.x, data.mask)
        return batch

    def _condition(self, condition: Any, count: int) -> Any:
        return saved_inputs.condition(condition, self.description.condition_shape, count)

    def _labels(self, y: Any) -> np.ndarray:
        names = self.description.label_names
        is_text = np.asarray(y).dtype.kind not in "biuf"
        if names is not None and (is_text or _are_numbers(names)):
            return labels.encode_labels(y, names)[0]
        return labels.plain_labels("y", y, len(y))

    def _category(self, category: Any) -> int:
        if not self.parts.prior.uses_labels:
            raise ValueError("category must be None where the prior is not made from labels, "
                             f"got {category!r}")  # fmt: skip
        return self.category_number(category)


def _are_numbers(names: tuple[str, ...]) -> bool:
    """Whether labels are numbers by name: a number then is a name, as it was in the user's data."""
    return all(name.lstrip("-").isdecimal() for name in names)


@functools.partial(compiled.jit, static_argnums=0)
def _posterior(vae: VAE, params: Params, batch: Batch) -> Any:
    return vae.encode(params, batch)


@functools.partial(compiled.jit, static_argnums=0)
def _reconstructed(vae: VAE, params: Params, batch: Batch) -> Any:
    assert vae.parts is not None
    return vae.decode(params, vae.parts.latent.mean(vae.encode(params, batch)), batch)


@functools.partial(compiled.jit, static_argnums=0)
def _decoded(vae: VAE, params: Params, z: Any, batch: Batch | None) -> Any:
    return vae.decode(params, z, batch)
