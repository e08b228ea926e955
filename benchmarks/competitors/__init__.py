"""The same VAE in each framework: `prepare(name, case, x, y, seed)` gives a call of one epoch.

Nothing here imports a framework before it is asked for, so that a worker process holds one alone.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """A workload: 784 - (layers x hidden units) - latent - (layers x hidden units) - 784, ReLU.

    Attributes:
      latent: "dirichlet" or "normal".
      latent_dim: K.
      batch_size: examples a step.
      layers: hidden layers of the encoder, and of the decoder.
      hidden_units: width of a hidden layer.
    """

    latent: str
    latent_dim: int
    batch_size: int
    layers: int = 4
    hidden_units: int = 128


class Competitor(NamedTuple):
    """Who is measured.

    Attributes:
      name: as in tables.
      module: in this package; `module.prepare(variant, case, x, y, seed)` gives `epoch()`, which
        trains one epoch, waits until it is done, and returns the mean loss of its examples (a
        floor returns None).
      variant: which of the module's.
      package: the distribution whose version is reported.
      latents: the latents it can do.
      objective: what it minimises, "original" or "elbo"; None for a floor, which learns nothing.
      twin: whose loss its own must agree with, where that is not jaxvae's.
      loses_seeds: whether some seeds never train.
    """

    name: str
    module: str
    variant: str
    package: str
    latents: tuple[str, ...] = ("dirichlet", "normal")
    objective: str | None = "original"
    twin: str | None = None
    loses_seeds: bool = False

    @property
    def base(self):
        """jaxvae with the same objective: what its time is a multiple of."""
        return ELBO if self.objective == "elbo" else "jaxvae"

    @property
    def reference(self):
        """Whose loss its own must agree with."""
        return (self.twin or self.base) if self.objective else None


ELBO, COMPAT, ORIGINAL = "jaxvae, ELBO", "jaxvae.compat", "TensorFlow, the original"
NORMAL, DIRICHLET = ("normal",), ("dirichlet",)
COMPETITORS = (
    Competitor("floor, SGD", "floor", "sgd", "jax", objective=None),
    Competitor("floor, Adam", "floor", "adam", "jax", objective=None),
    Competitor("jaxvae", "jax_based", "core", "jax"),
    Competitor("jaxvae, a device a core", "jax_based", "devices", "jax"),
    # These two have the original's ReLU head, which learns more slowly than the others' softplus.
    Competitor(COMPAT, "jax_based", "compat", "jax", twin=ORIGINAL),
    # Its head dies on half of all seeds.
    Competitor(
        ORIGINAL, "tensorflow_based", "original", "tensorflow", twin=COMPAT, loses_seeds=True
    ),
    Competitor("TensorFlow, epoch as a graph", "tensorflow_based", "graph", "tensorflow"),
    Competitor("TensorFlow, the same with XLA", "tensorflow_based", "xla", "tensorflow"),
    Competitor("PyTorch, eager", "torch_based", "eager", "torch"),
    Competitor("PyTorch, torch.compile", "torch_based", "compile", "torch"),
    # Its ELBO with a scaled likelihood is the original's Dirichlet objective, up to a constant.
    Competitor("NumPyro SVI", "numpyro_svi", "scan", "numpyro", DIRICHLET),
    # The original's Normal objective is no ELBO: these are held against jaxvae's ELBO.
    Competitor(ELBO, "jax_based", "elbo", "jax", NORMAL, "elbo"),
    Competitor("NumPyro SVI, ELBO", "numpyro_svi", "scan", "numpyro", NORMAL, "elbo"),
    Competitor("Pythae, ELBO", "pythae_trainer", "trainer", "pythae", NORMAL, "elbo"),
    # For a second start alone: it finds what the first one compiled.
    Competitor("jaxvae, programs kept", "jax_based", "kept", "jax", latents=()),
    # For single calls alone: not handed to a thread of JAX's, but made at once.
    Competitor("jaxvae, at once", "jax_based", "at once", "jax", latents=()),
)
FLOOR = "floor, SGD"


def find(name: str) -> Competitor:
    """The competitor of a name."""
    return next(c for c in COMPETITORS if c.name == name)


def of_case(case: Case) -> tuple[Competitor, ...]:
    """The competitors that can do a case."""
    return tuple(c for c in COMPETITORS if case.latent in c.latents)


def load(name: str):
    """Import the module of a competitor, and with it its framework."""
    return importlib.import_module(f"competitors.{find(name).module}")


def prepare(
    name: str, case: Case, x: np.ndarray, y: np.ndarray, seed: int
) -> Callable[[], float | None]:
    """The competitor's call that trains one more epoch and returns its mean loss."""
    return load(name).prepare(find(name).variant, case, x, y, seed)


# The original's constants (docs/results.md).
LEARNING_RATE, EPSILON = 1e-3, 1e-7
CONCENTRATION_FLOOR, SMOOTHNESS, TOTAL_CONCENTRATION = 0.1, 0.5, 8.0
PRIOR_VARIANCE = 3.0
