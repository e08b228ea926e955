"""Bad calls: each raises the documented exception, and its message names the argument, the value
and what is allowed, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import small_vae

import jaxvae
from jaxvae import datasets, distributions

KEY = jax.random.key(0)
X = np.full((20, 64), 0.5, np.float32)
Y = np.arange(20) % 10


def with_value(value, at=(3, 5)):
    x = X.astype(np.float64)
    x[at] = value
    return x


def fit(x=X, y=Y, model="dirichlet", key=KEY, vae=None, **options):
    vae = small_vae(model, **options.pop("model_options", {})) if vae is None else vae
    return jaxvae.fit(key, vae, x, y, **{"batch_size": 8, "epochs": 1} | options)


def network(**options):
    return jaxvae.dense_dirichlet_network(**{"data_dim": 64, "latent_dim": 10} | options)


def normal_network(**options):
    return jaxvae.dense_normal_network(**{"data_dim": 64, "latent_dim": 2} | options)


WRONG_OUTPUT = jaxvae.dense_dirichlet_network(63, 10, layers=1, hidden_units=8)
ENCODER_OF_THE_OTHER_LATENT = normal_network(layers=1, hidden_units=8)

BAD_CALLS = [
    # data
    (lambda: fit(with_value(np.nan)), ValueError, r"x must be finite, got nan at index \(3, 5\)"),
    (lambda: fit(with_value(np.inf)), ValueError, r"x must be finite, got inf at index \(3, 5\)"),
    (lambda: fit(with_value(1e300)), ValueError, r"x must be finite, got inf at index \(3, 5\)"),
    (lambda: fit(X[0]), ValueError, r"x must have the shape \[N, D\].*got \(64,\)"),
    (lambda: fit(X[:, :, None]), ValueError, r"x must have the shape \[N, D\].*got \(20, 64, 1\)"),
    (lambda: fit(X[:0], Y[:0]), ValueError, r"x must not be empty.*\(0, 64\)"),
    (lambda: fit(X[:, :0]), ValueError, r"x must not be empty.*\(20, 0\)"),
    (lambda: fit(X.astype(str)), TypeError, "x must hold real numbers, got dtype <U"),
    (lambda: fit(X.astype(complex)), TypeError, "x must hold real numbers, got dtype complex128"),
    (lambda: fit([[1.0], [1.0, 2.0]]), ValueError, "x must be an array"),
    (lambda: fit(-X, model_options={"likelihood": "bernoulli"}), ValueError, r"x must lie in \[0, 1\].*got -0.5"),
    (lambda: fit(3 * X, model_options={"likelihood": "bernoulli"}), ValueError, r"x must lie in \[0, 1\].*got 1.5"),
    (lambda: datasets.from_arrays(X[0]), ValueError, r"x must have the shape \[N, D\] or \[N, H, W\], got \(64,\)"),
    (lambda: datasets.from_arrays(X[:1]), ValueError, "at least 2 examples.*got 1"),
    (lambda: datasets.from_arrays(X, x_test=X[:, :5]), ValueError, "x_test must hold examples like"),
    (lambda: datasets.from_arrays(X, Y, x_test=X), ValueError, "y and y_test must both be given"),
    (lambda: datasets.from_arrays(X, Y, y_test=Y), ValueError, "y_test must come with x_test"),
    # labels
    (lambda: fit(y=None), ValueError, "y must hold the labels that the prior is made from, got None"),
    (lambda: fit(y=Y[:-1]), ValueError, "y must have one label for each of 20 examples, got 19"),
    (lambda: fit(y=Y.astype(float)), TypeError, "y must hold integers, got dtype float64"),
    (lambda: fit(y=Y - 1), ValueError, "y must be at least 0, got -1 at index 0"),
    (lambda: fit(y=Y + 1), ValueError, "y must be from 0 to 9, got 10 at index 9"),
    (lambda: fit(y=Y[:, None]), ValueError, r"y must have the shape \[N\].*got \(20, 1\)"),
    (lambda: fit(y=np.full(20, 2**40)), ValueError, "y must be at least 0"),
    # fit
    (lambda: fit(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: fit(batch_size=-3), ValueError, "batch_size must be at least 1, got -3"),
    (lambda: fit(batch_size=2.5), TypeError, "batch_size must be an integer, got 2.5"),
    (lambda: fit(batch_size=True), TypeError, "batch_size must be an integer, got True"),
    (lambda: fit(epochs=0), ValueError, "epochs must be at least 1, got 0"),
    (lambda: fit(epochs="3"), TypeError, "epochs must be an integer, got '3'"),
    (lambda: fit(key=0), TypeError, r"key must be a typed key from jax.random.key\(seed\), got 0"),
    (lambda: fit(key=jnp.zeros(2, jnp.uint32)), TypeError, "key must be a typed key"),
    (lambda: fit(key=jax.random.split(KEY, 3)), ValueError, r"key must be one key.*\(3,\)"),
    (lambda: fit(vae=network()), TypeError, "vae must be a jaxvae.VAE, got Network"),
    (lambda: fit(optimizer="adam"), TypeError, "optimizer must be an optax.*got 'adam'"),
    (lambda: fit(state=fit(model="normal")[0]), ValueError, "state must be of this model"),
    # networks
    (lambda: network(layers=0), ValueError, "layers must be at least 1, got 0"),
    (lambda: network(hidden_units=-1), ValueError, "hidden_units must be at least 1, got -1"),
    (lambda: network(data_dim=0), ValueError, "data_dim must be at least 1, got 0"),
    (lambda: network(latent_dim=1), ValueError, "latent_dim must be at least 2, got 1"),
    (lambda: normal_network(latent_dim=0), ValueError, "latent_dim must be at least 1, got 0"),
    (lambda: network(activation="swoosh"), ValueError, "activation must be one of .*'relu'.*got 'swoosh'"),
    (lambda: network(activation=3), TypeError, "activation must be a function, got 3"),
    (lambda: network(head="exp"), ValueError, "head must be one of 'softplus', 'relu', got 'exp'"),
    (lambda: network(concentration_floor=0), ValueError, "concentration_floor must be finite and above 0, got 0"),
    (lambda: jaxvae.flax_network("encoder", None), TypeError, "encoder must be a flax.linen.Module"),
    # models
    (lambda: jaxvae.normal_vae("network"), TypeError, "network must be a jaxvae.Network, got 'network'"),
    (lambda: small_vae("normal", likelihood="poisson"), ValueError, "likelihood must be one of 'normal', 'bernoulli', got 'poisson'"),
    (lambda: small_vae("normal", objective="iwae"), ValueError, "objective must be one of 'elbo', 'original', got 'iwae'"),
    (lambda: small_vae("dirichlet", objective="original", likelihood="bernoulli"), ValueError, 'likelihood must be "normal" with objective="original"'),
    (lambda: small_vae("normal", prior_variance=0.0), ValueError, "prior_variance must be finite and above 0, got 0.0"),
    (lambda: small_vae("normal", prior_variance=np.inf), ValueError, "prior_variance must be finite and above 0, got inf"),
    (lambda: small_vae("normal", kl_weight=-1), ValueError, "kl_weight must be finite and at least 0, got -1.0"),
    (lambda: small_vae("normal", kl_weight="a"), TypeError, "kl_weight must be a number, got 'a'"),
    (lambda: small_vae("dirichlet", prior="labels"), TypeError, "prior must be a DirichletPrior, got 'labels'"),
    (lambda: jaxvae.label_prior(smoothness=0), ValueError, "smoothness must be finite and above 0, got 0.0"),
    (lambda: jaxvae.label_prior(total_concentration=np.nan), ValueError, "total_concentration must be finite and above 0, got nan"),
    (lambda: jaxvae.symmetric_prior(-2), ValueError, "concentration must be finite and above 0, got -2.0"),
    (lambda: fit(vae=jaxvae.dirichlet_vae(WRONG_OUTPUT)), ValueError, r"network.decode must return the shape of x, \(20, 64\), got \(20, 63\)"),
    (lambda: fit(vae=jaxvae.dirichlet_vae(ENCODER_OF_THE_OTHER_LATENT)), ValueError, "network.encode must return a concentration"),
    (lambda: fit(vae=jaxvae.normal_vae(network(layers=1))), ValueError, r"network.encode must return a pair \(loc, scale\)"),
    # distributions
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, 0.0])), ValueError, r"concentration must be finite and above 0, got 0.0 at index \(1,\)"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, -2.0])), ValueError, "concentration must be finite and above 0, got -2.0"),
    (lambda: jaxvae.sample_dirichlet(KEY, jnp.array([1.0, np.nan])), ValueError, "concentration must be finite and above 0, got nan"),
    (lambda: jaxvae.sample_log_gamma(KEY, np.inf), ValueError, "concentration must be finite and above 0, got inf"),
    (lambda: jaxvae.sample_dirichlet(KEY, 1.0), ValueError, "concentration must have at least one axis"),
    (lambda: jaxvae.sample_dirichlet(0, jnp.ones(2)), TypeError, "key must be a typed key"),
    (lambda: jaxvae.sample_normal(KEY, jnp.zeros(2), jnp.array([1.0, 0.0])), ValueError, "scale must be finite and above 0, got 0.0"),
    (lambda: jaxvae.sample_normal(KEY, jnp.array([np.nan]), jnp.ones(1)), ValueError, "loc must be finite, got nan"),
    (lambda: jaxvae.kl_normal(jnp.zeros(2), jnp.zeros(2)), ValueError, "scale must be finite and above 0, got 0.0"),
    (lambda: jaxvae.kl_normal(jnp.zeros(2), jnp.ones(2), prior_variance=-1), ValueError, "prior_variance must be finite and above 0, got -1"),
    (lambda: jaxvae.kl_dirichlet(jnp.ones(2), jnp.zeros(2)), ValueError, "prior_concentration must be finite and above 0, got 0.0"),
    (lambda: jaxvae.kl_dirichlet(jnp.array([np.inf, 1.0]), jnp.ones(2)), ValueError, "concentration must be finite and above 0, got inf"),
    # steps
    (lambda: jaxvae.make_train_epoch(small_vae("normal"), optax.sgd(0.1), batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "exception", "message"), BAD_CALLS, ids=[message for _, _, message in BAD_CALLS]
)
def test_bad_call(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_bad_data_is_refused_before_anything_is_compiled(monkeypatch):
    def compile_nothing(*args, **options):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_nothing)
    for x, y in ((with_value(np.nan), Y), (X, Y + 1), (X, None)):
        with pytest.raises(ValueError, match="must"):
            fit(x, y)


def test_evaluation_refuses_what_fit_refuses():
    vae = small_vae("dirichlet")
    params = vae.init(KEY, X[:1])
    with pytest.raises(ValueError, match="y must be from 0 to 9, got 10"):
        jaxvae.evaluate(KEY, vae, params, X, Y + 1)
    with pytest.raises(ValueError, match="x must be finite"):
        jaxvae.encode_mean(vae, params, with_value(np.nan))
    with pytest.raises(ValueError, match="y must hold the labels"):
        jaxvae.evaluate(KEY, vae, params, X)


def test_labels_the_prior_needs_are_missed_while_tracing():
    vae = small_vae("dirichlet")
    params = vae.init(KEY, X[:1])
    with pytest.raises(ValueError, match="y must hold the labels"):
        jax.jit(vae.loss)(params, KEY, jaxvae.Batch(X))


def test_the_typed_key_check_knows_tracers():
    z = jax.jit(lambda key: distributions.sample_normal(key, jnp.zeros(2), jnp.ones(2)))(KEY)
    assert z.shape == (2,)
