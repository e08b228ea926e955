"""Why a step was not finite: a look, after the failure, at the data and at what the network made
of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE

# A network is made for values of about one. Beyond the first of these, data are named where a step
# was not finite; beyond the second always.
LARGE, ABSURD = 10.0, 100.0
ROWS = 1024
TINY, HUGE = float(np.finfo(np.float32).tiny), 1e18  # what has a logarithm, and what a square
# What the network gives, and whether it must be above zero.
NORMAL = ("encode gives a loc", False), ("encode gives a scale", True)
DIRICHLET = (("encode gives a concentration", True),)
DECODED = ("decode gives a value", False)


def too_large(x: np.ndarray, above: float = ABSURD) -> str:
    """Advice on data that no network is made for; empty where they are not so large.

    Args:
      x: examples [N, D].
      above: the largest |value| about which nothing is said.

    Returns:
      A sentence, or nothing.

    Example:
      >>> too_large(np.array([[0.0, -255.0]]))
      'The largest |value| of x is 255: scale the data to values of about one.'
    """
    largest = np.abs(x).max(initial=0)  # a host whose stream has ended has no rows
    if largest <= above:
        return ""
    return f"The largest |value| of x is {largest:g}: scale the data to values of about one."


def why_not_finite(vae: VAE, params: Params, x: np.ndarray, *, step: int) -> str:
    """What is wrong with the data, or with the network's output, where a step was not finite.

    Args:
      vae: the model.
      params: its parameters before the step.
      x: the examples [N, D] among which the step's were.
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
        output = _bad_output(vae, params, x)
    except Exception:  # a model of the user's own may encode to anything
        output = ""
    found = [too_large(x, LARGE), output, "A smaller learning rate may help." if step > 0 else ""]
    return " ".join(filter(None, found)) or (
        "x and what network.encode and network.decode give are sound: look for a function in them, "
        "or in the loss, whose slope is not finite (a root or a logarithm at 0)."
    )


def _bad_output(vae: VAE, params: Params, x: np.ndarray) -> str:
    """The first output that is not what it must be, as a sentence; or nothing."""
    outputs = jax.jit(functools.partial(_outputs, vae))
    for start in range(0, len(x), ROWS):
        # The last rows once more, in place of a smaller batch and a program of its own.
        start = max(0, min(start, len(x) - ROWS))
        *encoded, decoded = outputs(params, x[start : start + ROWS])
        names = NORMAL if len(encoded) == 2 else DIRICHLET
        for (name, positive), output in zip((*names, DECODED), (*encoded, decoded), strict=True):
            values = np.asarray(jax.device_get(output), np.float32)
            bad = ~(np.abs(values) < HUGE)
            if positive:
                bad |= values < TINY
            if bad.any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                value, index = values[place], (start + place[0], *place[1:])
                allowed = f"finite{' and above 0' if positive else ''}"
                if np.isfinite(value) and abs(value) >= HUGE:
                    allowed = f"at most {HUGE:g} in size"
                return f"network.{name} of {value:g} at index {index}; it must be {allowed}."
    return ""


def _outputs(vae: VAE, params: Params, x: jax.Array) -> tuple[jax.Array, ...]:
    """What the encoder gives, and what the decoder makes of the posterior mean."""
    posterior = vae.encode(params, x)
    if isinstance(posterior, tuple):
        loc, scale = posterior
        return loc, scale, vae.decode(params, loc)
    mean = posterior / jnp.sum(posterior, axis=-1, keepdims=True)
    return posterior, vae.decode(params, mean)
