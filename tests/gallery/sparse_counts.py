"""100,000 rows of 5,000 counts, 1% of them above zero: they are never made dense as a whole."""

import jax
import numpy as np
import scipy.sparse

import jaxvae
from jaxvae import likelihoods

row, column = np.arange(100_000, dtype=np.int32), np.arange(0, 5_000, 100, dtype=np.int32)
columns = (row[:, None] % 100 + column).ravel()  # fifty entries a row
vae = jaxvae.normal_vae(
    jaxvae.dense_normal_network(5_000, 20, layers=1, hidden_units=32),
    likelihood=likelihoods.multinomial(),
)

counts = np.random.default_rng(0).integers(1, 4, columns.size, np.uint8)
x = scipy.sparse.csr_array(
    (counts, columns, np.arange(0, columns.size + 1, 50)), shape=(100_000, 5_000)
)
state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=256, epochs=1)
print(jaxvae.encode_mean(vae, state.params, x[:1000]).shape)
