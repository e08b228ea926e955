"""Objectives: what is minimised, as values of pure functions of a model's terms."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxvae._door import door
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


@door("objectives")
class Terms(NamedTuple):
    """All that an objective can ask for, from k draws of z for each of B examples, in nats.

    Attributes:
      log_px: [k, B], the log-likelihood.
      log_pz: {part: [k, B]}, the prior's log-density at the draws; one part, "z", unless the latent
        is a product.
      log_qz: {part: [k, B]}, the posterior's.
      kl: {part: [B]}, the divergence in closed form; None for a part that has none.

    Example:
      >>> ones = jnp.ones((2, 3))
      >>> log_weight(Terms(ones, {"z": ones}, {"z": 3 * ones}, {"z": None})).tolist()[0]
      [-1.0, -1.0, -1.0]
    """

    log_px: jax.Array
    log_pz: dict[str, jax.Array]
    log_qz: dict[str, jax.Array]
    kl: dict[str, jax.Array | None]


GRADIENTS = ("pathwise", "stl", "dreg")


@door("objectives")
class Objective(NamedTuple):
    """What is minimised.

    Attributes:
      loss: `loss(terms, step) -> ([B], {name: [B]})`, and what to report beside it. `step` is the
        number of updates made, or None for the objective itself: schedules then count as 1.
      draws: of z an example.
      gradient: how the encoder's gradient is taken: "pathwise"; "stl", which leaves out the score
        of log q; "dreg", which also weighs each draw's path by its normalised weight once more.
      kl_weight: `kl_weight(step) -> {part: weight}`, what the loss gives the KL terms; None where
        it has no such weight.
      parts: the names of the latent's parts that it knows by name.
      needs_densities: whether log_px, log_pz and log_qz must be those of true densities.

    Example:
      >>> plain = Objective(lambda terms, step: (-terms.log_px[0], {}))
      >>> plain.draws, plain.gradient
      (1, 'pathwise')
    """

    loss: Callable[[Terms, Any], tuple[jax.Array, dict[str, jax.Array]]]
    draws: int = 1
    gradient: str = "pathwise"
    kl_weight: Callable[[Any], dict[str, Any]] | None = None
    parts: tuple[str, ...] = ()
    needs_densities: bool = False


def mean_of_draws(values: jax.Array) -> jax.Array:
    """The mean over the draws.

    Args:
      values: [k, B].

    Returns:
      [B].
    """
    return values[0] if values.shape[0] == 1 else jnp.mean(values, axis=0)


def kl_by_part(terms: Terms, *, closed: bool = True) -> dict[str, jax.Array]:
    """The KL divergence of each part [B]: in closed form where there is one, else by the draws.

    Args:
      terms: of a model.
      closed: whether the closed form may be used.

    Returns:
      The divergences by part.
    """

    def one(part: str) -> jax.Array:
        known = terms.kl[part] if closed else None
        if known is not None:
            return known
        return mean_of_draws(terms.log_qz[part] - terms.log_pz[part])

    return {part: one(part) for part in terms.log_qz}


def log_weight(terms: Terms) -> jax.Array:
    """The logarithm of the importance weights, log p(x, z) - log q(z), summed over the parts.

    Args:
      terms: of a model.

    Returns:
      [k, B], in nats.

    Example:
      >>> zeros = jnp.zeros((1, 2))
      >>> log_weight(Terms(zeros - 3, {"z": zeros - 1}, {"z": zeros}, {"z": None})).tolist()
      [[-4.0, -4.0]]

    Source: Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders.
    """
    total = terms.log_px
    for part in terms.log_qz:
        total = total + terms.log_pz[part] - terms.log_qz[part]
    return total


def _weight(name: str, value: Any) -> Any:
    return value if callable(value) else checks.number(name, value, zero=True)


@made_by
def elbo(
    kl_weight: Any = 1.0, free_bits: Any = 0.0, draws: int = 1, gradient: str = "pathwise"
) -> Objective:
    """The negative ELBO, -log p(x | z) + kl_weight KL(q || p), by k draws of z.

    Args:
      kl_weight: what the KL term is multiplied by, at least 0; 1 is the ELBO. A number; or a
        schedule of the step, as Optax's are; or one of these for each part of a product, by name
        (a part that is not named has 1).
      free_bits: nats of KL that cost nothing, an example and part.
      draws: k, of z an example.
      gradient: "pathwise", with the KL in closed form where there is one; or "stl" (sticking the
        landing): by the draws, the score of log q left out; zero at the exact posterior, each draw.

    Returns:
      The objective.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> import optax
      >>> warm_up = elbo(kl_weight=optax.linear_schedule(0.0, 1.0, 1000))
      >>> warm_up == elbo(kl_weight=optax.linear_schedule(0.0, 1.0, 1000))
      True

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes; free bits: Kingma et al.,
    2016, Improved variational inference with inverse autoregressive flow; "stl": Roeder, Wu and
    Duvenaud, 2017, Sticking the landing.
    """
    named = isinstance(kl_weight, Mapping)
    each = dict(kl_weight) if named else {"": kl_weight}
    each = {part: _weight(f"kl_weight[{part!r}]" if part else "kl_weight", w)
            for part, w in each.items()}  # fmt: skip
    free_bits = checks.number("free_bits", free_bits, zero=True)
    has_free_bits = checks.is_traced(free_bits) or free_bits > 0
    checks.positive_int("draws", draws)
    checks.one_of("gradient", gradient, ("pathwise", "stl"))
    scheduled = any(callable(weight) for weight in each.values())

    def at(weight: Any, step: Any) -> Any:
        if not callable(weight):
            return weight
        return 1.0 if step is None else weight(step)

    def weights(step: Any) -> dict[str, Any]:
        return {part: at(weight, step) for part, weight in each.items()}

    def loss(terms: Terms, step: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        training = step is not None
        kls = kl_by_part(terms, closed=not (training and gradient == "stl"))
        now = weights(step)
        loss = -mean_of_draws(terms.log_px)
        for part, kl in kls.items():
            cost = jnp.maximum(kl, free_bits) if training and has_free_bits else kl
            weight = now.get(part, 1.0) if named else now[""]
            loss = loss + jnp.asarray(weight, cost.dtype) * cost
        if not scheduled:
            return loss, {}
        return loss, {
            f"kl_weight_{part}" if part else "kl_weight": jnp.full(
                loss.shape, jnp.asarray(weight, loss.dtype)
            )
            for part, weight in now.items()
        }

    return Objective(loss, draws, gradient, weights, tuple(each) if named else ())


@made_by
def iwae(draws: int, gradient: str = "pathwise") -> Objective:
    """The importance-weighted bound: -log of the mean of k importance weights.

    Args:
      draws: k, at least 1; with 1 it is the negative ELBO by one draw.
      gradient: "pathwise", or "dreg" (doubly reparameterised): the same mean for the encoder's
        gradient at a lower variance.

    Returns:
      The objective.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> iwae(50).draws
      50

    Source: Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders; "dreg": Tucker,
    Lawson, Gu and Maddison, 2019, Doubly reparameterized gradient estimators for Monte Carlo
    objectives.
    """
    checks.positive_int("draws", draws)
    checks.one_of("gradient", gradient, ("pathwise", "dreg"))

    def loss(terms: Terms, step: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return math.log(draws) - logsumexp(log_weight(terms), axis=0), {}

    return Objective(loss, draws, gradient, needs_densities=True)
