"""PyTorch, as a careful user writes it: data as one tensor, `torch.distributions`, fused Adam.

"compile" is the same with the loss (and so its gradient) under `torch.compile`.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.distributions import Dirichlet, Normal, kl_divergence

from competitors import (
    CONCENTRATION_FLOOR,
    EPSILON,
    LEARNING_RATE,
    PRIOR_VARIANCE,
    SMOOTHNESS,
    TOTAL_CONCENTRATION,
)


def dense(inputs, outputs):
    """A linear layer with Keras's and Flax's initial values."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def trunk(inputs, case):
    sizes = [inputs, *[case.hidden_units] * case.layers]
    return nn.Sequential(
        *(part for pair in itertools.pairwise(sizes) for part in (dense(*pair), nn.ReLU()))
    )


class VAE(nn.Module):
    """The network, and the original's objective."""

    def __init__(self, case):
        super().__init__()
        self.latent, self.categories = case.latent, case.latent_dim
        heads = 1 if case.latent == "dirichlet" else 2
        self.encoder = trunk(784, case)
        self.heads = nn.ModuleList(dense(case.hidden_units, case.latent_dim) for _ in range(heads))
        self.decoder = nn.Sequential(trunk(case.latent_dim, case), dense(case.hidden_units, 784))

    def encode(self, x):
        h = self.encoder(x)
        if self.latent == "dirichlet":
            return nn.functional.softplus(self.heads[0](h)) + CONCENTRATION_FLOOR
        return self.heads[0](h), torch.exp(self.heads[1](h))

    def draw(self, x):
        posterior = self.encode(x)
        if self.latent == "dirichlet":
            return Dirichlet(posterior, validate_args=False).rsample()
        return Normal(*posterior, validate_args=False).rsample()

    def forward(self, x, y):
        if self.latent == "dirichlet":
            posterior = Dirichlet(self.encode(x), validate_args=False)
            prior = nn.functional.one_hot(y, self.categories) + SMOOTHNESS
            prior = TOTAL_CONCENTRATION / (1 + self.categories * SMOOTHNESS) * prior
            kl = kl_divergence(posterior, Dirichlet(prior, validate_args=False))
            error = (x - self.decoder(posterior.rsample())).square().mean(-1)
            return (error + kl).mean()
        loc, scale = self.encode(x)
        z = Normal(loc, scale, validate_args=False).rsample()
        error = 0.5 * (x - self.decoder(z)).square().sum(-1)
        prior, posterior = z.square() / PRIOR_VARIANCE, (z - loc).square() / (scale + 1e-10)
        return (error + 0.5 * (prior - posterior).sum(-1)).mean()


# The last, partial batch is a second shape: two programs, not one for any shape.
COMPILED = {
    "compile": {"dynamic": False},
    "reduce-overhead": {"dynamic": False, "mode": "reduce-overhead"},  # CUDA graphs
}


def prepare(variant, case, x, y, seed, device="cpu"):
    torch.manual_seed(seed)
    model = VAE(case).to(device)
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, fused=True)
    loss_of = torch.compile(model, **COMPILED[variant]) if variant in COMPILED else model
    x, y = (torch.from_numpy(array).to(device) for array in (x, y.astype(np.int64)))

    def epoch():
        total = torch.zeros((), device=device)
        for index in torch.randperm(len(x), device=device).split(case.batch_size):
            adam.zero_grad(set_to_none=True)
            loss = loss_of(x[index], y[index])
            loss.backward()
            adam.step()
            total += loss.detach() * len(index)
        return float(total) / len(x)

    return epoch


def functions(variant, case, batch_size):
    torch.manual_seed(0)
    model = VAE(case)
    x = torch.rand(batch_size, 784)
    z = torch.full((batch_size, case.latent_dim), 1 / case.latent_dim)
    calls = {"encode": (model.encode, x), "decode": (model.decoder, z)}
    calls["draw given x"] = (model.draw, x)

    def under_no_grad(function, argument):
        def call():
            with torch.inference_mode():
                function(argument)

        return call

    return {name: under_no_grad(*call) for name, call in calls.items()}
