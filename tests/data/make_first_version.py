"""Make first_version.npz: what jaxvae 0.1.0 computes, against which later versions are held.

Run with version 0.1.0, JAX's default configuration and a CPU (a minute):
`python tests/data/make_first_version.py`. `loss`, `encode` and `decode` are called compiled, the
rest as they are; noise is from jax.random.key(1), priors from key(2), `fit` from key(3), `evaluate`
from key(4). In the keys below MODEL is normal or dirichlet, PATH a parameter's path in its tree.

- batch/x, y, weight, position: the batch of 7 examples, one of them of weight 0.
- data/x, y: the 40 examples that `fit`, `evaluate` and `encode_mean` see.
- made_with/jax, jaxvae, numpy: versions.
- MODEL/params/PATH: the parameters of every case, and those that `fit` starts from.
- MODEL/cases: [C], a JSON object each: the options of the model. prior is a pair: the function of
  jaxvae and its positional arguments.
- MODEL/loss: [C]. MODEL/reconstruction, MODEL/kl: [C, 7], of each example, before any weight.
- MODEL/grad/PATH: [C, ...], the gradient of the loss.
- MODEL/prior_sample: [C, 4, K], and MODEL/decoded: [C, 4, D], decoded from it.
- normal/loc, normal/scale, dirichlet/concentration: [C, 7, K], what `encode` gives.
- MODEL/fit/params/PATH: after `fit` of the first case, 3 epochs in batches of 16 by Adam.
- MODEL/fit/loss, reconstruction, kl: [3], of each epoch, and MODEL/fit/batch_losses: [3, 3].
- MODEL/evaluate: [3], the loss, its reconstruction and its KL term, of the parameters after `fit`.
- MODEL/encode_mean: [40, K], of the same parameters.
"""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxvae

DATA_DIM = 12
LATENT_DIM = {"normal": 3, "dirichlet": 5}
POSTERIOR = {"normal": ("loc", "scale"), "dirichlet": ("concentration",)}
EXAMPLES, BATCH_SIZE, EPOCHS = 40, 16, 3


def cases(model):
    """The options of each model; the first is the one that is trained."""
    kinds = [("normal", "elbo"), ("bernoulli", "elbo"), ("normal", "original")]
    for (likelihood, objective), kl_weight in itertools.product(kinds, (1.0, 0.5)):
        common = {"likelihood": likelihood, "objective": objective, "kl_weight": kl_weight}
        if model == "normal":
            yield common
            continue
        priors = (["label_prior", []], ["symmetric_prior", [0.7]])
        for prior, gradient in itertools.product(priors, ("beta", "gamma")):
            yield common | {"prior": prior, "gradient": gradient}


def build(model, options):
    shape = {"layers": 2, "hidden_units": 8}
    if model == "normal":
        network = jaxvae.dense_normal_network(DATA_DIM, LATENT_DIM[model], **shape)
        return jaxvae.normal_vae(network, prior_variance=2.0, **options)
    network = jaxvae.dense_dirichlet_network(DATA_DIM, LATENT_DIM[model], **shape)
    name, args = options["prior"]
    return jaxvae.dirichlet_vae(network, **options | {"prior": getattr(jaxvae, name)(*args)})


def named(prefix, tree):
    """The arrays of a tree, each by its path."""
    return {
        f"{prefix}/{jax.tree_util.keystr(path, simple=True, separator='/')}": np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def of_a_case(model, vae, params, batch):
    """Everything but training, by key."""
    loss = jax.jit(jax.value_and_grad(vae.loss, has_aux=True))
    (value, terms), grads = loss(params, jax.random.key(1), batch)
    z = vae.sample_prior(jax.random.key(2), (4, LATENT_DIM[model]))
    decoded = jax.jit(vae.decode)(params, z)
    posterior = jax.tree.leaves(jax.jit(vae.encode)(params, batch.x))
    arrays = {"loss": value, **terms._asdict(), "prior_sample": z, "decoded": decoded}
    arrays |= dict(zip(POSTERIOR[model], posterior, strict=True))
    return {name: np.asarray(array) for name, array in arrays.items()} | named("grad", grads)


def of_training(vae, params, x, y):
    """What `fit` makes of the parameters, and what the result gives, by key."""
    optimizer = optax.adam(1e-3)
    start = jax.tree.map(jnp.array, params)  # copies: the state may be donated
    state = jaxvae.TrainState(jnp.int32(0), start, optimizer.init(start))
    options = {"batch_size": BATCH_SIZE, "epochs": EPOCHS, "optimizer": optimizer, "state": state}
    state, history = jaxvae.fit(jax.random.key(3), vae, x, y, **options)
    fields = ("loss", "reconstruction", "kl", "batch_losses")
    epochs = {f"fit/{f}": np.array([getattr(e, f) for e in history.epochs]) for f in fields}
    evaluation = jaxvae.evaluate(jax.random.key(4), vae, state.params, x, y)
    mean = jaxvae.encode_mean(vae, state.params, x)
    return (
        epochs | named("fit/params", state.params) | {"evaluate": evaluation, "encode_mean": mean}
    )


def main():
    if jaxvae.__version__ != "0.1.0":
        raise SystemExit(f"jaxvae must be version 0.1.0, got {jaxvae.__version__}")
    rng = np.random.default_rng(0)
    x, y = rng.random((7, DATA_DIM), np.float32), np.array([0, 1, 2, 3, 4, 2, 0], np.int32)
    weight = np.array([1, 0.5, 2, 0, 1.5, 1, 0.25], np.float32)
    position = np.array([3, 0, 6, 1, 9, 4, 2], np.int32)
    batch = jaxvae.Batch(x, y, weight, position)
    data_x = rng.random((EXAMPLES, DATA_DIM), np.float32)
    data_y = rng.integers(LATENT_DIM["dirichlet"], size=EXAMPLES, dtype=np.int32)
    arrays = {f"batch/{name}": array for name, array in batch._asdict().items()}
    arrays |= {"data/x": data_x, "data/y": data_y}
    arrays |= {f"made_with/{m.__name__}": np.array(m.__version__) for m in (jax, jaxvae, np)}
    for model in LATENT_DIM:
        options = list(cases(model))
        vaes = [build(model, own) for own in options]
        params = vaes[0].init(jax.random.key(0), x)
        each = [of_a_case(model, vae, params, batch) for vae in vaes]
        found = {name: np.stack([own[name] for own in each]) for name in each[0]}
        found |= named("params", params) | of_training(vaes[0], params, data_x, data_y)
        found["cases"] = np.array([json.dumps(own) for own in options])
        arrays |= {f"{model}/{name}": array for name, array in found.items()}
    np.savez_compressed(Path(__file__).with_name("first_version.npz"), **arrays)
    print(len(arrays), "arrays")


if __name__ == "__main__":
    main()
