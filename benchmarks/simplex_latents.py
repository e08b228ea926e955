"""The latents that `simplex.py` compares: each with its head, its prior, and what it is called.

Three Dirichlet latents differ in the gradient of the draw alone. Stick breaking and the concrete
distribution have posteriors of other families and, up to a change of variables, the same Dirichlet
as their prior: so five of the seven are one generative model. The logistic Normal has no such
prior; it has the two that the literature gives it.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, gammaln

import jaxvae
from jaxvae import latents, priors
from jaxvae.distributions import tfp_distributions

TEMPERATURE = 2 / 3  # of the concrete posterior; Maddison, Mnih and Teh, 2017, Appendix C.3
TINY = float(jnp.finfo(jnp.float32).tiny)
BEND = math.log(1e3)
NEAR_ONE = -1e-30  # log of the largest fraction that a stick's prior tells from one


class Head(nn.Module):
    """h [B, H] -> the parameters of any of the families: linear, and what is positive by exp.

    The heads of the library differ (softplus and a floor, exp), each made for its family. Here all
    have the same one, so that no family is held back by its own. Numbers are bent so that exp stays
    between 1e-3 and 1e3; the bend has a slope everywhere.

    Attributes:
      make: the parameters' class, `Dirichlet` or another.
      widths: of its arrays, in their order.
      positive: which of them must be above zero.
      normed: whether batch norm, with a bias and no scale, follows the linear layer.
    """

    make: Any
    widths: tuple[int, ...]
    positive: tuple[bool, ...]
    normed: bool

    @nn.compact
    def __call__(self, h: jax.Array) -> Any:
        made = []
        for number, (width, positive) in enumerate(zip(self.widths, self.positive, strict=True)):
            kernel = nn.initializers.glorot_uniform()
            value = nn.Dense(width, kernel_init=kernel, name=f"linear_{number}")(h)
            if self.normed:
                value = nn.BatchNorm(momentum=0.9, use_scale=False, name=f"norm_{number}")(value)
            made.append(jnp.exp(BEND * jnp.tanh(value / BEND)) if positive else value)
        return self.make(*made)


class Choice(NamedTuple):
    """A latent to compare.

    Attributes:
      title: its name in tables.
      latent: what it is trained with.
      judge: what it is judged with: the same family, and the library's own draw.
      head: `head(K)`, a Flax module.
      prior: `prior(concentration, K)`.
    """

    title: str
    latent: Any
    judge: Any
    head: Any
    prior: Any


def tfp_draw(key, concentration):
    """TFP's draw z [K] itself."""
    return tfp_distributions().Dirichlet(concentration).sample(seed=key)


def tfp_sample(key, q):
    """TFP's draw, as its logarithm. TFP gives z itself, in which a small share is zero."""
    return jnp.log(jnp.maximum(tfp_draw(key, q.concentration), TINY))


@jax.custom_vjp
def guarded_draw(key, concentration):
    """The same, whose derivative is 0 in a category where TFP's is not finite."""
    return tfp_draw(key, concentration)


def _forward(key, concentration):
    z, pull_back = jax.vjp(lambda c: tfp_draw(key, c), concentration)
    return z, (pull_back, np.zeros(key.shape, jax.dtypes.float0))


def _backward(kept, cotangent):
    pull_back, none = kept
    (slope,) = pull_back(cotangent)
    return none, jnp.where(jnp.isfinite(slope), slope, 0)


guarded_draw.defvjp(_forward, _backward)


def guarded_sample(key, q):
    """`tfp_sample` by `guarded_draw`."""
    return jnp.log(jnp.maximum(guarded_draw(key, q.concentration), TINY))


def dirichlet_constant(concentration, width):
    """log Gamma(K a) - K log Gamma(a), the constant of a symmetric Dirichlet's log-density."""
    a = jnp.float32(concentration)
    return gammaln(width * a) - width * gammaln(a)


def for_concrete(concentration, width):
    """The symmetric Dirichlet as the prior of u = log z [..., K], in the concrete's measure.

    That is the density of u, which is that of z times the product of all shares.
    """

    def log_prob(own, u, context):
        return dirichlet_constant(concentration, width) + concentration * jnp.sum(u, axis=-1)

    def sample(own, key, context):
        shape = context.q.logits.shape
        return jaxvae.sample_log_dirichlet(key, jnp.full(shape, concentration, jnp.float32))

    return priors.Prior(no_parameters, log_prob, sample)


def for_sticks(concentration, width):
    """The symmetric Dirichlet as the prior of the fractions that are broken off [..., K - 1].

    They are independent: the k-th is Beta(a, a (K - k)). The density is by the fraction itself.

    Source: Connor and Mosimann, 1969, Concepts of independence for proportions with a
    generalization of the Dirichlet distribution.
    """
    a = jnp.float32(concentration)
    b = a * jnp.arange(width - 1, 0, -1, dtype=jnp.float32)

    def log_prob(own, u, context):
        u = jnp.minimum(u, NEAR_ONE)
        b_of = jnp.broadcast_to(b, u.shape)
        each = (a - 1) * u + (b_of - 1) * jnp.log(-jnp.expm1(u)) - betaln(a, b_of)
        return jnp.sum(each, axis=-1)

    def sample(own, key, context):
        keys, shape = jax.random.split(key), context.q.a.shape
        broken = jax.random.loggamma(keys[0], jnp.full(shape, a))
        rest = jax.random.loggamma(keys[1], jnp.broadcast_to(b, shape))
        return jnp.minimum(broken - jnp.logaddexp(broken, rest), NEAR_ONE)

    return priors.Prior(no_parameters, log_prob, sample)


def no_parameters(key, context):
    """The parameters of a fixed prior."""
    return {}


def symmetric(concentration, width):
    """The Dirichlet itself."""
    return priors.symmetric(concentration)


def laplace(concentration, width):
    """The Normal that approximates a symmetric Dirichlet where it is seen through a softmax.

    Source: Srivastava and Sutton, 2017, Autoencoding variational inference for topic models,
    after MacKay, 1998, Choice of basis for Laplace approximation.
    """
    return priors.standard_normal((1 - 1 / width) / concentration)


def standard(concentration, width):
    """Normal(0, 1), whatever the concentration."""
    return priors.standard_normal()


def one(make, positive, less=0):
    """`head` of a family of one parameter or of two [B, K - less]."""
    return lambda width, normed=False: Head(make, (width - less,) * len(positive), positive, normed)


OF_TFP = latents.dirichlet._replace(sample=tfp_sample)
GUARDED = latents.dirichlet._replace(sample=guarded_sample)
CONCRETE = latents.concrete(TEMPERATURE)
GAMMA = latents.dirichlet_with("gamma")
DIRICHLET = one(latents.Dirichlet, (True,))
NORMAL = one(latents.Normal, (False, True))
STICKS = one(latents.Kumaraswamy, (True, True), less=1)
CHOICES = {
    "beta": Choice(
        "Dirichlet, `beta` gradient", latents.dirichlet, latents.dirichlet, DIRICHLET, symmetric
    ),
    "gamma": Choice("Dirichlet, `gamma` gradient", GAMMA, GAMMA, DIRICHLET, symmetric),
    "guarded": Choice(
        "Dirichlet, TFP's draw, guarded", GUARDED, latents.dirichlet, DIRICHLET, symmetric
    ),
    "normal": Choice(
        "logistic Normal, standard prior", latents.logistic_normal, latents.logistic_normal,
        NORMAL, standard,
    ),
    "laplace": Choice(
        "logistic Normal, Laplace prior", latents.logistic_normal, latents.logistic_normal,
        NORMAL, laplace,
    ),
    "sticks": Choice(
        "stick breaking", latents.stick_breaking, latents.stick_breaking, STICKS, for_sticks
    ),
    "concrete": Choice(
        "concrete", CONCRETE, CONCRETE, one(latents.Logits, (False,)), for_concrete
    ),
    "tfp": Choice(
        "Dirichlet, TFP's draw as it is", OF_TFP, latents.dirichlet, DIRICHLET, symmetric
    ),
}  # fmt: skip
