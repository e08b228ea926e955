"""Does a model use its latent? A report that prints as a table."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.examples import examples, host_batches
from jaxvae.model import latents, priors
from jaxvae.model.evaluation import encode_mean, evaluate, parts_of_vae
from jaxvae.model.generation import reconstruct
from jaxvae.model.networks import Params
from jaxvae.model.priors import Context
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks, compiled

ACTIVE = 0.01  # share of the variance that there can be, above which a unit is active


@door("evaluation")
class PartReport(NamedTuple):
    """How much of one latent is used.

    Attributes:
      dimensions: K.
      active: how many have a posterior mean whose variance over the examples is above 0.01; on a
        simplex above a hundredth of what the corners alone have, (K - 1) / K^2.
      kl: nats an example.
      kl_by_dimension: nats [K], where the dimensions are independent, else None.
      in_use: of a simplex, how many categories are some example's largest; else None.

    Example:
      >>> PartReport(2, 1, 0.7, np.array([0.7, 0.0]), None).active
      1
    """

    dimensions: int
    active: int
    kl: float
    kl_by_dimension: np.ndarray | None
    in_use: int | None


@door("evaluation")
class CollapseReport(NamedTuple):
    """Whether a model uses its latent; it prints as a table.

    Attributes:
      parts: {name: PartReport}; one, "z", unless the latent is a product.
      explained: the share of the variance about the mean example that the reconstructions explain,
        in the model's units, so that no column counts more for its unit; at most 1, and 0 for a
        model that says nothing of x. None where x is no array of numbers of the reconstructions'
        shape.
      notes: sentences about what is wrong.

    Example:
      >>> print(CollapseReport({"z": PartReport(2, 0, 0.0, None, None)}, 0.0, ()))
      part  dimensions  active  in use    KL
      z              2       0       -  0.00
      explained beside the mean: 0.0%
    """

    parts: Mapping[str, PartReport]
    explained: float | None
    notes: tuple[str, ...]

    def __str__(self) -> str:
        width = max(4, *(len(name) for name in self.parts))
        lines = [f"{'part':{width}}  dimensions  active  in use    KL"]
        for name, part in self.parts.items():
            in_use = "-" if part.in_use is None else part.in_use
            lines.append(
                f"{name:{width}}  {part.dimensions:10d}  {part.active:6d}  {in_use:>6}  "
                f"{part.kl:4.2f}"
            )
        if self.explained is not None:
            lines.append(f"explained beside the mean: {self.explained:.1%}")
        return "\n".join([*lines, *self.notes])


def collapse_report(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    condition: Any = None,
    mask: Any = None,
    batch_size: int = 256,
) -> CollapseReport:
    """Report whether a model uses its latent.

    Args:
      key: one typed key.
      vae: the model.
      params: its parameters.
      x: examples [N, ...], at least two, in any form that `fit` takes but a stream.
      y: integer labels [N] where the model's prior needs them.
      condition: what encoder and decoder see beside x [N, ...], or None.
      mask: of x's shape, 1 where a value was seen, or None.
      batch_size: examples a compiled call; the result depends on it by rounding alone.

    Returns:
      The report.

    Raises:
      ValueError, TypeError: if the data do not fit the model; the argument is named.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> report = collapse_report(jax.random.key(1), vae, params, np.eye(64))
      >>> report.parts["z"].dimensions
      2

    Source: active units: Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders.
    """
    checks.on_host("there call vae.terms", key=key, params=params, x=x, y=y)
    checks.typed_key("key", key)
    check_model(vae, params)
    parts = parts_of_vae("collapse_report", vae)
    data = examples(x, y, condition=condition, mask=mask)
    result = evaluate(key, vae, params, data, batch_size=batch_size)
    means = encode_mean(vae, params, data, batch_size=batch_size)
    by_dimension = _kl_by_dimension(vae, params, data, batch_size)
    found = {}
    for name, latent in latents.parts_of(parts.latent).items():
        z = means[name] if parts.latent.parts else means
        in_use = len(np.unique(z.argmax(axis=1))) if latent.support == "simplex" else None
        kl = result.more[f"kl_{name}"] if parts.latent.parts else result.kl
        active = int(active_units(latent, z).sum())
        found[name] = PartReport(z.shape[1], active, kl, by_dimension[name], in_use)
    explained = _explained(key, vae, params, data, batch_size)
    return CollapseReport(found, explained, tuple(_notes(found, explained, params)))


def active_units(latent: latents.Latent, z: np.ndarray) -> np.ndarray:
    """Which dimensions of a latent tell examples apart.

    Args:
      latent: the family.
      z: the posterior mean of each example [N, K].

    Returns:
      [K], true where its variance is above 0.01, a hundredth of a standard Normal's; on a simplex
      above a hundredth of what the corners have, each as often: with many categories all shares
      are small.

    Example:
      >>> z = np.array([[0.02, 0.98], [0.04, 0.96]]) @ np.eye(2, 20) + 0.001
      >>> active_units(latents.normal, z).sum(), active_units(latents.dirichlet, np.eye(20)).sum()
      (np.int64(0), np.int64(20))

    Source: Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders.
    """
    width = z.shape[1]
    room = (width - 1) / width**2 if latent.support == "simplex" else 1.0
    return z.var(axis=0) > ACTIVE * room


def _notes(parts: Mapping[str, PartReport], explained: float | None, params: Params) -> list[str]:
    notes = [
        f"{name} is collapsed: none of its {part.dimensions} dimensions is active."
        for name, part in parts.items()
        if not part.active
    ]
    if explained is not None and explained < 0.01:
        notes.append("The model reconstructs no better than the mean example does.")
    smallest = [
        float(np.exp(np.min(leaf)))
        for leaf in jax.tree.leaves(params.get("likelihood", {}).get("log_scale", ()))
    ]
    if smallest and min(smallest) < 1e-3:
        notes.append("The likelihood's learned scale is at its minimum.")
    return notes


def _explained(
    key: jax.Array, vae: VAE, params: Params, data: Batch, batch_size: int
) -> float | None:
    """The share of x's variance about its mean that reconstructions explain, in model units."""
    if not hasattr(data.x, "mean") or data.mask is not None:
        return None
    forward = parts_of_vae("collapse_report", vae).transform.forward

    def in_model_units(x: Any) -> np.ndarray:
        return np.asarray(forward(np.asarray(x, np.float32)), np.float64)

    mean, errors, total = _mean_in_model_units(in_model_units, data, batch_size), 0.0, 0.0
    for batch in host_batches(data, batch_size):
        own = np.asarray(batch.weight) > 0
        x = np.asarray(batch.x)
        # By their places in all of the data, so that the draws are those of one call.
        placed = Batch(x, position=batch.position, condition=batch.condition)
        made = reconstruct(key, vae, params, placed, batch_size=len(x))
        if np.shape(made) != x.shape:
            return None
        seen = in_model_units(x)
        errors += float(((seen - in_model_units(made))[own] ** 2).sum())
        total += float(((seen - mean)[own] ** 2).sum())
    return 1 - errors / total if total else None


def _mean_in_model_units(
    in_model_units: Callable[[Any], np.ndarray], data: Batch, batch_size: int
) -> np.ndarray:
    """The mean example, weights left aside as in the errors."""
    sums = 0.0
    for batch in host_batches(data, batch_size):
        own = in_model_units(batch.x)[np.asarray(batch.weight) > 0]
        sums = sums + own.sum(axis=0)
    return np.asarray(sums) / rows_of(data)


def _kl_by_dimension(
    vae: VAE, params: Params, data: Batch, batch_size: int
) -> dict[str, np.ndarray | None]:
    """Nats [K] of each part whose dimensions are independent of each other."""
    parts = parts_of_vae("collapse_report", vae)
    of = priors.parts_of(parts.prior)
    names = [
        name
        for name, latent in latents.parts_of(parts.latent).items()
        if latent.kl_by_dimension is not None and of[name].family is not None
    ]
    found: dict[str, np.ndarray | None] = dict.fromkeys(of)
    for name in names:
        sums = sum(
            np.float64(_kl_sums(vae, name, params, jax.device_put(batch)))
            for batch in host_batches(data, batch_size)
        )
        found[name] = np.asarray(sums) / rows_of(data)
    return found


@functools.partial(compiled.jit, static_argnums=(0, 1))
def _kl_sums(vae: VAE, name: str, params: Params, batch: Batch) -> jax.Array:
    assert vae.parts is not None
    latent = latents.parts_of(vae.parts.latent)[name]
    prior = priors.parts_of(vae.parts.prior)[name]
    q, own = vae.encode(params, batch), params.get("prior", {})
    if vae.parts.latent.parts:
        q, own = q[name], own.get(name, {})
    assert latent.kl_by_dimension is not None
    kl = latent.kl_by_dimension(q, prior.family[1](own, Context(batch, q)))
    seen = jnp.broadcast_to((jnp.asarray(batch.weight) > 0)[:, None], kl.shape)
    return jnp.sum(jnp.where(seen, kl, 0), axis=0)
