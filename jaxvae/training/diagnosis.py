"""Why a step was not finite: a look, after the failure, at the data and at what the network made
of them.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from jaxvae.data import sparse
from jaxvae.data.batches import Batch, as_batch, rows_of
from jaxvae.data.examples import dense_rows
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.network_wrappers import takes_counts
from jaxvae.model.networks import Params
from jaxvae.model.transforms import identity
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks

# A network is made for values of about one. Beyond the first of these, data are named where a step
# was not finite; beyond the second always.
LARGE, ABSURD = 10.0, 100.0
ROWS = 1024
TINY, HUGE = float(np.finfo(np.float32).tiny), 1e18  # what has a logarithm, and what a square


def too_large(x: Any, above: float = ABSURD, vae: VAE | None = None) -> str:
    """Advice on data that no network is made for; empty where they are not so large.

    Args:
      x: examples [N, ...], a tree of such, or a `Batch`.
      above: the largest |value| about which nothing is said.
      vae: the model, in whose units it counts how large they are.

    Returns:
      A sentence, or nothing.

    Example:
      >>> too_large(np.array([[0.0, -255.0]]))
      'The largest |value| of x is 255: scale the data to values of about one.'
    """
    x = as_batch(x).x
    # A host whose stream has ended has no rows. Bytes have no -(-128).
    if not all(leaf.shape[0] for leaf in jax.tree.leaves(x)):
        return ""
    parts = None if vae is None else vae.parts
    ends = jax.tree.map(_ends, x)
    if parts is not None and parts.transform != identity():
        ends = jax.device_get(jax.jit(parts.transform.forward)(jax.device_put(ends)))
    largest = _largest(ends)
    if largest <= above or (parts is not None and takes_counts(parts.network)):
        return ""
    advice = "scale the data to values of about one"
    if parts is not None and not _takes_fractions(parts.likelihood, x):
        advice = "jaxvae.networks.of_counts(network) lets the encoder see the logarithm"
    return f"The largest |value| of x is {largest:g}: {advice}."


def _ends(leaf: Any) -> np.ndarray:
    """Two examples, of the least and of the largest value in each place: what a transform that
    rises makes of all others lies between what it makes of these.
    """
    if sparse.is_sparse(leaf):
        own = np.asarray(leaf.data, np.float32)
        ends = (own.min(initial=0), own.max(initial=0))
        return np.stack([np.full(leaf.shape[1:], end, np.float32) for end in ends])
    own = np.asarray(leaf)
    return np.stack([own.min(axis=0), own.max(axis=0)]).astype(np.float32)


def _largest(x: Any) -> float:
    return max((float(np.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(x)), default=0.0)


def _takes_fractions(likelihood: Likelihood, x: Any) -> bool:
    """Whether data may be scaled: counts may not."""
    try:
        likelihood.check(jax.tree.map(lambda leaf: np.full((1, *leaf.shape[1:]), 0.5), x))
    except ValueError:
        return False
    return True


def check_schedule(vae: VAE, steps: int | None) -> None:
    """Refuse a KL schedule whose first weight, or last, is none.

    Args:
      vae: the model.
      steps: how many updates the run makes; None where it is not known.

    Raises:
      ValueError, TypeError: if it is no finite number of at least 0.
    """
    weights = None if vae.parts is None else vae.parts.objective.kl_weight
    if weights is None:
        return
    try:
        with jax.numpy_dtype_promotion("standard"):
            jax.eval_shape(weights, jax.ShapeDtypeStruct((), jnp.int32))
    except jax.errors.JAXTypeError as error:
        raise TypeError(
            "kl_weight must be a function of the step that JAX can trace (jnp.minimum in place of "
            f"min, jnp.where in place of if), got one that cannot: {str(error).splitlines()[0]}"
        ) from None
    except TypeError:
        pass  # what it returns is refused below
    for step in (0, steps or 0):
        for part, weight in jax.device_get(weights(np.int32(step))).items():
            name = f"kl_weight of {part}" if part else "kl_weight"
            if np.ndim(weight):
                raise ValueError(
                    f"{name} must be one number at step {step}, got the shape {np.shape(weight)}"
                )
            checks.number(f"{name} at step {step}", weight, zero=True)


def schedule_note(vae: VAE, steps: int | None) -> str:
    """What to say of a KL schedule that still changes when training ends.

    Args:
      vae: the model.
      steps: how many updates the run makes; None where it is not known.

    Returns:
      A sentence, or nothing.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae, objectives
      >>> warm_up = objectives.elbo(optax.linear_schedule(0.0, 1.0, 1000))
      >>> vae = normal_vae(dense_normal_network(64, 2), objective=warm_up)
      >>> schedule_note(vae, 500)
      'The KL weight still changes at the last step, 500: it is 0.5, and 0.501 a step later.'
      >>> schedule_note(vae, 1000)
      ''
    """
    weights = None if vae.parts is None else vae.parts.objective.kl_weight
    if weights is None or steps is None:
        return ""
    now, later = (jax.device_get(weights(np.int32(step))) for step in (steps, steps + 1))
    for part, weight in now.items():
        if weight != later[part]:
            of = f"KL weight of {part}" if part else "KL weight"
            return (
                f"The {of} still changes at the last step, {steps}: it is {float(weight):g}, and "
                f"{float(later[part]):g} a step later."
            )
    return ""


def why_not_finite(vae: VAE, params: Params, x: Any, *, step: int) -> str:
    """What is wrong with the data, or with the network's output, where a step was not finite.

    Args:
      vae: the model.
      params: its parameters before the step.
      x: the examples [N, ...] among which the step's were, or a `Batch` of them.
      step: its number. Before step 0 no update was made, and no learning rate is to blame.

    Returns:
      One line: the largest value of x where it is large; the first output of the encoder, or of
      the decoder at the posterior mean, that is none; a smaller learning rate where it can help;
      else the gradient.

    Example:
      >>> from jaxvae import Network, normal_vae
      >>> network = Network(
      ...     init=lambda key, x: {},
      ...     encode=lambda params, x: (x, x - 0.5),
      ...     decode=lambda params, z: z,
      ... )
      >>> why_not_finite(normal_vae(network), {}, np.array([[0.75, 0.25]], np.float32), step=0)
      'network.encode gives a scale of -0.25 at index (0, 1); it must be finite and above 0.'
    """
    try:
        output = _bad_output(vae, params, as_batch(x))
    except Exception:  # a model of the user's own may encode to anything
        output = ""
    found = [
        too_large(x, LARGE, vae),
        output,
        "A smaller learning rate may help." if step > 0 else "",
    ]
    return " ".join(filter(None, found)) or (
        "x and what network.encode and network.decode give are sound: look for a function in them, "
        "or in the loss, whose slope is not finite (a root or a logarithm at 0), and at the "
        "optimizer's learning rate."
    )


def _bad_output(vae: VAE, params: Params, data: Batch) -> str:
    """The first output that is not what it must be, as a sentence; or nothing."""
    outputs = jax.jit(functools.partial(_outputs, vae))
    positive = _positive(vae)
    data = Batch(data.x, condition=data.condition, mask=data.mask)
    rows = rows_of(data)
    for start in range(0, rows, ROWS):
        # The last rows once more, in place of a smaller batch and a program of its own.
        start = max(0, min(start, rows - ROWS))
        q, decoded = outputs(params, dense_rows(data, slice(start, start + ROWS)))
        named = [(_encoded_name(path), leaf) for path, leaf in jax.tree.leaves_with_path(q)]
        named += [("decode gives a value", leaf) for leaf in jax.tree.leaves(decoded)]
        for name, output in named:
            values = np.asarray(jax.device_get(output), np.float32)
            bad = ~(np.abs(values) < HUGE)
            if name in positive:
                bad |= values < TINY
            if bad.any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                value, index = values[place], (start + place[0], *place[1:])
                allowed = f"finite{' and above 0' if name in positive else ''}"
                if np.isfinite(value) and abs(value) >= HUGE:
                    allowed = f"at most {HUGE:g} in size"
                return f"network.{name} of {value:g} at index {index}; it must be {allowed}."
    return ""


def _encoded_name(path: Any) -> str:
    """What an output of the encoder is called: its field, and the part of a product."""
    *part, field = [keystr((key,), simple=True) for key in path] or ["value"]
    return f"encode gives a {field}{' for ' + part[0] if part else ''}"


def _positive(vae: VAE) -> set[str]:
    """The names of the outputs that must be above zero."""
    if vae.parts is None:
        return set()
    latent = vae.parts.latent
    of = {" for " + name: part for name, part in latent.parts} if latent.parts else {"": latent}
    return {f"encode gives a {field}{part}" for part, own in of.items() for field in own.positive}


def _outputs(vae: VAE, params: Params, batch: Batch) -> tuple[Any, Any]:
    """What the encoder gives, and what the decoder makes of the posterior mean."""
    alone = batch.condition is None and batch.mask is None
    q = vae.encode(params, batch.x if alone else batch)
    if vae.parts is None:  # nothing is known of its latent
        return q, ()
    q = vae.parts.latent.wrap(q)
    seen = () if batch.condition is None else (batch,)
    return q, vae.decode(params, vae.parts.latent.mean(q), *seen)
