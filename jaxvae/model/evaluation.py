"""What a trained model is worth: its loss on data, its latent means, its marginal likelihood."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxvae._door import door
from jaxvae.data.batches import Batch
from jaxvae.data.examples import FEW_SIZES, by_batches, examples, host_batches, unweighted
from jaxvae.data.labels import plain_labels
from jaxvae.model import bind_checks, latents, priors
from jaxvae.model.finite import numbers
from jaxvae.model.flax_network import named_params
from jaxvae.model.networks import Params
from jaxvae.model.objectives import log_weight
from jaxvae.model.vae import VAE, Parts, check_model, for_labels, model_of
from jaxvae.model.values import Same
from jaxvae.numerics import checks, compiled

# Of `marginal_nll`: examples, and draws of z an example, in one compiled call. What is decoded
# there stays in a processor's cache; sixteen times as many rows took twice the time a row.
NLL_BATCH_SIZE, DRAWS_PER_CALL = 64, 64


@door("evaluation")
class Evaluation(NamedTuple):
    """Means over a data set; or with `per_example` arrays [N], by the data's order.

    Attributes:
      loss: the model's loss, from as many draws of z an example as its objective takes.
      reconstruction: its reconstruction term.
      kl: its KL term, before its weight.
      nelbo: the negative ELBO in nats, the KL at weight 1 whatever the objective; None where the
        terms are no log-densities, as the 2020 original's are not.
      more: what else the objective reports, {name: number}.

    Example:
      >>> Evaluation(loss=4.0, reconstruction=3.0, kl=1.0).loss
      4.0
    """

    loss: Any
    reconstruction: Any
    kl: Any
    nelbo: Any = None
    more: Mapping[str, Any] = {}


def evaluate(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    condition: Any = None,
    mask: Any = None,
    batch_size: int = 1024,
    per_example: bool = False,
) -> Evaluation:
    """The loss and its terms over a data set: the objective itself, without schedules or dropout.

    Args:
      key: one typed key; it draws z.
      vae: the model.
      params: its parameters.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      y: integer labels [N] where the model's prior needs them; -1 where one is missing.
      weight: examples' weights [N], finite, at least 0 and not all 0; None weighs all alike. An
        example's own loss does not depend on them: its draw of z follows its place in x.
      condition: what encoder and decoder see beside x [N, ...], or None.
      mask: of x's shape, 1 where a value was seen, or None.
      batch_size: examples a compiled call; the result depends on it by rounding alone.
      per_example: each example's own values instead of the means; weights then only leave out.

    Returns:
      The means over all examples, by their weights, in the units of the model's objective (nats
      for the ELBO).

    Raises:
      ValueError, TypeError: if the data do not fit the model; the argument is named.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> result = evaluate(jax.random.key(1), vae, params, np.zeros((100, 64)))
      >>> bool(np.isclose(result.loss, result.reconstruction + result.kl))
      True

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes: the estimator of the ELBO.
    """
    checks.on_host("there call vae.loss", key=key, params=params, x=x, y=y, weight=weight)
    checks.typed_key("key", key)
    check_model(vae, params)
    checks.positive_int("batch_size", batch_size)
    data = examples(x, y, weight=weight, condition=condition, mask=mask)
    vae.check_data(params, data)
    vae = for_labels(vae, data.y)
    density = vae.parts is None or bind_checks.are_densities(vae.parts)
    if checks.boolean("per_example", per_example):
        parts_of_vae("per_example", vae)
        each = functools.partial(_each_loss, vae, params, key)
        loss, terms = by_batches(each, data, batch_size, FEW_SIZES)
        numbers("the loss", loss, params)
        nelbo = terms["reconstruction"] + terms["kl"] if density else None
        reconstruction, kl = terms.pop("reconstruction"), terms.pop("kl")
        return Evaluation(loss, reconstruction, kl, nelbo, terms)
    means = mean_losses(key, vae, params, data, batch_size, FEW_SIZES)
    numbers("the loss", means["loss"], params)
    reconstruction, kl = means.pop("reconstruction"), means.pop("kl")
    nelbo = reconstruction + kl if density else None
    return Evaluation(means.pop("loss"), reconstruction, kl, nelbo, means)


def mean_losses(
    key: jax.Array,
    vae: VAE,
    params: Params,
    data: Batch,
    batch_size: int,
    sizes: Sequence[int] = (),
) -> dict[str, float]:
    """What `evaluate` measures, of examples that were checked before: a check takes longer.

    Args:
      key: one typed key; it draws z.
      vae: the model, for these labels.
      params: its parameters.
      data: of `examples`.
      batch_size: examples a compiled call.
      sizes: as for `host_batches`.

    Returns:
      The means over all examples, by their weights: of "loss", "reconstruction", "kl", and more.
    """
    sums: dict[str, float] = {}
    for batch in host_batches(data, batch_size, sizes):
        for name, value in jax.device_get(
            _loss_totals(key, vae, {}, params, jax.device_put(batch))
        ).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    total = sums.pop("weight")
    return {name: value / total for name, value in sums.items()}


def encode_mean(
    vae: VAE, params: Params, x: Any, *, condition: Any = None, batch_size: int = 1024
) -> Any:
    """The posterior mean of z for each example.

    Args:
      vae: the model.
      params: its parameters.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      condition: what the encoder sees beside x [N, ...], or None.
      batch_size: examples a compiled call.

    Returns:
      [N, K]: loc for a Normal latent, concentration / sum(concentration) for a Dirichlet one; of a
      product a dict by part.

    Raises:
      ValueError, TypeError: if x is not examples of finite numbers, or the model is not made of
        parts.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> encode_mean(vae, params, np.zeros((100, 64))).shape
      (100, 2)
    """
    checks.on_host("there call vae.encode", params=params, x=x)
    check_model(vae, params)
    latent = parts_of_vae("encode_mean", vae).latent
    data = examples(unweighted(x), condition=condition)
    batch_size = checks.positive_int("batch_size", batch_size)
    with named_params(bind_checks.told(data)):
        each = functools.partial(_posterior_mean, vae, params)
        found = by_batches(each, data, batch_size, FEW_SIZES)
    for z in found.values() if latent.parts else (found,):
        if not isinstance(z, np.ndarray):
            raise TypeError(f"latent.mean must return z, an array [B, K], got {type(z).__name__}")
    return numbers("the posterior mean", found, params)


def accuracy(
    vae: VAE,
    params: Params,
    x: Any,
    y: Any,
    *,
    part: str | None = None,
    condition: Any = None,
    batch_size: int = 1024,
) -> float:
    """The share of examples whose most probable category is their label.

    Args:
      vae: a model with a latent on the simplex whose prior is made from labels. With another prior
        the numbering of the categories is arbitrary.
      params: its parameters.
      x: examples [N, ...].
      y: labels [N] from 0 on; an example whose label is missing (-1) does not count.
      part: of a product, which; the only one whose prior is made from labels where None.
      condition: what the encoder sees beside x [N, ...], or None.
      batch_size: examples a compiled call.

    Returns:
      A number in [0, 1].

    Raises:
      ValueError, TypeError: if x or y cannot be used or the latent is not on the simplex; the
        argument is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network, dirichlet_vae
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> x = np.random.default_rng(0).random((100, 64))
      >>> own = encode_mean(vae, params, x).argmax(axis=1)
      >>> accuracy(vae, params, x, own)
      1.0
    """
    checks.on_host("there call vae.encode", params=params, x=x, y=y)
    check_model(vae, params)
    name = _labelled_part(parts_of_vae("accuracy", vae), part)
    z = encode_mean(vae, params, x, condition=condition, batch_size=batch_size)
    z = z[name] if isinstance(z, dict) else z
    y = plain_labels("y", y, len(z))
    checks.label_array("y", y, len(z), categories=z.shape[1], missing=True)
    known = y >= 0
    if not known.any():
        raise ValueError(f"y must hold a label that is not missing, got {len(y)} times -1")
    return float(np.mean(z.argmax(axis=1)[known] == y[known]))


def marginal_nll(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    draws: int,
    condition: Any = None,
    mask: Any = None,
    batch_size: int = NLL_BATCH_SIZE,
    draws_per_call: int | None = None,
) -> np.ndarray:
    """-log p(x) of each example, by importance sampling with the posterior.

    An upper bound in expectation, which comes down to the true value with the number of draws.

    Args:
      key: one typed key. Each draw follows from the example's place in x and the draw's number, so
        that neither size below changes the result by more than rounding.
      vae: a model whose terms are true log-densities.
      params: its parameters.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      y: integer labels [N] where the model's prior needs them: then it is -log p(x | y).
      draws: of z an example, at least 1.
      condition: what encoder and decoder see beside x [N, ...], or None.
      mask: of x's shape, 1 where a value was seen, or None.
      batch_size: examples a compiled call.
      draws_per_call: draws a compiled call; 64, or fewer where `draws` is, where None.

    Returns:
      Nats [N], float64.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed, the data do not fit the
        model, or the model minimises the original's objective; the argument is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network, dirichlet_vae, symmetric_prior
      >>> network = dense_dirichlet_network(64, 10, layers=1, hidden_units=16)
      >>> vae = dirichlet_vae(network, prior=symmetric_prior())
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> marginal_nll(jax.random.key(1), vae, params, np.zeros((5, 64)), draws=10).shape
      (5,)

    Source: Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders.
    """
    checks.on_host("there use vae.terms", key=key, params=params, x=x, y=y)
    checks.typed_key("key", key)
    check_model(vae, params)
    draws = checks.positive_int("draws", draws)
    batch_size = checks.positive_int("batch_size", batch_size)
    if draws_per_call is None:
        draws_per_call = DRAWS_PER_CALL
    size = min(checks.positive_int("draws_per_call", draws_per_call), draws)
    bind_checks.check_densities("marginal_nll", parts_of_vae("marginal_nll", vae))
    data = examples(unweighted(x), y, condition=condition, mask=mask)
    vae.check_data(params, data)
    vae = for_labels(vae, data.y)

    def each(batch: Batch) -> np.ndarray:
        log_sum = np.full(1, -np.inf)
        for first in range(0, draws, size):
            number = min(size, draws - first)
            part = _log_weights(vae, params, key, batch, number, jnp.uint32(first))
            with np.errstate(invalid="ignore"):  # NaN is refused below
                log_sum = np.logaddexp(log_sum, np.float64(jax.device_get(part)))
        return np.log(draws) - log_sum

    return numbers("the NLL", by_batches(each, data, batch_size, FEW_SIZES), params)


def parts_of_vae(name: str, vae: VAE) -> Parts:
    """The parts that a model was bound of.

    Args:
      name: of what needs them.
      vae: the model.

    Returns:
      The parts.

    Raises:
      ValueError: if the model is the user's own, made without `bind`.
    """
    if vae.parts is None:
        raise ValueError(f"vae must be made by bind for {name}, got one without parts")
    return vae.parts


def _labelled_part(parts: Parts, part: str | None) -> str:
    """The part of the latent whose categories are the labels."""
    of = latents.parts_of(parts.latent)
    if part is None:
        made = [name for name, prior in priors.parts_of(parts.prior).items() if prior.uses_labels]
        candidates = made if len(of) > 1 else list(of)
        if len(candidates) != 1:
            raise ValueError(f"part must be one of {list(of)}, got None and {len(made)} of labels")
        part = candidates[0]
    checks.one_of("part", part, of)
    if of[part].support != "simplex":
        raise ValueError(f"vae must have a latent on the simplex, got a {of[part].support} one")
    return part


def loss_totals(
    key: jax.Array, make: VAE | Same, values: Mapping[str, Any], params: Params, batch: Batch
) -> dict[str, jax.Array]:
    """Sums over a batch, each example by its weight, from which means over all batches follow.

    Args:
      key: one typed key.
      make: of `model_of`.
      values: of `model_of`.
      params: the model's parameters.
      batch: with weights.

    Returns:
      The sums of loss and terms, and of the weights, by name.
    """
    loss, terms = model_of(make, values).loss(params, key, batch)
    weight = jnp.asarray(batch.weight)
    each = {"reconstruction": terms.reconstruction, "kl": terms.kl, **terms.more}
    # A term that is not finite counts for nothing too where its weight is 0.
    sums = {name: jnp.vdot(jnp.where(weight > 0, v, 0), weight) for name, v in each.items()}
    total = jnp.sum(weight)
    return {**sums, "loss": loss * total, "weight": total}


_loss_totals = compiled.jit(loss_totals, static_argnums=1)


@functools.partial(compiled.jit, static_argnums=0)
def _each_loss(
    vae: VAE, params: Params, key: jax.Array, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    assert vae.parts is not None
    each, _ = vae.parts.objective.loss(vae.terms(params, key, batch), None)
    _, terms = vae.loss(params, key, batch)
    return each, {"reconstruction": terms.reconstruction, "kl": terms.kl, **terms.more}


@functools.partial(compiled.jit, static_argnums=0)
def _posterior_mean(vae: VAE, params: Params, batch: Batch) -> Any:
    assert vae.parts is not None
    return vae.parts.latent.mean(vae.encode(params, batch))


@functools.partial(compiled.jit, static_argnums=(0, 4))
def _log_weights(
    vae: VAE, params: Params, key: jax.Array, batch: Batch, draws: int, first: jax.Array
) -> jax.Array:
    """log sum of the importance weights [B] of some draws."""
    terms = vae.terms(params, key, batch, draws=draws, first=first)
    return logsumexp(log_weight(terms), axis=0)
