"""A network, a latent and an objective bound into `VAE`, a tuple of pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data.batches import Array, Batch
from jaxvae.model import objectives
from jaxvae.model.loss_terms import LossTerms
from jaxvae.model.networks import Network, Params
from jaxvae.numerics import checks, sharding
from jaxvae.numerics.distributions import (
    DIRICHLET_GRADIENTS,
    kl_dirichlet,
    kl_normal,
    sample_dirichlet,
    sample_normal,
)

LIKELIHOODS = ("normal", "bernoulli")
OBJECTIVES = ("elbo", "original")


def accept_any_data(params: Params, x: np.ndarray, y: np.ndarray | None) -> None:
    """The check of a VAE that has none: it accepts any params, x and y."""


@door("models")
class VAE(NamedTuple):
    """A variational autoencoder as pure functions. No field holds parameters.

    Attributes:
      init: `init(key, x [B, D]) -> params`.
      encode: `encode(params, x [B, D])` -> the posterior: `(loc, scale)`, each [B, K], or the
        `concentration` [B, K] (not logits).
      decode: `decode(params, z [..., K]) -> [..., D]`: the mean of x given z, in data space
        (for a Bernoulli likelihood the probabilities, not the logits).
      loss: `loss(params, key, batch) -> (scalar, LossTerms)`; the scalar is the weighted mean
        over the batch of `reconstruction + kl_weight * kl`, from one draw of z an example.
      sample_prior: `sample_prior(key, shape [..., K]) -> z [..., K]`.
      check_data: `check_data(params, x, y)` raises, on the host, if the model cannot be trained
        on these NumPy arrays; `params` may be abstract shapes. `fit` and `evaluate` call it.

    Example:
      >>> from jaxvae import dense_normal_network
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> z = vae.sample_prior(jax.random.key(1), (5, 2))
      >>> vae.decode(params, z).shape
      (5, 64)
    """

    init: Callable[[jax.Array, jax.Array], Params]
    encode: Callable[[Params, Array], Any]
    decode: Callable[[Params, jax.Array], jax.Array]
    loss: Callable[[Params, jax.Array, Batch], tuple[jax.Array, LossTerms]]
    sample_prior: Callable[[jax.Array, tuple[int, ...]], jax.Array]
    check_data: Callable[[Params, np.ndarray, np.ndarray | None], None] = accept_any_data


def check_model(vae: VAE) -> None:
    """Refuse what is no model, before it is called.

    Args:
      vae: the argument of this name.

    Raises:
      TypeError: if it is no VAE, or one of its functions is not hashable.
    """
    checks.instance("vae", vae, VAE, "a jaxvae.VAE")
    checks.hashable("vae", vae, "made of hashable functions")


@door("models")
class DirichletPrior(NamedTuple):
    """A prior over the simplex.

    Attributes:
      concentration: `concentration(y [B] or None, categories) -> [B, K] or [K]`.
      uses_labels: whether `concentration` needs y.

    Example:
      >>> prior = DirichletPrior(lambda y, categories: jnp.arange(1.0, categories + 1), False)
      >>> prior.concentration(None, 3)
      Array([1., 2., 3.], dtype=float32)
    """

    concentration: Callable[[Array | None, int], jax.Array]
    uses_labels: bool


def label_prior(*, smoothness: float = 0.5, total_concentration: float = 8.0) -> DirichletPrior:
    """The original's prior: most of the mass on the example's own label.

    concentration = total_concentration * (one_hot(y) + smoothness) / (1 + K smoothness)

    Args:
      smoothness: what each category gets beside the label's 1, above zero.
      total_concentration: the sum of the concentrations, above zero (the original calls it
        `label_smoothing`).

    Returns:
      The prior. To sample from it without labels, a label is drawn first, each as likely.

    Raises:
      ValueError: if an argument is not finite and positive.

    Example:
      >>> label_prior().concentration(jnp.array([1]), 2)
      Array([[2., 6.]], dtype=float32)

    Source: the 2020 TensorFlow script, whose `smoothness` and `label_smoothing` these are.
    """
    concentration = _LabelConcentration(
        checks.positive_float("smoothness", smoothness),
        checks.positive_float("total_concentration", total_concentration),
    )
    return DirichletPrior(concentration, uses_labels=True)


def symmetric_prior(concentration: float = 1.0) -> DirichletPrior:
    """The same concentration for every category, without labels. 1 is uniform on the simplex.

    Args:
      concentration: of each category, above zero.

    Returns:
      The prior.

    Raises:
      ValueError: if the concentration is not finite and positive.

    Example:
      >>> symmetric_prior(0.5).concentration(None, 3).tolist()
      [0.5, 0.5, 0.5]

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """
    concentration = checks.positive_float("concentration", concentration)
    return DirichletPrior(_SymmetricConcentration(concentration), uses_labels=False)


@dataclasses.dataclass(frozen=True)
class _LabelConcentration:
    """`label_prior` as a value: equal to another of the same numbers, and it can be pickled."""

    smoothness: float
    total: float

    def __call__(self, y: Array | None, categories: int) -> jax.Array:
        p = jax.nn.one_hot(y, categories) + self.smoothness
        return self.total * p / (1 + categories * self.smoothness)


@dataclasses.dataclass(frozen=True)
class _SymmetricConcentration:
    """`symmetric_prior` as a value."""

    each: float

    def __call__(self, y: Array | None, categories: int) -> jax.Array:
        return jnp.full(categories, self.each)


def normal_vae(
    network: Network,
    *,
    prior_variance: float = 1.0,
    likelihood: str = "normal",
    objective: str = "elbo",
    kl_weight: float = 1.0,
) -> VAE:
    """A VAE with a Normal latent, z ~ Normal(loc, scale^2), prior Normal(0, prior_variance).

    Args:
      network: its `encode` gives `(loc, scale)`.
      prior_variance: the prior's variance (the original's C).
      likelihood: "normal" (unit variance) or "bernoulli" (x in [0, 1]).
      objective: "elbo", the negative ELBO in nats; or "original", which is none
        (`objectives.original_normal_kl`).
      kl_weight: what the KL term is multiplied by; 1 is the ELBO.

    Returns:
      The model.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_normal_network
      >>> vae = normal_vae(dense_normal_network(64, 2), prior_variance=3.0)
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> loss, terms = vae.loss(params, jax.random.key(1), Batch(jnp.zeros((5, 64))))
      >>> loss.shape, terms.kl.shape
      ((), (5,))

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes.
    """
    prior_variance = checks.positive_float("prior_variance", prior_variance)
    original = checks.one_of("objective", objective, OBJECTIVES) == "original"

    def draw(key: jax.Array, posterior: Any) -> jax.Array:
        return sample_normal(key, *posterior)

    def kl(posterior: Any, z: jax.Array, batch: Batch) -> jax.Array:
        if original:
            return objectives.original_normal_kl(z, *posterior, prior_variance=prior_variance)
        return kl_normal(*posterior, prior_variance=prior_variance)

    def sample_prior(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return sample_normal(key, jnp.zeros(shape), jnp.full(shape, prior_variance**0.5))

    def check_posterior(posterior: Any, examples: int) -> None:
        parts = posterior if isinstance(posterior, tuple) else ()
        shapes = [getattr(part, "shape", ()) for part in parts]
        if len(shapes) != 2 or not shapes[0] == shapes[1] == (examples, *shapes[0][-1:]):
            raise ValueError(
                f"network.encode must return a pair (loc, scale) of arrays [B, K], "
                f"got {_shapes(posterior)}; of one shape, with B = {examples}"
            )

    return _bind(
        network,
        _Latent(draw, kl, sample_prior, check_posterior, lambda posterior, y: None),
        likelihood=likelihood,
        original=objectives.original_normal_reconstruction if original else None,
        kl_weight=kl_weight,
    )


def dirichlet_vae(
    network: Network,
    *,
    prior: DirichletPrior | None = None,
    likelihood: str = "normal",
    objective: str = "elbo",
    kl_weight: float = 1.0,
    gradient: str = "beta",
) -> VAE:
    """A VAE with a Dirichlet latent: z lies on the simplex of K categories.

    Args:
      network: its `encode` gives the concentration.
      prior: `label_prior()` where None, as the original has it; or `symmetric_prior(...)`,
        which needs no labels.
      likelihood: "normal" (unit variance) or "bernoulli" (x in [0, 1]).
      objective: "elbo", the negative ELBO in nats; or "original": the squared error is averaged
        over the pixels, which is the ELBO with `kl_weight` D/2, scaled by 2/D.
      kl_weight: what the KL term is multiplied by; 1 is the ELBO.
      gradient: the estimator of the draw's gradient, as for `sample_dirichlet`; the original's is
        "gamma".

    Returns:
      The model.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> batch = Batch(jnp.zeros((5, 64)), y=jnp.arange(5))
      >>> loss, terms = vae.loss(params, jax.random.key(1), batch)
      >>> loss.shape, terms.kl.shape
      ((), (5,))

    Source: Joo, Lee, Park and Moon, 2020, Dirichlet variational autoencoder; the gradient by
    Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients.
    """
    prior = label_prior() if prior is None else prior
    if not isinstance(prior, DirichletPrior):
        raise TypeError(f"prior must be a DirichletPrior, got {prior!r}")
    original = checks.one_of("objective", objective, OBJECTIVES) == "original"

    checks.one_of("gradient", gradient, DIRICHLET_GRADIENTS)

    def draw(key: jax.Array, posterior: Any) -> jax.Array:
        return sample_dirichlet(key, posterior, gradient=gradient)

    def concentration(y: Array | None, shape: tuple[int, ...]) -> jax.Array:
        made = prior.concentration(y, shape[-1])
        if jnp.shape(made) not in (shape, shape[-1:]):
            raise ValueError(
                f"prior.concentration must return the shape {shape} or {shape[-1:]}, "
                f"got {jnp.shape(made)}"
            )
        return jnp.broadcast_to(made, shape)

    def kl(posterior: Any, z: jax.Array, batch: Batch) -> jax.Array:
        if prior.uses_labels and batch.y is None:
            raise ValueError("y must hold the labels that the prior is made from, got None")
        return kl_dirichlet(posterior, concentration(batch.y, posterior.shape))

    def sample_prior(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        label_key, draw_key = jax.random.split(key)
        y = jax.random.randint(label_key, shape[:-1], 0, shape[-1])
        return sample_dirichlet(draw_key, concentration(y, shape))

    def check_posterior(posterior: Any, examples: int) -> None:
        shape: tuple[int, ...] = getattr(posterior, "shape", ())
        if len(shape) != 2 or shape[0] != examples:
            raise ValueError(
                f"network.encode must return a concentration [B, K], got {_shapes(posterior)}; "
                f"of a shape with B = {examples}"
            )

    def check_labels(posterior: Any, y: np.ndarray | None) -> None:
        if prior.uses_labels:
            if y is None:
                raise ValueError("y must hold the labels that the prior is made from, got None")
            checks.label_array("y", y, *posterior.shape)

    return _bind(
        network,
        _Latent(draw, kl, sample_prior, check_posterior, check_labels),
        likelihood=likelihood,
        original=objectives.original_dirichlet_reconstruction if original else None,
        kl_weight=kl_weight,
    )


class _Latent(NamedTuple):
    """What tells one latent from another.

    Attributes:
      draw: `draw(key, posterior) -> z [K]`, for one example.
      kl: `kl(posterior, z, batch) -> [B]`.
      sample_prior: as in `VAE`.
      check_posterior: `check_posterior(posterior, examples)` raises if its shapes are not what the
        latent needs.
      check_labels: `check_labels(posterior, y)` raises if the labels are not, on the host.
    """

    draw: Callable[[jax.Array, Any], jax.Array]
    kl: Callable[[Any, jax.Array, Batch], jax.Array]
    sample_prior: Callable[[jax.Array, tuple[int, ...]], jax.Array]
    check_posterior: Callable[[Any, int], None]
    check_labels: Callable[[Any, np.ndarray | None], None]


def _bind(
    network: Network,
    latent: _Latent,
    *,
    likelihood: str,
    original: Callable[[Array, jax.Array], jax.Array] | None,
    kl_weight: float,
) -> VAE:
    """What both models share: draw z for each example, decode it, weigh the two terms.

    `original` is the original objective's reconstruction term, or None for the ELBO's.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a jaxvae.Network, got {network!r}")
    for field, value in network._asdict().items():
        checks.function(f"network.{field}", value)
    bernoulli = checks.one_of("likelihood", likelihood, LIKELIHOODS) == "bernoulli"
    kl_weight = checks.positive_float("kl_weight", kl_weight, zero=True)
    if original and bernoulli:
        raise ValueError('likelihood must be "normal" with objective="original", got "bernoulli"')
    nll = objectives.bernoulli_nll if bernoulli else objectives.normal_nll
    reconstruction = original or nll

    def decode_raw(params: Params, z: jax.Array) -> jax.Array:
        decoded = network.decode(params, z)
        if not isinstance(decoded, jax.Array | np.ndarray):
            raise TypeError(f"network.decode must return one array [B, D], got {_shapes(decoded)}")
        return decoded

    def decode(params: Params, z: jax.Array) -> jax.Array:
        decoded = decode_raw(params, z)
        return jax.nn.sigmoid(decoded) if bernoulli else decoded

    def loss(params: Params, key: jax.Array, batch: Batch) -> tuple[jax.Array, LossTerms]:
        _check_batch(batch)
        posterior = network.encode(params, batch.x)
        latent.check_posterior(posterior, jnp.shape(batch.x)[0])
        z = jax.vmap(latent.draw)(_example_keys(key, batch), posterior)
        decoded = decode_raw(params, z)
        _check_decoded(decoded, batch.x)
        terms = LossTerms(reconstruction(batch.x, decoded), latent.kl(posterior, z, batch))
        total = terms.reconstruction + kl_weight * terms.kl
        return objectives.weighted_mean(total, batch.weight), terms

    def sample_prior(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        checks.typed_key("key", key)
        return latent.sample_prior(key, checks.shape("shape", shape))

    def check_data(params: Params, x: np.ndarray, y: np.ndarray | None) -> None:
        if bernoulli and (x.min() < 0 or x.max() > 1):
            bad = x.min() if x.min() < 0 else x.max()
            raise ValueError(f"x must lie in [0, 1] for a Bernoulli likelihood, got {bad}")
        examples = jax.ShapeDtypeStruct(x.shape, jnp.float32)
        try:
            posterior = jax.eval_shape(network.encode, params, examples)
        except Exception as error:  # each kind of network has kinds of its own
            raise ValueError(
                f"params must be of this model, and x as wide as what it was made for, "
                f"got x {x.shape}: {error}"
            ) from error
        latent.check_posterior(posterior, len(x))
        latent.check_labels(posterior, y)
        z = jax.tree.leaves(posterior)[0]
        _check_decoded(jax.eval_shape(decode_raw, params, z), x)

    return VAE(network.init, network.encode, decode, loss, sample_prior, check_data)


def _check_batch(batch: Batch) -> None:
    """Refuse shapes that would broadcast, while they are traced: compiled code pays nothing."""
    shape = jnp.shape(batch.x)
    if len(shape) != 2:
        raise ValueError(
            f"x must have the shape [B, D], got {shape}; flatten what has more axes: "
            "x.reshape(len(x), -1)"
        )
    checks.one_a_row(shape[:1], y=batch.y, weight=batch.weight, position=batch.position)


def _check_decoded(decoded: Any, x: Array) -> None:
    if getattr(decoded, "shape", None) != jnp.shape(x):
        raise ValueError(
            f"network.decode must return the shape of x, {jnp.shape(x)}, got {_shapes(decoded)}"
        )


def _example_keys(key: jax.Array, batch: Batch) -> jax.Array:
    """A key for each example, by its place in the global batch."""
    position = jnp.arange(batch.x.shape[0]) if batch.position is None else batch.position
    position, _ = sharding.aligned(position, batch.x)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, position)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: getattr(leaf, "shape", leaf), tree)
