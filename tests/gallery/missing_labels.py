"""Nine labels of ten are missing (-1): the labelled tenth gets half of the weight, or a tenth."""

import jax
import numpy as np

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, networks, priors

heads = {"category": networks.DirichletHead(10), "style": networks.NormalHead(8)}
network = networks.dense_network(64, heads, layers=1, hidden_units=256)
vae = bind(
    networks.scaled_parts(network, category=10.0),
    latents.product(category=latents.dirichlet, style=latents.normal),
    priors.product(
        category=priors.from_labels(smoothness=0.005, total_concentration=50.0),
        style=priors.standard_normal(),
    ),
    likelihoods.normal(0.37, learned=True),
)

data, key = datasets.load_digits(), jax.random.key(0)
known = np.random.default_rng(0).permutation(len(data.y_train)) < len(data.y_train) // 10
y = np.where(known, data.y_train, -1)
for weight in (9.0, 1.0):  # of each labelled example; the others have 1
    own = np.where(known, weight, 1.0)
    state, history = jaxvae.fit(key, vae, data.x_train, y, weight=own, batch_size=64, epochs=60)
    print(jaxvae.collapse_report(key, vae, state.params, data.x_test, data.y_test))
    accuracy = jaxvae.accuracy(vae, state.params, data.x_test, data.y_test)
    print(f"weight {weight:.0f}: accuracy {accuracy:.3f}")
