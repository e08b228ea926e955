"""What else the library trains and computes, on a GPU: a line for each part.

The README's workload has none of these: many categories, rows of counts that stay packed, many
importance weights, many seeds as one program, and the two searches after training, the refined
posterior and the NLL. Each part is a few calls that take turns; the first is what the others of the
part are held against. `gpu.py` runs them; random data, as there.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
import scipy.sparse
import timing
from competitors import FLOOR, Case, find, floor, jax_based, stepwise

import jaxvae
from jaxvae import latents, likelihoods, networks, objectives, priors


class Size(NamedTuple):
    """How much of everything; `TINY` runs anywhere in a minute."""

    categories: tuple[int, ...] = (128, 512, 4096)
    batch_size: int = 1024
    images: int = 60_000
    documents: int = 20_000
    words: int = 30_000
    topics: int = 50
    words_of_a_document: int = 100
    draws: int = 50
    seeds: int = 8
    nll_draws: int = 5000


TINY = Size((16,), 32, 96, 96, 200, 5, 10, 3, 2, 20)
SEARCH = 1000  # examples of a refinement and of an NLL
ADAM = optax.adam(1e-3)


def epochs_of(vae, x, batch_size, seeds=None):
    """Epochs of `fit`, or of `fit_many` with so many seeds: a call each."""
    key = jax.random.key(0)

    def train(hold):
        options = {"batch_size": batch_size, "epochs": stepwise.EPOCHS, "optimizer": ADAM}
        if seeds is None:
            jaxvae.fit(key, vae, x, on_epoch=lambda record, state: hold(record.loss), **options)
        else:
            keys = jax.random.split(key, seeds)
            jaxvae.fit_many(
                keys, vae, x, on_epoch=lambda records, state: hold(records[0].loss), **options
            )

    return stepwise.epochs_of(train)


def topic_vae(size):
    """The network of `topics.TopicModel`, and its likelihood and prior."""
    background = np.ones(size.words, np.float32)
    network = networks.topic_network(size.words, size.topics, background=background)
    return jaxvae.bind(network, latents.dirichlet, priors.symmetric(0.1), likelihoods.multinomial())


def image_vae(objective):
    """That of Burda et al., 2016: 784-200-200-50, Bernoulli pixels."""
    encoder = networks.Encoder(networks.NormalHead(50), networks.MLP(2, 200, nn.tanh))
    decoder = networks.Decoder(784, networks.MLP(2, 200, nn.tanh))
    return jaxvae.bind(
        networks.flax_network(encoder, decoder), latents.normal, priors.standard_normal(),
        likelihoods.bernoulli(), objective,
    )  # fmt: skip


def images_of(size):
    """Binary images [N, 784]."""
    return (np.random.default_rng(0).random((size.images, 784)) < 0.2).astype(np.uint8)


def counts_of(size):
    """Documents, CSR [N, V] of uint8."""
    rng, entries = np.random.default_rng(0), size.documents * size.words_of_a_document
    row = np.repeat(np.arange(size.documents), size.words_of_a_document)
    column = rng.integers(0, size.words, entries)
    ones = np.ones(entries, np.uint8)
    return scipy.sparse.coo_array((ones, (row, column)), shape=(size.documents, size.words)).tocsr()


def large_k(size, categories):
    """The README's network with many categories, beside the floor."""
    case, rng = Case("dirichlet", categories, size.batch_size), np.random.default_rng(0)
    x = rng.random((size.images, 784), np.float32)
    y = rng.integers(0, categories, size.images, np.int32)
    calls = {
        "floor": floor.prepare(find(FLOOR).variant, case, x, y, 0),
        "jaxvae": jax_based.prepare("core", case, x, y, 0),
    }
    return calls, size.images, -(-size.images // size.batch_size)


def sparse_rows(size):
    """The topic model on rows that are dense, and on rows that are made dense in the step."""
    vae, counts = topic_vae(size), counts_of(size)
    calls = {
        "dense rows": epochs_of(vae, counts.toarray(), size.batch_size),
        "packed rows": epochs_of(vae, counts, size.batch_size),
    }
    return calls, size.documents, -(-size.documents // size.batch_size)


def many_draws(size):
    """The ELBO of one draw, and the importance-weighted bound of many, at a batch of 100."""
    x, batch_size = images_of(size), min(100, size.images // 2)
    calls = {
        "ELBO, 1 draw": epochs_of(image_vae(objectives.elbo()), x, batch_size),
        f"IWAE, {size.draws} draws": epochs_of(
            image_vae(objectives.iwae(size.draws)), x, batch_size
        ),
    }
    return calls, size.images, -(-size.images // batch_size)


def many_seeds(size):
    """One seed, and many as one program; images of all seeds are counted as of one."""
    case = Case("normal", 2, 64)
    x = np.random.default_rng(0).random((size.images, 784), np.float32)
    vae = jax_based.build(case)
    calls = {
        "1 seed": epochs_of(vae, x, case.batch_size),
        f"{size.seeds} seeds": epochs_of(vae, x, case.batch_size, size.seeds),
    }
    return calls, size.images, -(-size.images // case.batch_size)


def refinement(size):
    """Posteriors of documents: by the encoder alone, and after 50 steps each."""
    vae, key = topic_vae(size), jax.random.key(0)
    counts = counts_of(size)[:SEARCH]
    params = vae.init(key, counts[:1].toarray())

    def refined(steps):
        return lambda: jax.device_get(jaxvae.refine(key, vae, params, counts, steps=steps))

    calls = {"the encoder alone": refined(0), "50 steps": refined(50)}
    return calls, counts.shape[0], 1


def marginal_nll(size):
    """The NLL of images by importance sampling."""
    vae, key = image_vae(objectives.elbo()), jax.random.key(0)
    x = images_of(size)[:SEARCH]
    params = vae.init(key, x)
    calls = {
        f"{size.nll_draws:,} draws": lambda: jaxvae.marginal_nll(
            key, vae, params, x, draws=size.nll_draws
        )
    }
    return calls, len(x), 1


def parts_of(size):
    """What is measured: name -> a function of the size that makes its calls."""
    each = {f"K = {k:,}": lambda size, k=k: large_k(size, k) for k in size.categories}
    return each | {
        "counts": sparse_rows,
        "importance weights": many_draws,
        "many seeds": many_seeds,
        "refined posteriors": refinement,
        "NLL": marginal_nll,
    }


def measure(prepare, size, rounds):
    """Seconds of each call of a part, in turns, and the examples and steps in one."""
    calls, examples, steps = prepare(size)
    return {"seconds": timing.alternate(calls, rounds), "examples": examples, "steps": steps}


HEADER = ["part", "what", "examples / s", "µs a step", "x the first"]


def rows_of_table(name, found):
    """A line for each call; a search has no steps to count."""
    seconds, first = found["seconds"], next(iter(found["seconds"]))
    rows = []
    for what, values in seconds.items():
        median = np.median(values)
        step = f"{1e6 * median / found['steps']:,.1f}" if found["steps"] > 1 else "-"
        ratio = f"{timing.ratio(values, seconds[first]):.2f}"
        rows.append([name, what, f"{found['examples'] / median:,.0f}", step, ratio])
    return rows
