"""Topic models of others, fitted by the interpreter of the environment that they are installed in.

`topics.py` starts `python topic_peers.py TASK`, a process for each peer, data set and list of
settings. The task is a JSON file: the peer, its options, the number of topics, the seeds, the
folder with the data, and the folder where the results go. The process fits one seed after another,
so that a first fit and a further one are told apart, and it uses nothing of jaxvae.

What is timed begins at a CSR matrix of counts: what a peer makes of it counts, and so does what is
compiled. Imports do not count.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import scipy.sparse

LEAST = 1e-12


class Peer:
    """A topic model; a subclass for each.

    Attributes:
      title: its name in a table.
      package: the distribution that has its version.
      module: what must be importable.
      best: settings to try beside the defaults, on validation documents.
      quick: what makes a fit short where only the benchmark itself is tried.
    """

    title = package = module = ""
    best: tuple = ()
    quick: dict = {}  # noqa: RUF012

    def __init__(self, topics, options):
        self.topics, self.options = topics, dict(options)

    def load(self):
        """Import what is needed, before the clock runs."""
        importlib.import_module(self.module)

    def fit(self, train, seed):
        """Train on counts, CSR [N, V]."""
        raise NotImplementedError

    def topic_word(self):
        """How much each topic likes each word [K, V]: probabilities, or what grows with them."""
        raise NotImplementedError

    def mixtures(self, counts):
        """The mixture of topics of each document [N, K]."""
        raise NotImplementedError

    def word_probabilities(self, counts):
        """What is predicted for each document [N, V]."""
        return self.mixtures(counts) @ self.topic_word()


class ScikitLearn(Peer):
    title, package, module = "scikit-learn LDA", "scikit-learn", "sklearn.decomposition"
    best = (
        {"max_iter": 50},
        {"max_iter": 50, "doc_topic_prior": 0.1, "topic_word_prior": 0.1},
        {"max_iter": 50, "doc_topic_prior": 0.1, "topic_word_prior": 0.01},
        {"learning_method": "online", "max_iter": 20},
    )
    quick = {"max_iter": 2}  # noqa: RUF012

    def fit(self, train, seed):
        from sklearn.decomposition import LatentDirichletAllocation

        model = LatentDirichletAllocation(self.topics, random_state=seed, **self.options)
        self.model = model.fit(train)

    def topic_word(self):
        return _rows(self.model.components_)

    def mixtures(self, counts):
        return self.model.transform(counts)


class Gensim(Peer):
    """Its documentation asks for more passes and for learned priors than it has by default."""

    title, package, module = "gensim LdaModel", "gensim", "gensim.models"
    best = (
        {"passes": 10},
        {"passes": 20, "iterations": 400, "alpha": "auto", "eta": "auto"},
        {"passes": 20, "iterations": 400, "alpha": "asymmetric", "eta": "auto"},
    )
    quick = {"passes": 1}  # noqa: RUF012

    def fit(self, train, seed):
        from gensim.models import LdaModel

        words = {i: str(i) for i in range(train.shape[1])}
        self.model = LdaModel(
            self._corpus(train), self.topics, words, random_state=seed, **self.options
        )

    def _corpus(self, counts):
        from gensim.matutils import Sparse2Corpus

        return Sparse2Corpus(counts, documents_columns=False)

    def topic_word(self):
        return self.model.get_topics()

    def mixtures(self, counts):
        return _rows(self.model.inference(list(self._corpus(counts)))[0])


class Tomotopy(Peer):
    """Gibbs sampling, by all cores. Ten sweeps are its default, too few: 1,000 are asked for."""

    title, package, module = "tomotopy LDA (Gibbs)", "tomotopy", "tomotopy"
    best = ({"eta": 0.05}, {"eta": 0.1}, {"eta": 0.05, "sweeps": 2000})
    quick = {"sweeps": 20}  # noqa: RUF012

    def fit(self, train, seed):
        import tomotopy

        options = {"sweeps": 1000} | self.options
        sweeps = options.pop("sweeps")
        self.model = tomotopy.LDAModel(k=self.topics, seed=seed, **options)
        for document in _texts(train):
            if document:  # an empty one is refused
                self.model.add_doc(document)
        self.model.train(sweeps)
        places = np.array([int(word) for word in self.model.used_vocabs])
        own = np.array([self.model.get_topic_word_dist(k) for k in range(self.topics)])
        self.words = np.full((self.topics, train.shape[1]), own.min(axis=1, keepdims=True))
        self.words[:, places] = own
        self.words = _rows(self.words)
        self.known = {str(place) for place in places}

    def topic_word(self):
        return self.words

    def mixtures(self, counts):
        texts = [[word for word in text if word in self.known] for text in _texts(counts)]
        found = np.full((len(texts), self.topics), 1 / self.topics)
        rows = [row for row, text in enumerate(texts) if text]
        found[rows] = self.model.infer([self.model.make_doc(texts[row]) for row in rows])[0]
        return found


class TopMost(Peer):
    title, package, module = "TopMost ProdLDA", "topmost", "topmost"
    best = ({"dropout": 0.2}, {"dropout": 0.6}, {"epochs": 400})
    quick = {"epochs": 3}  # noqa: RUF012

    def load(self):
        # Of torchvision it imports the function that downloads, and a torchvision that was built
        # for another PyTorch does not import: without one, a name for it is enough.
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):
            sys.modules["torchvision.datasets.utils"] = SimpleNamespace(download_url=None)
        super().load()

    def fit(self, train, seed):
        import topmost
        import torch

        torch.manual_seed(seed)
        own = {name: self.options[name] for name in ("dropout", "en_units") if name in self.options}
        rest = {name: value for name, value in self.options.items() if name not in own}
        self.model = topmost.ProdLDA(train.shape[1], self.topics, **own)
        rows = _dense(train)
        loader = torch.utils.data.DataLoader(rows, batch_size=200, shuffle=True)
        data = SimpleNamespace(
            train_data=rows, train_dataloader=loader, vocab=[str(i) for i in range(train.shape[1])]
        )
        self.trainer = topmost.BasicTrainer(self.model, data, **rest)
        self.trainer.train()

    def topic_word(self):
        return self.trainer.get_beta()

    def mixtures(self, counts):
        return self.trainer.test(_dense(counts))

    def word_probabilities(self, counts):
        import torch

        with torch.no_grad():
            self.model.eval()
            return self.model.decode(torch.tensor(self.mixtures(counts)).float()).numpy()


class Scvi(Peer):
    """By default it trains on nine tenths of what it is given; the settings to try train on all."""

    title, package, module = "scvi-tools AmortizedLDA", "scvi-tools", "scvi"
    best = (
        {"train_size": 1.0, "lr": 1e-2, "max_epochs": 400},
        {"train_size": 1.0, "lr": 1e-2, "max_epochs": 400, "cell_topic_prior": 0.1},
    )
    quick = {"max_epochs": 3}  # noqa: RUF012

    def _annotated(self, counts):
        from anndata import AnnData

        return AnnData(counts.astype(np.float32))

    def fit(self, train, seed):
        import scvi

        scvi.settings.seed = seed
        data = self._annotated(train)
        scvi.model.AmortizedLDA.setup_anndata(data)
        names = ("n_hidden", "cell_topic_prior", "topic_feature_prior")
        own = {name: self.options[name] for name in names if name in self.options}
        rest = {name: value for name, value in self.options.items() if name not in own}
        self.model = scvi.model.AmortizedLDA(data, n_topics=self.topics, **own)
        self.model.train(accelerator="cpu", enable_progress_bar=False, logger=False, **rest)

    def topic_word(self):
        return self.model.get_feature_by_topic().to_numpy().T

    def mixtures(self, counts):
        return self.model.get_latent_representation(self._annotated(counts)).to_numpy()


class NumPyro(Peer):
    """ProdLDA with the settings of NumPyro's example of it: Flax networks and SVI."""

    title, package, module = "NumPyro ProdLDA", "numpyro", "numpyro"
    best = (
        {"batch_size": 200, "steps": 5000},
        {"batch_size": 200, "steps": 5000, "learning_rate": 3e-3},
        {"steps": 10_000},
    )
    quick = {"steps": 50}  # noqa: RUF012

    def load(self):
        super().load()
        import flax.linen as nn
        import jax
        import jax.numpy as jnp

        jnp.zeros(()).block_until_ready()  # the device, which takes its time once

        def normed(h, is_training):
            return nn.BatchNorm(
                use_bias=False, use_scale=False, momentum=0.9, use_running_average=not is_training
            )(h)

        class Encoder(nn.Module):
            topics: int
            hidden: int
            dropout: float

            @nn.compact
            def __call__(self, x, is_training):
                for _ in range(2):
                    x = nn.softplus(nn.Dense(self.hidden)(x))
                x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
                return jnp.exp(normed(nn.Dense(self.topics)(x), is_training))

        class Decoder(nn.Module):
            width: int
            dropout: float

            @nn.compact
            def __call__(self, x, is_training):
                x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
                return normed(nn.Dense(self.width, use_bias=False)(x), is_training)

        self.jax, self.encoder, self.decoder = jax, Encoder, Decoder

    def fit(self, train, seed):
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions
        from numpyro.contrib.module import flax_module
        from numpyro.infer import SVI, TraceMeanField_ELBO

        chosen = {"steps": 30_000, "batch_size": 32, "learning_rate": 1e-3}
        chosen |= {"hidden": 200, "dropout": 0.2} | self.options
        documents, width = train.shape
        size, dropout = min(chosen["batch_size"], documents), chosen["dropout"]
        self.encode = self.encoder(self.topics, chosen["hidden"], dropout)
        self.decode = self.decoder(width, dropout)
        rows, most = jnp.asarray(train.toarray(), jnp.float32), int(train.sum(axis=1).max())

        def network(name, module, inputs):
            how = {"apply_rng": ["dropout"], "mutable": ["batch_stats"], "is_training": True}
            net = flax_module(name, module, input_shape=(1, inputs), **how)
            return lambda x: net(x, True, rngs={"dropout": numpyro.prng_key()})

        def model(x):
            decode = network("decoder", self.decode, self.topics)
            with numpyro.plate("documents", documents, subsample_size=size):
                batch = numpyro.subsample(x, event_dim=1)
                prior = distributions.Dirichlet(jnp.ones(self.topics))
                logits = decode(numpyro.sample("theta", prior))
                counts = distributions.Multinomial(
                    batch.sum(-1), logits=logits, total_count_max=most
                )
                numpyro.sample("counts", counts, obs=batch)

        def guide(x):
            encode = network("encoder", self.encode, width)
            with numpyro.plate("documents", documents, subsample_size=size):
                batch = numpyro.subsample(x, event_dim=1)
                numpyro.sample("theta", distributions.Dirichlet(encode(batch)))

        optimizer = numpyro.optim.Adam(chosen["learning_rate"])
        svi = SVI(model, guide, optimizer, loss=TraceMeanField_ELBO())
        key = self.jax.random.PRNGKey(seed)
        done = svi.run(key, chosen["steps"], rows, progress_bar=False)
        self.jax.block_until_ready(done.params)
        states = done.state.mutable_state
        self.variables = {
            name: {"params": done.params[f"{name}$params"], **states[f"{name}$state"]}
            for name in ("encoder", "decoder")
        }

    def topic_word(self):
        return np.asarray(self.variables["decoder"]["params"]["Dense_0"]["kernel"])

    def mixtures(self, counts):
        rows = counts.toarray().astype(np.float32)
        return _rows(self.encode.apply(self.variables["encoder"], rows, False))

    def word_probabilities(self, counts):
        logits = self.decode.apply(self.variables["decoder"], self.mixtures(counts), False)
        return np.asarray(self.jax.nn.softmax(logits))


PEERS = {
    "scikit-learn": ScikitLearn,
    "gensim": Gensim,
    "tomotopy": Tomotopy,
    "topmost": TopMost,
    "scvi-tools": Scvi,
    "numpyro": NumPyro,
}


def _rows(values):
    """Rows divided by their sums."""
    values = np.maximum(np.asarray(values, np.float64), LEAST)
    return values / values.sum(axis=1, keepdims=True)


def _texts(counts):
    """Documents as lists of words, each as often as it comes."""
    names = np.arange(counts.shape[1]).astype(str)
    for start, end in zip(counts.indptr, counts.indptr[1:], strict=False):
        times = counts.data[start:end].astype(int)
        yield np.repeat(names[counts.indices[start:end]], times).tolist()


def _dense(counts):
    import torch

    return torch.tensor(counts.toarray(), dtype=torch.float32)


def cpu_seconds():
    """Of this process and of those that it has started and waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def timed(function, *arguments):
    """What a call gives, and its seconds: of the processor, and by the clock."""
    began, clock = cpu_seconds(), time.perf_counter()
    result = function(*arguments)
    return result, {"cpu": cpu_seconds() - began, "wall": time.perf_counter() - clock}


def data(folder):
    """The matrices of a task, by name, CSR of float32."""
    files = sorted(Path(folder).glob("*.npz"))
    return {file.stem: scipy.sparse.load_npz(file).astype(np.float32) for file in files}


def work(task, peers):
    """Fit one seed after another; arrays go to `seed-N.npz`, seconds and versions are returned."""
    matrices, peer = data(task["data"]), peers[task["peer"]](task["topics"], task["options"])
    peer.load()
    fits = []
    for seed in task["seeds"]:
        _, fit = timed(peer.fit, matrices["train"], seed)
        found = {"topic_word": peer.topic_word()}
        found["word_probabilities"] = peer.word_probabilities(matrices["seen"])
        seconds = {"fit": fit}
        if "thousand" in matrices:
            found["mixtures"] = peer.mixtures(matrices["train"])
            _, seconds["first transform"] = timed(peer.mixtures, matrices["thousand"])
            _, seconds["transform"] = timed(peer.mixtures, matrices["thousand"])
        own = {name: np.asarray(array, np.float32) for name, array in found.items()}
        np.savez(Path(task["out"], f"seed-{seed}.npz"), **own)
        fits.append(seconds)
    version = importlib.metadata.version(peer.package)
    return {"version": version, "python": platform.python_version(), "fits": fits}


def main(path, peers=PEERS):
    task = json.loads(Path(path).read_text())
    os.dup2(2, 1)  # what peers print is no answer
    done = work(task, peers)
    Path(task["out"], "done.json").write_text(json.dumps(done))


if __name__ == "__main__":
    if sys.argv[1] == "--probe":  # can this interpreter run that peer?
        PEERS[sys.argv[2]](2, {}).load()
    else:
        main(sys.argv[1])
