"""`VAE`, a tuple of pure functions, and `bind`, which makes one of its parts."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.data.batches import Batch, as_batch, rows_of
from jaxvae.model import bind_checks, latent_shapes, latents, priors, transforms
from jaxvae.model.draws import (
    draw,
    draw_keys,
    example_keys,
    noise_of,
    scaled_path,
    split_alike,
)
from jaxvae.model.given_params import check_params
from jaxvae.model.latents import Latent
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.loss_terms import LossTerms, weighted_mean
from jaxvae.model.networks import Network, Params, Training, whole
from jaxvae.model.objectives import Objective, Terms, elbo, kl_by_part, mean_of_draws
from jaxvae.model.priors import Context, Prior
from jaxvae.model.transforms import Transform, identity
from jaxvae.model.values import Same, made_by, recipe_of
from jaxvae.numerics import checks

OWN = ("prior", "likelihood")  # what they add to the network's parameters
# Folded into an example's key, for the noise of the network itself; no draw has such a number.
ENCODER, DECODER = 0xFFFFFFFE, 0xFFFFFFFD


class Parts(NamedTuple):
    """What a VAE was bound of."""

    network: Network
    latent: Latent
    prior: Prior
    likelihood: Likelihood
    objective: Objective
    transform: Transform


def accept_any_data(params: Params, x: Any, y: Any = None) -> None:
    """The check of a VAE that has none: it accepts any params, x and y."""


@door("models")
class VAE(NamedTuple):
    """A variational autoencoder as pure functions. No field holds parameters.

    Attributes:
      init: `init(key, x [B, ...]) -> params`; or with a `Batch` in place of x.
      encode: `encode(params, x [B, ...])` -> the posterior's parameters: `Normal(loc, scale)`,
        which unpacks as a pair; `Dirichlet(concentration)`, which is also an array [B, K]; of a
        product a dict. With a condition: a `Batch` in place of x.
      decode: `decode(params, z [..., K], batch=None) -> [..., D]`: the mean of x given z, in data
        space (for a Bernoulli likelihood the probabilities, not the logits).
      terms: `terms(params, key, batch, *, draws=None, first=None, q=None) -> Terms`; each draw by
        the key of its number, from `first` on; with q as the posteriors, not the encoder's.
      loss: `loss(params, key, batch, step=None, *, axis_name=None) -> (scalar, LossTerms)`, the
        scalar the weighted mean over the batch. With a step the model is trained: schedules, free
        bits, dropout and batch norm are at work, and gradients are the objective's estimator
        (`stl`, `dreg`); without one the loss is the objective itself.
      sample_prior: `sample_prior(params, key, shape [..., K]) -> z [..., K]`; in place of the
        shape, how many (where the network says its latent's width), or a `Batch` whose labels or
        conditions the prior follows.
      check_data: `check_data(params, x, y=None)` raises, on the host, if the model cannot be
        trained on these NumPy arrays (or on a `Batch` of them as x); `params` may be abstract
        shapes. `fit` and `evaluate` call it.
      parts: what it was bound of: network, latent, prior, likelihood, objective, transform.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> z = vae.sample_prior(params, jax.random.key(1), (5, 2))
      >>> vae.decode(params, z).shape
      (5, 64)
    """

    init: Callable[..., Params]
    encode: Callable[..., Any]
    decode: Callable[..., Any]
    terms: Callable[..., Terms]
    loss: Callable[..., tuple[jax.Array, LossTerms]]
    sample_prior: Callable[..., Any]
    check_data: Callable[..., None] = accept_any_data
    parts: Parts | None = None


def check_model(vae: VAE, params: Any = None) -> None:
    """Refuse what is no model, before it is called.

    Args:
      vae: the argument of this name.
      params: the argument of this name, where there is one.

    Raises:
      TypeError: if it is no VAE, one of its functions is not hashable, or params are a state.
      ValueError: if params were given to a step, which took them.
    """
    checks.instance("vae", vae, VAE, "a jaxvae.VAE")
    checks.hashable("vae", vae, "made of hashable functions")
    check_params(params)


@made_by
def bind(
    network: Network,
    latent: Latent,
    prior: Prior,
    likelihood: Likelihood,
    objective: Objective | None = None,
    *,
    transform: Transform | None = None,
) -> VAE:
    """Make a VAE of its parts.

    Args:
      network: encoder and decoder. Its encoder returns the latent's parameters, named or bare.
      latent: the family of the posterior, from `jaxvae.latents`.
      prior: over the same latent, from `jaxvae.priors`; for a product one by the same names.
      likelihood: what the decoder's output says of x, from `jaxvae.likelihoods`.
      objective: what is minimised, from `jaxvae.objectives`; `elbo()` where None.
      transform: from the units of the data to the model's; none where None.

    Returns:
      The model. Its parameters are the network's, and beside them under "prior" and "likelihood"
      what these have of their own. Equal parts make equal models.

    Raises:
      ValueError, TypeError: if a part is of another kind, or they do not go together.

    Example:
      >>> import jaxvae
      >>> from jaxvae import latents, likelihoods, objectives, priors
      >>> vae = bind(
      ...     jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=16),
      ...     latents.dirichlet,
      ...     priors.symmetric(0.5),
      ...     likelihoods.multinomial(),
      ...     objectives.elbo(draws=8),
      ... )
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> loss, terms = vae.loss(params, jax.random.key(1), jaxvae.Batch(jnp.ones((5, 64))))
      >>> loss.shape, terms.kl.shape
      ((), (5,))

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes.
    """
    objective = elbo() if objective is None else objective
    transform = identity() if transform is None else transform
    parts = Parts(network, latent, prior, likelihood, objective, transform)
    bind_checks.check_parts(parts)
    net = whole(network)
    family, prior_of = latents.parts_of(latent), priors.parts_of(prior)
    stops_q = objective.gradient in ("stl", "dreg")

    def by_part(values: Any) -> dict[str, Any]:
        """What a latent or a prior gives, by part."""
        return values if latent.parts else {"z": values}

    in_units = functools.partial(transforms.in_units, transform)

    def posterior(params: Params, batch: Batch, training: Training | None) -> tuple[Any, Params]:
        check_params(params)
        outputs, statistics = net.encode(params, batch, training)
        q = latent.wrap(outputs)
        bind_checks.check_posterior(latent, q, outputs, rows_of(batch))
        return q, statistics

    def context(params: Params, batch: Batch, q: Any) -> Context:
        return Context(batch, q, lambda x: posterior(params, Batch(x), None)[0])

    def z_for(batch: Batch, q: Any) -> Any:
        """Some z for each example, where its shapes alone are wanted."""
        return latent.value(draw(latent, example_keys(jax.random.key(0), batch), q))

    def init(key: jax.Array, x: Any) -> Params:
        batch = in_units(as_batch(x))

        def z_of(outputs: Any) -> Any:
            q = latent.wrap(outputs)
            bind_checks.check_posterior(latent, q, outputs, rows_of(batch))
            return z_for(batch, q)

        # Of z the network asks for the shapes alone, by those of what its encoder returns.
        params = net.init(key, batch, functools.partial(jax.eval_shape, z_of))
        bind_checks.check_init(params, OWN)
        q = jax.eval_shape(lambda: posterior(params, batch, None)[0])
        one = jax.tree.map(lambda leaf: leaf[0], batch.x)
        own = {
            "prior": prior.init(jax.random.fold_in(key, 1), Context(batch, q)),
            "likelihood": likelihood.init(jax.random.fold_in(key, 2), one),
        }
        return {**params, **{name: tree for name, tree in own.items() if jax.tree.leaves(tree)}}

    def encode(params: Params, x: Any) -> Any:
        return posterior(params, in_units(as_batch(x)), None)[0]

    def all_terms(
        params: Params,
        key: jax.Array,
        batch: Batch,
        training: Training | None,
        draws: int,
        first: Any,
        q: Any = None,
    ) -> tuple[Terms, Params]:
        """The terms, and the network's statistics as they are afterwards."""
        bind_checks.check_batch(batch)
        batch = in_units(batch)
        keys = example_keys(key, batch)
        noise = noise_of(training, keys, ENCODER)
        q, statistics = posterior(params, batch, noise) if q is None else (q, {})
        frozen_q = jax.lax.stop_gradient(q) if stops_q and training is not None else q
        seen = context(params, batch, q)
        example = batch._replace(weight=None, position=None)
        own_prior, own_likelihood = (params.get(name, {}) for name in OWN)

        def densities(u: Any) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
            log_pz = prior.log_prob(own_prior, u, seen)
            log_qz = latent.log_prob(frozen_q, u)
            bind_checks.check_each({"prior.log_prob": log_pz, "latent.log_prob": log_qz}, batch)
            return by_part(log_pz), by_part(log_qz)

        def one_draw(keys: jax.Array, path: jax.Array | None) -> Any:
            u = draw(latent, keys, q)
            if path is not None:
                u = jax.tree.map(lambda leaf: scaled_path(leaf, path), u)
            noise = noise_of(training, keys, DECODER)
            decoded, statistics = net.decode(params, latent.value(u), batch, noise)
            bind_checks.check_decoded(likelihood, decoded, batch.x)
            rows = split_alike((decoded, batch.x, example))
            log_px = jax.vmap(likelihood.log_prob, (None, 0, 0, 0))(own_likelihood, *rows)
            bind_checks.check_each({"likelihood.log_prob": log_px}, batch)
            return (log_px, *densities(u), u, statistics)

        def all_draws(keys: jax.Array, path: jax.Array | None) -> Any:
            if len(keys) > 1:
                return jax.vmap(one_draw, (0, None if path is None else 0))(keys, path)
            out = one_draw(keys[0], None if path is None else path[0])
            return jax.tree.map(lambda leaf: leaf[None], out)

        keys = draw_keys(keys, draws, first)
        path = None
        if objective.gradient == "dreg" and training is not None:
            log_px, log_pz, log_qz, *_ = jax.lax.stop_gradient(all_draws(keys, None))
            log_w = log_px + sum(log_pz.values()) - sum(log_qz.values())
            path = jax.nn.softmax(log_w, axis=0)
        log_px, log_pz, log_qz, u, decoder_statistics = all_draws(keys, path)
        kl = {part: _kl(part, prior_of[part], own_prior, q, u, seen, densities) for part in family}
        # Each draw was a batch of its own: their statistics count alike.
        mean_statistics = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), decoder_statistics)
        return Terms(log_px, log_pz, log_qz, kl), {**statistics, **mean_statistics}

    def _kl(
        part: str,
        prior: Prior,
        own: Any,
        q: Any,
        u: Any,
        seen: Context,
        densities: Callable[[Any], Any],
    ) -> jax.Array | None:
        if prior.kl is None:
            return None
        if latent.parts:
            own, q, seen = own.get(part, {}), q[part], seen._replace(q=q[part])
        kl = prior.kl(own, q, seen)
        bind_checks.check_each({"prior.kl": kl}, seen.batch)
        known = None if prior.closed is None else prior.closed(seen)
        if known is None:
            return kl

        def by_draws() -> jax.Array:
            log_pz, log_qz = jax.vmap(densities)(u)
            return jnp.where(known, kl, mean_of_draws(log_qz[part] - log_pz[part]))

        # A branch: where all are known, the densities are not computed.
        return jax.lax.cond(jnp.all(known), lambda: kl, by_draws)

    def terms(
        params: Params,
        key: jax.Array,
        batch: Any,
        *,
        draws: int | None = None,
        first: Any = None,
        q: Any = None,
    ) -> Terms:
        draws = objective.draws if draws is None else checks.positive_int("draws", draws)
        return all_terms(params, key, as_batch(batch), None, draws, first, q)[0]

    def loss(
        params: Params,
        key: jax.Array,
        batch: Batch,
        step: Any = None,
        *,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, LossTerms]:
        batch, training = as_batch(batch), None
        if step is not None:
            training = Training(None, batch.weight, axis_name)  # the keys: `noise_of`
        terms, statistics = all_terms(params, key, batch, training, objective.draws, None)
        each, more = objective.loss(terms, step)
        bind_checks.check_each({"objective.loss": each}, batch)
        kls = kl_by_part(terms)
        if latent.parts:
            more = {**more, **{f"kl_{part}": kl for part, kl in kls.items()}}
        reconstruction = -mean_of_draws(terms.log_px)
        reported = LossTerms(reconstruction, sum(kls.values()), more, statistics)  # type: ignore[arg-type]
        return weighted_mean(each, batch.weight), reported

    def decode(params: Params, z: Any, batch: Any = None) -> Any:
        check_params(params)
        bind_checks.check_z(z)
        leading = jnp.shape(jax.tree.leaves(z)[0])[:-1]
        flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, leaf.shape[-1])), z)
        given = None if batch is None else in_units(as_batch(batch))
        decoded, _ = net.decode(params, flat, Batch() if given is None else given, None)
        if likelihood.same_shape and not isinstance(decoded, Mapping):
            bind_checks.check_one_array(decoded)
        own = params.get("likelihood", {})
        example = None if given is None else given._replace(weight=None, position=None)
        mean = jax.vmap(likelihood.mean, (None, 0, None if example is None else 0))(
            own, decoded, example
        )
        x = transform.inverse(mean)
        return jax.tree.map(lambda leaf: leaf.reshape(*leading, *leaf.shape[1:]), x)

    def sample_prior(params: Params, key: jax.Array, shape: Any) -> Any:
        checks.typed_key("key", key)
        batch = in_units(shape) if isinstance(shape, Batch) else Batch()
        if batch.x is not None:
            q = jax.eval_shape(lambda: posterior(params, batch, None)[0])
        else:
            q = latent_shapes.shapes_of(latent, network.latent_shape, shape)
        return latent.value(prior.sample(params.get("prior", {}), key, context(params, batch, q)))

    def check_data(params: Params, x: Any, y: Any = None) -> None:
        data = as_batch(x) if y is None else Batch(x, y)

        def encoded(params: Params, batch: Batch) -> Any:
            return net.encode(params, in_units(batch), None)[0]

        def modelled(params: Params, batch: Batch) -> Any:
            q, own = encode(params, batch), in_units(batch)
            decoded, _ = net.decode(params, z_for(batch, q), own, None)
            bind_checks.check_decoded(likelihood, decoded, own.x)
            return q, decoded

        bind_checks.check_data(parts, params, data, encoded, modelled)

    return VAE(init, encode, decode, terms, loss, sample_prior, check_data, parts)


def model_of(make: VAE | Same, values: Mapping[str, Any]) -> VAE:
    """One of several models that differ in numbers.

    Args:
      make: the model of all; or a function of values that makes it, as a cache holds it.
      values: of this one, numbers or tracers.

    Returns:
      The model.

    Raises:
      TypeError: if the function needs to know a value that is not known yet.
    """
    if not isinstance(make, Same):
        return make
    with bind_checks.values_as_numbers(values):
        return make.value(**values)


def for_labels(vae: VAE, y: Any) -> VAE:
    """The same model, for data in which labels are missing where some are.

    Args:
      vae: the model.
      y: all labels [N], on the host, or None.

    Returns:
      The model itself, unless a label is missing (-1) and its prior has another form for that.
    """
    parts = vae.parts
    if parts is None or parts.prior.with_missing is None or y is None or not (y < 0).any():
        return vae
    recipe = recipe_of(vae.init)  # of `bind`, or of what called it
    if recipe is None or vae != recipe.value:  # a function of it was replaced
        return vae
    prior = parts.prior.with_missing()
    return bind(*parts._replace(prior=prior)[:5], transform=parts.transform)
