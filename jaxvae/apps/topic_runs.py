"""What a run of topics knows of its data: topics, mixtures of documents, and how good they are.

SciPy and scikit-learn are imported when they are used: other runs need neither.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae._output import say
from jaxvae.apps import outputs
from jaxvae.apps.description import Description
from jaxvae.apps.samples import evenly
from jaxvae.apps.topics import tables
from jaxvae.apps.topics.posteriors import ROWS, csr, mean_of, refined, words_of
from jaxvae.data.batches import Batch
from jaxvae.data.sparse import is_sparse
from jaxvae.model.count_networks import topic_word_logits
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE

FILE = "topics.csv"
TOP, LISTED = 10, 50  # words of a topic that are judged and printed; that the file holds
DIVERSE = 25  # words of a topic, of which it is asked whether another has them
BEFOREHAND = 1000  # documents, at most, whose dispersion is found before training
DOCUMENTS = 5000  # of which the mixtures are looked at, at most
PERPLEXITY, UNIGRAM = "test_perplexity", "unigram_perplexity"
# What the summary of a run of topics holds beside what each has.
FIGURES = (
    PERPLEXITY, UNIGRAM, "npmi", "diversity", "redundancy", "topics_in_use", "topics",
    "adjusted_rand_index", "normalized_mutual_information", "nearest_neighbour_accuracy",
)  # fmt: skip


def is_topical(model: Description) -> bool:
    """Whether the categories of a model are topics of words.

    Args:
      model: what it is.

    Returns:
      Whether they are.
    """
    return getattr(model.network, "of_topics", False)


def dispersion_for(model: Description, x: Any) -> float:
    """How far counts lie from as many topics as a model has, by a sample of them.

    Args:
      model: what it is.
      x: its training examples; of a model of topics counts [N, V].

    Returns:
      The number that `starts.dispersion` says; 1 for a model of another kind.
    """
    if not is_topical(model):
        return 1.0
    from jaxvae.apps.topics import starts

    rows = csr(x)
    rows = rows[np.diff(rows.indptr) > 0]
    some = rows[evenly(rows.shape[0], BEFOREHAND)]
    if not some.shape[0]:
        return 1.0  # where training starts it is refused
    return starts.dispersion(some, starts.factors(some, model.latent_dim, 0))


def topic_word(vae: VAE, params: Params) -> np.ndarray:
    """The probabilities of the words under each topic alone.

    Args:
      vae: a model of topics.
      params: its parameters.

    Returns:
      [K, V].
    """
    assert vae.parts is not None
    return np.array(jax.nn.softmax(topic_word_logits(vae.parts.network, params), axis=-1))


def posteriors(run: Any, x: Any) -> Any:
    """The posterior of each document: from where the encoder puts it, found by gradients.

    Args:
      run: a `Run` of topics.
      x: counts [N, V].

    Returns:
      A Dirichlet, [N, K]; that of a document without a word is the prior's, where it is known.

    Raises:
      ValueError: if x holds no counts.
    """
    return refined(jax.random.key(run.config.training.seed), run.vae, run.params, x)


def finished(
    config: Any, vae: VAE, params: Params, training: Batch, *, show: bool = False
) -> Params:
    """What the last phase of training makes of a run's parameters, as `TopicModel` has it.

    Args:
      config: of the run.
      vae: its model.
      params: its parameters, trained.
      training: the examples that it was trained on.
      show: say what is done.

    Returns:
      The parameters; those given where the run has no such phase.

    Raises:
      NonFiniteStepError: if a step's loss or gradient is not finite.
    """
    own = config.training
    if not is_topical(config.model) or own.final_rounds == 0:
        return params
    from jaxvae.apps.topics import finishing, schedule, starts, word_prior

    rows = csr(training.x)
    keep = np.diff(rows.indptr) > 0
    if training.weight is not None:
        keep &= training.weight > 0
    some = jax.tree.map(lambda leaf: leaf[keep], training._replace(x=rows), is_leaf=is_sparse)
    (documents, words), rounds = some.x.shape, own.final_rounds
    topics = topic_word(vae, params)
    dispersion = starts.dispersion(some.x, starts.log_odds(topics, some.x))
    if rounds is None:
        rounds = schedule.rounds_of(
            documents, words, len(topics), tokens=some.x.sum(), dispersion=dispersion
        )
    if not rounds:
        return params
    if show:
        each = "1 round" if rounds == 1 else f"{rounds} rounds"
        say(f"The decoder learns from each document's own posterior, in {each}.")
    return finishing.finished(
        jax.random.key(own.seed),
        vae,
        params,
        some,
        rounds=rounds,
        batch_size=own.batch_size,
        words=word_prior.CONCENTRATION,
        dispersion=dispersion,
        devices=own.devices,
    )


class TopicRun:
    """The topics of a run, and its documents. All is computed when it is first asked for.

    Args:
      run: a `Run` of topics.
    """

    def __init__(self, run: Any):
        self._run = run

    @functools.cached_property
    def words(self) -> np.ndarray:
        """The names of the columns [V]; their numbers where they have none."""
        model = self._run.config.model
        names = model.column_names or tuple(map(str, range(model.data_shape[0])))
        return np.asarray(names, dtype=object)

    @functools.cached_property
    def topic_word(self) -> np.ndarray:
        """The probabilities of the words under each topic alone [K, V]."""
        return topic_word(self._run.vae, self._run.params)

    @functools.cached_property
    def relevance(self) -> np.ndarray:
        """How much each word is a topic's own [K, V]; beside the mean of all topics, which is known
        without the data."""
        return tables.relevant(self.topic_word, self.topic_word.mean(axis=0))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What the topics are called: by their labels where the prior is made from labels."""
        return self._run.category_names

    @functools.cached_property
    def places(self) -> np.ndarray:
        """Which of the training documents are looked at."""
        return evenly(self._run.data.x_train.shape[0], DOCUMENTS)

    @functools.cached_property
    def mixtures(self) -> np.ndarray:
        """The mixtures of these [N, K]."""
        return self._mixtures(csr(self._run.data.x_train[self.places]))

    @functools.cached_property
    def test_mixtures(self) -> np.ndarray:
        """The mixtures of the test documents [N, K]."""
        return self._mixtures(csr(self._run.data.x_test))

    @property
    def labels(self) -> np.ndarray | None:
        """The labels of the documents that are looked at, -1 where one is missing; or None."""
        y = self._run.data.y_train
        return None if y is None or not (y >= 0).any() else y[self.places]

    @functools.cached_property
    def shares(self) -> np.ndarray:
        """What each topic has of the tokens of these documents [K]."""
        tokens = np.asarray(csr(self._run.data.x_train[self.places]).sum(axis=1)).ravel()
        return tokens @ self.mixtures / max(float(tokens.sum()), 1.0)

    @functools.cached_property
    def table(self) -> tables.TopicTable:
        """The topics, as a table that prints in 80 columns."""
        top = min(TOP, len(self.words))
        return tables.table(
            list(self.names), self.shares, self.topic_word, self.words, top, self.relevance
        )

    def figures(self) -> dict[str, Any]:
        """How good the topics are.

        Returns:
          The numbers of `FIGURES`: the perplexities are of test documents, all else is of training
          documents, but for labels that the prior has seen, which are those of test documents.
        """
        from jaxvae.apps.topics import evaluation, matching

        data, width = self._run.data, len(self.words)
        best = self._best(TOP)
        rows = csr(data.x_train)
        found = {
            **self._perplexities(rows),
            "npmi": _npmi(best, rows),
            "diversity": matching.diversity(self.relevance, top=min(DIVERSE, width)),
            "redundancy": matching.redundancy(self.relevance, top=min(TOP, width)),
            "topics_in_use": evaluation.topics_in_use(self.mixtures),
            "topics": len(self.topic_word),
        }
        seen = self._run.vae.parts.prior.uses_labels
        mixtures, y = (self.test_mixtures, data.y_test) if seen else (self.mixtures, self.labels)
        if y is None or not (known := y >= 0).any():
            return found
        return found | evaluation.agreement(mixtures[known], y[known])._asdict()

    def _perplexities(self, rows: Any) -> dict[str, Any]:
        """Of the unseen halves of test documents: the model's, and the words' frequencies'."""
        from jaxvae.apps.topics import evaluation
        from jaxvae.apps.topics.topic_training import BACKGROUND

        seen, unseen = evaluation.cut_in_two(csr(self._run.data.x_test))
        if not unseen.nnz:
            return {PERPLEXITY: None, UNIGRAM: None}
        mixtures = self._mixtures(seen)
        frequency = np.asarray(rows.sum(axis=0), np.float64).ravel() + BACKGROUND
        log_p = np.zeros(2)
        words = words_of(self._run.vae, self._run.params, mixtures)
        for start, p in zip(range(0, unseen.shape[0], ROWS), words, strict=True):
            own = unseen[start : start + ROWS]
            if not own.nnz:
                continue
            alone = np.broadcast_to(frequency, own.shape)
            both = [evaluation.perplexity(each, own) for each in (p, alone)]
            log_p -= float(own.sum()) * np.log(both)
        model, unigram = (float(value) for value in np.exp(-log_p / float(unseen.sum())))
        return {PERPLEXITY: model, UNIGRAM: unigram}

    def _mixtures(self, rows: Any) -> np.ndarray:
        """Of documents, CSR [N, V]; those without a word have the mean of the prior."""
        return mean_of(np.asarray(posteriors(self._run, rows).concentration, np.float64))

    def _best(self, top: int) -> np.ndarray:
        """The columns of the most relevant words of each topic, at most so many [K, top]."""
        from jaxvae.apps.topics import matching

        return matching.top_words(self.relevance, top=min(top, len(self.words)))

    def write(self, path: Path) -> None:
        """Write the topics as a table: a line for each of their most relevant words.

        Args:
          path: a .csv or a .parquet.

        Raises:
          OSError: if it cannot be written.
        """
        best = self._best(LISTED)
        topics, listed = best.shape
        columns = {
            "topic": np.repeat(np.asarray(self.names, dtype=object), listed),
            "rank": np.tile(np.arange(1, listed + 1), topics),
            "word": self.words[best].ravel(),
            "probability": np.take_along_axis(self.topic_word, best, axis=1).ravel(),
        }
        outputs.write_table(path, columns)


def _npmi(topics: np.ndarray, rows: Any) -> float | None:
    """The mean coherence of topics, each document one window; None where no pair of words comes."""
    if topics.shape[1] < 2 or not rows[:, np.unique(topics)].nnz:
        return None
    from jaxvae.apps.topics import coherence

    found = coherence.npmi(topics, rows)
    return None if np.isnan(found).all() else float(np.nanmean(found))
