"""The training of a topic model, and the posteriors of documents."""

from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.utils.validation import check_is_fitted

from jaxvae.apps import description
from jaxvae.apps.description import Description
from jaxvae.apps.estimator_inputs import seed_of, unchanged_if_refused, weights
from jaxvae.apps.samples import evenly
from jaxvae.apps.topics import finishing, inputs, schedule, settings, starts, tables
from jaxvae.apps.topics.covariates import Covariates
from jaxvae.apps.topics.documents import Documents
from jaxvae.apps.topics.posteriors import STEPS, mean_of, posteriors_of
from jaxvae.apps.topics.topic_inputs import TopicInputs
from jaxvae.apps.topics.word_prior import CONCENTRATION, averaged_adam
from jaxvae.data.batches import Batch
from jaxvae.model import counts, label_priors, latents, learned_priors, priors
from jaxvae.model.count_networks import seeded, topic_network, topic_word_logits
from jaxvae.model.network_wrappers import of_counts
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE, bind
from jaxvae.numerics import checks
from jaxvae.training.averaging import averaged_params
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState, init_opt_state, init_state

BACKGROUND = 0.5  # added to the count of each word, so that none has the probability zero
SAMPLE = 10_000  # documents, at most, that the start and the topics' shares are found with


@dataclass(eq=False, repr=False, kw_only=True)
class TopicTraining(TopicInputs):
    """What a `TopicModel` does with its parameters, which scikit-learn reads from the constructor's
    signature; and what it finds."""

    n_components: int = field(default=20, kw_only=False)
    decoder: str = "hybrid"
    init: Any = "factors"
    doc_topic_prior: float = 0.1
    learn_prior: bool = True
    topic_word_prior: float = CONCENTRATION
    label_weight: float | None = None
    seed_words: Any = None
    seed_weight: float = 50.0
    layers: int = 2
    hidden_units: int = 100
    dropout: float = 0.3
    batch_size: int = schedule.BATCH_SIZE
    max_iter: int | None = None
    final_rounds: int | None = None
    learning_rate: float = schedule.LEARNING_RATE
    relevance: float = 0.8
    refine: bool = True
    max_doc_update_iter: int = STEPS
    devices: Any = None
    random_state: Any = None
    params_: Params = field(init=False)
    loss_curve_: list[float] = field(init=False)
    components_: np.ndarray = field(init=False)
    topic_word_: np.ndarray = field(init=False)
    topic_shares_: np.ndarray = field(init=False)
    topic_names_: list[str] = field(init=False)
    classes_: np.ndarray = field(init=False)
    # Of a pickle of before, whose encoder sees the counts; the second of random starts too.
    _sees_log, _burstiness = False, 1.0

    def fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, covariates: Any = None
    ) -> Self:
        """Find the topics of documents.

        Args:
          X: counts [N, V]: a sparse matrix, an array, a DataFrame, an AnnData; or an iterable or a
            function that gives batches of such again and again. Documents without a word are left
            out.
          y: labels [N], where label_weight is set; None, NaN, "" or -1 where one is missing.
          sample_weight: documents' weights [N]; None weighs all alike.
          covariates: what encoder and decoder see beside the counts, so that topics need not tell
            it: numbers or names [N] or [N, C], or a frame of both. Numbers are standardised by
            these documents; a name becomes a column of zeros and ones. Later calls use the same
            means, widths and names; the columns of a frame must have the same names in the same
            order.

        Returns:
          The model itself.

        Raises:
          ValueError, TypeError: if X holds no counts, or an argument or a parameter of the
            constructor is outside what is allowed; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite. Whatever is raised, the
            model is as it was before.
        """
        return self._fit(X, y, sample_weight, covariates, partial=False)

    def partial_fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, covariates: Any = None
    ) -> Self:
        """Go on with more documents, seen once; the first call begins.

        It goes on with the model that was fitted: learning_rate, batch_size and others that say
        how to train may change from call to call, what the model is made of may not.

        Args:
          X: counts [N, V], as for `fit`.
          y: labels [N], where label_weight is set; the first call has to see each of them.
          sample_weight: documents' weights [N]; None weighs all alike.
          covariates: as for `fit`.

        Returns:
          The model itself.

        Raises:
          ValueError, TypeError: as `fit`; or if the vocabulary is another, or a parameter of which
            the model is made was changed.
        """
        return self._fit(X, y, sample_weight, covariates, partial=True)

    def _fit(self, X: Any, y: Any, sample_weight: Any, covariates: Any, *, partial: bool) -> Self:
        settings.check(self)
        goes_on = partial and hasattr(self, "params_")
        if goes_on and "_fixed" in vars(self):  # none in a pickle of before
            settings.refuse_changes(self, self._fixed)
        with unchanged_if_refused(self):
            if not goes_on:
                self._anew()
            if inputs.is_batches(X):
                inputs.refuse_beside_batches(
                    y=y, sample_weight=sample_weight, covariates=covariates
                )
                return self._fit_stream(X, goes_on=goes_on, partial=partial)
            return self._fit_rows(X, y, sample_weight, covariates, goes_on=goes_on, partial=partial)

    def _fit_rows(
        self, X: Any, y: Any, sample_weight: Any, covariates: Any, *, goes_on: bool, partial: bool
    ) -> Self:
        rows = self._counts(X, reset=not goes_on)
        weight = weights(sample_weight, rows.shape[0])
        keep = np.diff(rows.indptr) > 0
        if weight is not None:
            keep &= weight > 0
        if covariates is not None and not goes_on:
            self._covariates = Covariates.of(covariates, keep)
        data = self._batch(rows, covariates)
        if not keep.any():
            raise ValueError("X must hold at least one document with a word, got none")
        labels = self._labels(y, rows.shape[0], learn=not goes_on, more=partial)
        data = data._replace(y=labels, weight=weight)
        data = jax.tree.map(lambda leaf: leaf[keep], data)
        if not goes_on:
            self._begin(data)
        documents = data.x.shape[0]
        passes = 1 if partial else self._passes(documents)
        return self._train(data, self._batch_of(documents), passes, partial=partial)

    def _fit_stream(self, X: Any, *, goes_on: bool, partial: bool) -> Self:
        inputs.refuse_beside_batches(label_weight=self._setting("label_weight"))
        if self._known_covariates() is not None:
            raise ValueError(
                "X must be documents in memory: the model was fitted with covariates, and batches "
                "have none"
            )
        lasts = not partial and (self.final_rounds or self.final_rounds is self.max_iter is None)
        known: Any = {"width": self.n_features_in_, "names": self._features()} if goes_on else {}
        source = Documents(X, finishing.DOCUMENTS if lasts else 0, **known)
        first = source.head(SAMPLE)
        if not goes_on:
            self.n_features_in_, self._variables = first.x.shape[1], source.names
            self._begin(first)
        once = partial or self.max_iter is None  # how long the source is, no one knows
        return self._train(source, self.batch_size, 1 if once else self._passes(1), partial=partial)

    def _begin(self, data: Batch) -> None:
        """Everything that a first call makes: the seed, the model, where training starts."""
        topics, width = self.n_components, data.x.shape[1]
        if width < 2:
            raise ValueError(f"X must have at least 2 columns, one for each word, got {width}")
        self._seed, self._n_features_out = seed_of(self.random_state), topics
        self.background_ = (_words(data) + BACKGROUND).astype(np.float32)
        # Of all documents so far: how often each word came, and the tokens of each topic.
        self._word_counts, self._topic_tokens = np.full(width, BACKGROUND), np.zeros(topics)
        self._odds, self.topic_names_ = None, [f"topic {k}" for k in range(topics)]
        if self.label_weight is not None:
            self.topic_names_[: len(self.classes_)] = self._label_names()
        shape, seeds = (topics, width), self._setting("seed_words")
        if seeds is not None:
            self._odds, names = inputs.seed_log_odds(
                seeds, self._features(), shape, self.seed_weight
            )
            self.topic_names_[: len(names)] = names
        words = None if isinstance(self.init, str) else inputs.start_words(self.init, shape)
        self._decoder, self._sees_log, self._burstiness = self.decoder, True, 1.0
        vae, key = self.vae_, jax.random.key(self._seed)
        like = Batch(jnp.zeros((1, width)), condition=_first(data.condition))
        optimizer = self._optimizer(1, None)
        state = init_state(key, vae, optimizer, like)
        sample = self._sample(data)
        odds = self._start(sample, topics, words)
        if odds is not None:
            self._burstiness = starts.dispersion(sample.x, odds, _weights(sample))
            params = jax.tree.map(jnp.asarray, starts.started(state.params, self._decoder, odds))
            # The optimizer anew: it averages the parameters.
            state = TrainState(state.step, params, init_opt_state(optimizer, params))
        self._state = jax.device_get(state)
        self._condition = None
        if data.condition is not None:
            self._condition = data.condition.mean(axis=0, keepdims=True)
        self.loss_curve_, self.n_iter_ = [], 0

    def _start(self, sample: Batch, topics: int, words: np.ndarray | None) -> np.ndarray | None:
        """The log-odds of words at which the topics start; None: as they come."""
        weight = _weights(sample)
        if words is not None:
            return starts.log_odds(words, starts.weighed(sample.x, weight))
        if self.init == "random":
            return None
        hints = sample.y if self._odds is None else starts.hints(sample.x, self._odds)
        return starts.factors(sample.x, topics, self._seed, hints, weight)

    @property
    def vae_(self) -> VAE:
        """The model that is trained; equal for equal parameters, so that nothing compiles twice."""
        check_is_fitted(self, "background_")
        network = topic_network(
            len(self.background_),
            self._n_features_out,
            decoder=self._decoder,
            layers=self._setting("layers"),
            hidden_units=self._setting("hidden_units"),
            dropout=self._setting("dropout"),
            background=self.background_,
        )
        if self._odds is not None:
            network = seeded(network, self._odds)
        if self._sees_log:
            network = of_counts(network)
        own, extra = self._setting("doc_topic_prior"), self._setting("label_weight")
        prior = priors.symmetric(own)
        if self._setting("learn_prior"):
            prior = learned_priors.learned(prior)
        if extra is not None:
            total = self._n_features_out * own + extra
            prior = label_priors.from_labels(
                smoothness=own / extra, total_concentration=total, missing=True
            )
        return bind(network, latents.dirichlet, prior, counts.multinomial())

    def _described(self) -> Description:
        """The model with what is known of its data, for `jaxvae.save`."""
        check_is_fitted(self, "params_")
        words, condition = self._features(), getattr(self, "_condition", None)
        has_labels = self._setting("label_weight") is not None
        return description.of(
            self.vae_,
            data_shape=(len(self.background_),),
            label_names=self._label_names() if has_labels else None,
            column_names=None if words is None else tuple(map(str, words)),
            condition_shape=None if condition is None else condition.shape[1:],
        )

    def _optimizer(self, steps: int, documents: int | None) -> optax.GradientTransformation:
        rate, words = float(self.learning_rate), float(self.topic_word_prior)
        return averaged_adam(rate, schedule.updates_of(steps), documents, words, self._burstiness)

    def _batch_of(self, documents: int) -> int:
        return schedule.batch_of(documents, self.batch_size)

    def _passes(self, documents: int) -> int:
        if self.max_iter is not None:
            return self.max_iter
        return schedule.passes_of(documents)

    def _train(self, data: Any, size: int, passes: int, *, partial: bool) -> Self:
        streamed = isinstance(data, Documents)
        steps = 10 if streamed else -(-data.x.shape[0] // size)
        documents = None if streamed or partial else data.x.shape[0]
        state: TrainState = jax.tree.map(jnp.array, self._state)  # copies: it may be donated
        state, history = fit(
            jax.random.key(self._seed),
            self.vae_,
            data,
            batch_size=size,
            epochs=passes,
            optimizer=self._optimizer(steps, documents),
            state=state,
            devices=self.devices,
        )
        self.params_, self._state = jax.device_get((averaged_params(state), state))
        self.loss_curve_ = [*self.loss_curve_, *(record.loss for record in history.epochs)]
        self.n_iter_ += passes
        if not partial:
            self._finish(data, size)
        logits = topic_word_logits(self.vae_.parts.network, self.params_, self._condition)  # type: ignore[union-attr]
        self.topic_word_ = np.array(jax.nn.softmax(logits, axis=-1))
        self._count(data)
        self.components_ = tables.relevant(self.topic_word_, self._word_counts, self.relevance)
        self.topic_shares_ = (self._topic_tokens / self._topic_tokens.sum()).astype(np.float32)
        return self

    def _count(self, data: Any) -> None:
        """Add the words of documents, and the tokens of their topics, to those of calls before."""
        if not hasattr(self, "_word_counts"):  # a pickle of before: those of its first call
            self._word_counts = self.background_.astype(np.float64)
            self._topic_tokens = self.topic_shares_ * self._word_counts.sum()
        streamed = isinstance(data, Documents)
        first = data.head(SAMPLE) if streamed else data
        words, sample = _words(first), self._sample(first)
        of_topics = _lengths(sample) @ mean_of(self._posterior(sample, steps=0))
        total = data.kept.total if streamed else words.sum()
        self._word_counts = self._word_counts + words * (total / words.sum())
        self._topic_tokens = self._topic_tokens + of_topics * (total / of_topics.sum())

    def _finish(self, data: Any, size: int) -> None:
        """Let the decoder learn from the posteriors of the documents, where that is due."""
        rounds, streamed = self.final_rounds or 0, isinstance(data, Documents)
        if self.final_rounds is self.max_iter is None:
            documents = data.kept.rows if streamed else data.x.shape[0]
            tokens = data.kept.total if streamed else float(_lengths(data).sum())
            width, topics = len(self.background_), self._n_features_out
            rounds = schedule.rounds_of(
                documents, width, topics, tokens=tokens, dispersion=self._burstiness
            )
        if rounds:
            params = finishing.finished(
                jax.random.key(self._seed),
                self.vae_,
                self.params_,
                Batch(data.kept.matrix()) if streamed else data,
                rounds=rounds,
                batch_size=size,
                words=0.0 if streamed else self.topic_word_prior,  # as in the training before
                dispersion=self._burstiness,
                devices=self.devices,
            )
            # What goes on from here knows it. The optimizer anew: it averages the parameters.
            own = init_opt_state(self._optimizer(1, None), params)
            self.params_ = params
            self._state = jax.device_get(TrainState(self._state.step, params, own))

    def _sample(self, data: Batch) -> Batch:
        """At most so many documents, spread evenly."""
        index = evenly(data.x.shape[0], SAMPLE)
        return jax.tree.map(lambda leaf: leaf[index], data)

    def _posterior(self, data: Batch, steps: int | None = None) -> np.ndarray:
        """Concentrations [N, K]; of a document without a word the prior's."""
        if steps is None:
            most = checks.positive_int("max_doc_update_iter", self.max_doc_update_iter, minimum=0)
            steps = most if checks.boolean("refine", self.refine) else 0
        data = self._unlabelled(data)._replace(weight=None)
        key = jax.random.key(self._seed)
        return posteriors_of(key, self.vae_, self.params_, data, steps=steps)


def _first(condition: Any) -> Any:
    return None if condition is None else jnp.asarray(condition[:1])


def _weights(data: Batch) -> np.ndarray | None:
    """Those of documents [N], 1 in the mean, as in the loss; None where all are alike."""
    if data.weight is None:
        return None
    own = data.weight / data.weight.max()  # or a sum may be beyond float64
    return own / own.mean()


def _words(data: Batch) -> np.ndarray:
    """How often each word comes in documents [V], by their weights."""
    weight = _weights(data)
    return data.x.T @ (np.ones(data.x.shape[0]) if weight is None else weight)


def _lengths(data: Batch) -> np.ndarray:
    """The tokens of each document [N], by its weight."""
    weight, lengths = _weights(data), data.x @ np.ones(data.x.shape[1])
    return lengths if weight is None else lengths * weight
