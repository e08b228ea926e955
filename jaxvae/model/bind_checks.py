"""What `bind` refuses: parts that do not go together, and what a network returns of other shapes.

Shapes are looked at while they are traced: compiled code pays nothing.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.sparse import is_sparse
from jaxvae.model import latents, priors
from jaxvae.model.latents import Latent
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.objectives import GRADIENTS, Objective
from jaxvae.model.priors import Prior
from jaxvae.model.transforms import Transform, identity
from jaxvae.numerics import checks

ROWS_CHECKED = 4096  # together


def check_parts(parts: Any) -> None:
    """Refuse parts that are no such values, or do not fit each other.

    Args:
      parts: of a VAE.

    Raises:
      ValueError, TypeError: the argument is named.
    """
    checks.instance("latent", parts.latent, Latent, "a jaxvae.latents.Latent")
    checks.instance("prior", parts.prior, Prior, "a jaxvae.priors.Prior")
    checks.instance("likelihood", parts.likelihood, Likelihood, "a jaxvae.likelihoods.Likelihood")
    checks.instance("objective", parts.objective, Objective, "a jaxvae.objectives.Objective")
    checks.instance("transform", parts.transform, Transform, "a jaxvae.transforms.Transform")
    names, of_prior = (list(each.parts_of(value)) for each, value in (
        (latents, parts.latent), (priors, parts.prior)))  # fmt: skip
    if set(names) != set(of_prior):
        raise ValueError(f"prior must have the latent's parts, {names}, got {of_prior}")
    for name, prior in priors.parts_of(parts.prior).items():
        own = latents.parts_of(parts.latent)[name]
        other = None if prior.family is None else prior.family[0]
        if other is None or own.shapes is None or other.shapes is None:
            continue
        if not _alike(own.shapes((1, 2)), other.shapes((1, 2))):
            of = f" of {name}" if parts.latent.parts else ""
            raise ValueError(
                f"prior{of} must have the latent's parameters, {own.form}, got a prior of "
                f"{other.form}"
            )
    checks.one_of("objective.gradient", parts.objective.gradient, GRADIENTS)
    checks.positive_int("objective.draws", parts.objective.draws)
    if unknown := [name for name in parts.objective.parts if name not in names]:
        raise ValueError(f"kl_weight must be of the latent's parts, {names}, got {unknown}")
    if parts.objective.needs_densities:
        check_densities("objective", parts)


def check_densities(name: str, parts: Any) -> None:
    """Refuse a model whose terms are no log-densities, as those of the 2020 original are not.

    Args:
      name: of what needs them.
      parts: of a VAE.

    Raises:
      ValueError: if they are not.
    """
    if not are_densities(parts):
        raise ValueError(
            f"{name} needs true log-densities, got a model of the 2020 original's objective, whose "
            f"terms are none"
        )


def are_densities(parts: Any) -> bool:
    """Whether a model's terms are true log-densities.

    Args:
      parts: of a VAE.

    Returns:
      False for those of the 2020 original.
    """
    return all(value.normalized for value in (parts.latent, parts.prior, parts.likelihood))


def check_batch(batch: Batch) -> None:
    """Refuse shapes that would broadcast.

    Args:
      batch: of one step.

    Raises:
      ValueError: the field is named.
    """
    leaves = jax.tree.leaves(batch.x)
    if not leaves or any(jnp.ndim(leaf) < 2 for leaf in leaves):
        raise ValueError(f"x must have the shape [B, D] or more axes, got {shapes(batch.x)}")
    rows = rows_of(batch)
    if any(jnp.shape(leaf)[0] != rows for leaf in leaves):
        raise ValueError(f"x must have as many rows in each array, got {shapes(batch.x)}")
    checks.one_a_row((rows,), y=batch.y, weight=batch.weight, position=batch.position)
    if batch.y is not None and not jnp.issubdtype(jnp.result_type(batch.y), jnp.integer):
        raise TypeError(f"y must hold integers, got {jnp.result_type(batch.y)}")
    for leaf in jax.tree.leaves(batch.condition):
        if jnp.shape(leaf)[:1] != (rows,):
            raise ValueError(f"condition must have {rows} rows as x, got {jnp.shape(leaf)}")
    if batch.mask is not None and shapes(batch.mask) != shapes(batch.x):
        raise ValueError(f"mask must have the shape of x, {shapes(batch.x)}, "
                         f"got {shapes(batch.mask)}")  # fmt: skip


def check_init(params: Any, own: tuple[str, ...]) -> None:
    """Refuse a network's parameters that those of the other parts cannot stand beside.

    Args:
      params: what `network.init` returned.
      own: the names under which those lie.

    Raises:
      ValueError, TypeError: if they are no dict, or one of the names is taken.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"network.init must return a dict, got {type(params).__name__}")
    if taken := [name for name in own if name in params]:
        raise ValueError(f"network.init must not use the names {own}, got {taken}")


def check_each(returned: Mapping[str, Any], batch: Batch) -> None:
    """Refuse what is no number for each example: it would broadcast against those that are.

    Args:
      returned: what functions returned, by their names; of a product by part.
      batch: the examples.

    Raises:
      ValueError: the function is named.
    """
    rows = rows_of(batch)
    for name, values in returned.items():
        for leaf in jax.tree.leaves(values):
            if jnp.shape(leaf) != (rows,):
                raise ValueError(
                    f"{name} must return a number for each of {rows} examples, got the shape "
                    f"{list(jnp.shape(leaf))}"
                )


def check_z(z: Any) -> None:
    """Refuse what is no array: JAX takes a list of numbers for a tree of as many arrays.

    Args:
      z: of `vae.decode`.

    Raises:
      TypeError: if it is none, nor a tree of such.
    """
    for leaf in jax.tree.leaves(z, is_leaf=lambda node: type(node) in (list, tuple)):
        if not getattr(leaf, "shape", ()):
            what = type(leaf).__name__
            raise TypeError(f"z must be an array [..., K], by part of a product, got a {what}")


def check_posterior(latent: Latent, q: Any, outputs: Any, rows: int) -> None:
    """Refuse what an encoder returned if it is not the latent's parameters for each example.

    Args:
      latent: the family.
      q: what `latent.wrap` made of the outputs.
      outputs: as they came.
      rows: B.

    Raises:
      ValueError: what it must be, and what came.
    """

    def right(latent: Latent, q: Any) -> bool:
        found: list[Any] = [getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(q)]
        if not found or any(len(shape) < 2 or shape[0] != rows for shape in found):
            return False
        if latent.shapes is None:
            return True
        # z is as wide as the first parameter, or by one wider: what is left of a stick.
        wanted = [latent.shapes((rows, found[0][-1] + more)) for more in (0, 1)]
        return any(_alike(q, other) and shapes(q) == shapes(other) for other in wanted)

    if latent.parts:
        fits = isinstance(q, Mapping) and all(
            name in q and right(part, q[name]) for name, part in latent.parts
        )
        of = "shapes,"
    else:
        fits = right(latent, q)
        several = latent.shapes is not None and len(jax.tree.leaves(latent.shapes((1, 2)))) > 1
        of = "one shape," if several else "a shape"
    if not fits:
        raise ValueError(
            f"network.encode must return {latent.form}, got {shapes(outputs)}; "
            f"of {of} with B = {rows}"
        )


def _alike(a: Any, b: Any) -> bool:
    """Whether two trees have one structure."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (a, b)]
    return structures[0] == structures[1]


def check_one_array(decoded: Any) -> None:
    """Refuse what a decoder returned for one array x if it is not one array.

    Args:
      decoded: what came.

    Raises:
      TypeError: what it must be, and what came.
    """
    if not isinstance(decoded, jax.Array | np.ndarray):
        raise TypeError(f"network.decode must return one array [B, D], got {shapes(decoded)}")


def check_decoded(likelihood: Likelihood, decoded: Any, x: Any) -> None:
    """Refuse what a decoder returned if the likelihood needs x's shape and it has another.

    Args:
      likelihood: of the model.
      decoded: what came.
      x: the examples.

    Raises:
      ValueError, TypeError: what it must be, and what came.
    """
    if not likelihood.same_shape:
        return
    if isinstance(x, jax.Array | np.ndarray):
        check_one_array(decoded)
    _check_shape_of_x(decoded, x)


def check_data(
    parts: Any,
    params: Any,
    data: Batch,
    encoded: Callable[[Any, Batch], Any],
    modelled: Callable[[Any, Batch], Any],
) -> None:
    """Refuse data that a model cannot be trained on.

    Args:
      parts: of the VAE.
      params: its parameters, or their shapes.
      data: all examples, on the host.
      encoded: `encoded(params, batch)`, what the encoder returns.
      modelled: `modelled(params, batch)` -> the posterior, and what is decoded of it, checked.

    Raises:
      ValueError, TypeError: the argument is named.
    """
    rows = rows_of(data)
    shape = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data)
    _check_values(parts, data)
    try:
        jax.eval_shape(encoded, params, shape)
    except Exception as error:  # each kind of network has kinds of its own
        raise ValueError(
            f"params must be of this model, and it must be made for {told(shape)}: {error}"
        ) from error
    q, decoded = jax.eval_shape(modelled, params, shape)
    if data.mask is None and parts.transform == identity():
        parts.likelihood.fits(data.x, decoded)
    for name, prior in priors.parts_of(parts.prior).items():
        if prior.uses_labels:
            if data.y is None:
                raise ValueError("y must hold the labels that the prior is made from, got None")
            width = jax.tree.leaves(q[name] if parts.latent.parts else q)[0].shape[-1]
            missing = prior.closed is not None
            checks.label_array("y", data.y, rows, width, missing=missing)


def told(batch: Batch) -> str:
    """What encoder and decoder see, for an error.

    Args:
      batch: of examples.

    Returns:
      Their shapes.

    Example:
      >>> told(Batch(np.zeros((3, 5))))
      'x (3, 5) and no condition'
    """
    given = "no condition"
    if batch.condition is not None:
        given = f"the condition {shapes(batch.condition)}"
    return given if batch.x is None else f"x {shapes(batch.x)} and {given}"


@contextlib.contextmanager
def values_as_numbers(values: Mapping[str, Any]) -> Iterator[None]:
    """Around a function that makes a model of values, which compiled code does not know yet.

    Args:
      values: by name.

    Yields:
      Nothing.

    Raises:
      TypeError: where the function needs to know one.
    """
    try:
        yield
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
    ) as error:
        raise TypeError(
            f"make must take {', '.join(values)} as numbers of the model, not as a size, nor to "
            "choose by: one program is compiled for all values; models that differ otherwise are "
            "fitted one by one"
        ) from error


def _check_shape_of_x(decoded: Any, x: Any) -> None:
    if shapes(decoded) == shapes(x):
        return
    flat = isinstance(x, jax.Array | np.ndarray) and x.ndim > 2 and jnp.ndim(decoded) == 2
    hint = "; give the network the shape of an example, or flatten x" if flat else ""
    raise ValueError(
        f"network.decode must return the shape of x, {shapes(x)}, got {shapes(decoded)}{hint}"
    )


def _check_values(parts: Any, data: Batch) -> None:
    """The likelihood's check of what was seen, in model units; some rows at a time, as bytes are a
    quarter of what they become.
    """
    if parts.transform == identity():
        parts.likelihood.check(_seen(data.x, data.mask))
        return
    if any(hasattr(leaf, "nnz") for leaf in jax.tree.leaves(data.x)):
        return

    def check(rows: slice) -> None:
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf[rows], jnp.float32), data.x)
        mask = jax.tree.map(lambda leaf: leaf[rows], data.mask)
        parts.likelihood.check(_seen(jax.device_get(parts.transform.forward(wide)), mask))

    try:
        for start in range(0, rows_of(data), ROWS_CHECKED):
            check(slice(start, start + ROWS_CHECKED))
    except ValueError:
        check(slice(None))  # its message has the place among all rows
        raise


def _seen(x: Any, mask: Any) -> Any:
    """x with 0 where a value was not seen, as the model has it."""
    if mask is None:
        return x
    return jax.tree.map(lambda leaf, own: leaf if is_sparse(leaf) else leaf * own, x, mask)


def check_in_units(parts: Any, x: Any, mask: Any = None) -> None:
    """Refuse values that the likelihood refuses, of a model that takes them as they are.

    Of scaled ones the encoder may see some that lie beyond those of training.

    Args:
      parts: of the VAE.
      x: examples [N, ...], on the host.
      mask: of x's shape, or None: what it leaves out is not looked at.

    Raises:
      ValueError: if there is such a value.
    """
    if parts.transform == identity():
        parts.likelihood.check(_seen(x, mask))


def shapes(tree: Any) -> Any:
    """The shapes of a tree's arrays, for an error; what is no array stays as it is.

    Args:
      tree: of anything.

    Returns:
      The tree.
    """
    return jax.tree.map(lambda leaf: getattr(leaf, "shape", leaf), tree)
