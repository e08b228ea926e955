"""100,000 rows of 5,000 counts, 1% of them above zero: they are never made dense as a whole."""

import jax
import numpy as np
import scipy.sparse

import jaxvae
from jaxvae import likelihoods, priors

columns = np.random.default_rng(0).integers(0, 5_000, 5_000_000, np.int32)
entries = np.ones(5_000_000, np.float32), columns, np.arange(0, 5_000_001, 50)
vae = jaxvae.dirichlet_vae(
    jaxvae.dense_dirichlet_network(5_000, 20, layers=1, hidden_units=32),
    prior=priors.symmetric(0.1),
    likelihood=likelihoods.multinomial(),
)

x = scipy.sparse.csr_array(entries, shape=(100_000, 5_000))
state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=256, epochs=1)
print(jaxvae.encode_mean(vae, state.params, x[:1000]).shape)
