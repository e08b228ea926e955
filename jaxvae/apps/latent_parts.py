"""The latents of a description: a family, and which of the ready-made networks ends in it."""

from dataclasses import dataclass
from typing import Any

from jaxvae.model import (
    convolutional_networks,
    count_networks,
    latents,
    modules,
    network_wrappers,
    ready,
    ready_networks,
)
from jaxvae.model.latents import Latent
from jaxvae.model.networks import Network
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks


@dataclass(frozen=True, kw_only=True)
class NormalLatent:
    """`latents.normal`."""

    def value(self) -> Latent:
        return latents.normal

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        return ready_networks.dense_normal_network(shape, latent_dim, **options)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        return convolutional_networks.convolutional_normal_network(shape, latent_dim, **options)

    def topics(self, width: int, latent_dim: int, **options: Any) -> Network:
        raise _no_topics()

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        """The model that minimises what the 2020 original minimised."""
        if (variance := vars(prior).get("variance")) is None:
            raise ValueError(f"prior must have a variance with the original objective, got {prior}")
        return ready.normal_vae(
            network, prior_variance=variance, objective="original", kl_weight=kl_weight
        )


@dataclass(frozen=True, kw_only=True)
class LogisticNormalLatent(NormalLatent):
    """`latents.logistic_normal`."""

    def value(self) -> Latent:
        return latents.logistic_normal

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        raise ValueError("objective must be another for a logistic Normal, got original")


@dataclass(frozen=True, kw_only=True)
class DirichletLatent:
    """`latents.dirichlet`, and how its network makes a concentration."""

    gradient: str = "beta"
    head: str = "softplus"
    concentration_floor: float = 0.1

    def value(self) -> Latent:
        return latents.dirichlet_with(self.gradient)

    def _head(self) -> dict[str, Any]:
        return {"head": self.head, "concentration_floor": self.concentration_floor}

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        options |= self._head()
        return ready_networks.dense_dirichlet_network(shape, latent_dim, **options)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        options |= self._head()
        return convolutional_networks.convolutional_dirichlet_network(shape, latent_dim, **options)

    def topics(self, width: int, latent_dim: int, **options: Any) -> Network:
        usual = DirichletLatent(gradient=self.gradient)
        for name, value in usual._head().items():  # its concentrations come from a batch norm
            if (found := getattr(self, name)) != value:
                raise ValueError(f"{name} must be left out with network topics, got {found}")
        return count_networks.topic_network(width, latent_dim, **options)

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        """The model that minimises what the 2020 original minimised."""
        return ready.dirichlet_vae(
            network,
            prior=prior.value(self.value()),
            objective="original",
            kl_weight=kl_weight,
            gradient=self.gradient,
        )


@dataclass(frozen=True, kw_only=True)
class JointLatent:
    """`latents.product(category=dirichlet, style=normal)`: of its width, `style_dim` are the
    style's. The decoder sees `category_gain` times the category; the style is centred on it.
    """

    style_dim: int = 8
    gradient: str = "beta"
    concentration_floor: float = 0.1
    category_gain: float = 10.0
    centre_rate: float = 10.0

    def value(self) -> Latent:
        category = latents.dirichlet_with(self.gradient)
        return latents.product(category=category, style=latents.normal)

    def _heads(self, latent_dim: int) -> dict[str, Any]:
        style_dim = checks.axis_length("style_dim", self.style_dim)
        categories = checks.axis_length("latent_dim", latent_dim - style_dim, minimum=2)
        floor = checks.positive_float("concentration_floor", self.concentration_floor)
        return {
            "category": modules.DirichletHead(categories, floor),
            "style": modules.NormalHead(style_dim),
        }

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        made = ready_networks.dense_network(shape, self._heads(latent_dim), **options)
        return self._joined(made)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        heads = self._heads(latent_dim)
        made = convolutional_networks.convolutional_network(shape, heads, **options)
        return self._joined(made)

    def topics(self, width: int, latent_dim: int, **options: Any) -> Network:
        raise _no_topics()

    def _joined(self, network: Network) -> Network:
        """The category is told to the decoder, and is not told by the style."""
        scaled = network_wrappers.scaled_parts(network, category=self.category_gain)
        return network_wrappers.centred(scaled, part="style", on="category", rate=self.centre_rate)

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        raise ValueError("objective must be another for a joint latent, got original")


def _no_topics() -> ValueError:
    return ValueError("network must be another where the latent is no Dirichlet, got topics")
