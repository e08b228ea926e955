"""`TopicModel`: a Dirichlet VAE of counts in the manner of scikit-learn."""

from typing import Any

import jax
import numpy as np
from scipy.special import gammaln
from scipy.stats import beta
from sklearn.utils.validation import check_is_fitted

from jaxvae._door import door
from jaxvae.apps.topics import tables
from jaxvae.apps.topics.posteriors import ROWS, mean_of, words_of
from jaxvae.apps.topics.tables import TopicTable
from jaxvae.apps.topics.topic_training import TopicTraining
from jaxvae.model import latents
from jaxvae.model.refinement import posterior_elbo
from jaxvae.numerics import checks


@door("topics")
class TopicModel(TopicTraining):
    """Topics of documents, programmes of cells: a VAE of counts with a Dirichlet latent.

    Names are those of scikit-learn's `LatentDirichletAllocation` where they mean the same. A
    document is a mixture of topics, z ~ Dirichlet; a network finds the posterior of z, and a few
    steps of gradients for each document refine it.

    Args:
      n_components: K, the number of topics, at least 2.
      decoder: "hybrid", "mixture" (LDA) or "product" of experts (ProdLDA); see
        `jaxvae.networks.topic_network`.
      init: where topics start: "factors" of the documents, "random", or weights of the words
        [K, V], as another model's `topic_word_` or a `consensus` of several.
      doc_topic_prior: the concentration of the prior, for each topic, above zero; the smaller, the
        fewer topics in a document.
      learn_prior: whether it only starts there, and training finds a concentration for each topic;
        with label_weight it never moves.
      topic_word_prior: the concentration of the prior of a topic, for each word, in the mean: words
        share it by their frequency; 0: none. The fewer the documents, the more it says; of a
        product and of batches there is none.
      label_weight: None: y is ignored. A number above zero: topic c belongs to label c, and the
        prior of a document of that label has so much more concentration there.
      seed_words: lists of words (or of columns) for the first topics, or a mapping from names to
        such lists.
      seed_weight: how many times likelier a topic makes its seed words, in the prior.
      layers: hidden layers of the encoder.
      hidden_units: width of a hidden layer.
      dropout: the share of the last hidden layer that is left out in training.
      batch_size: documents a step, about: the batches of a pass are made alike in size.
      max_iter: passes over the documents; None: as many as show 90,000, at least 5, at most 150
        (300 of very few); of batches one.
      final_rounds: of a last phase, in which the decoder learns from each document's own posterior;
        0: none. None: 4 where documents are long, as cells are and texts are not, and max_iter is
        None. Of batches an even sample of at most
        20,000 documents is kept for it. `partial_fit` has none, and goes on from it.
      learning_rate: of Adam.
      relevance: of words for `components_`, from 0 to 1: 1 takes their probability under the topic
        alone; less brings forward what is rare elsewhere (lambda of Sievert and Shirley).
      refine: whether `transform`, `perplexity` and their kin refine each document's posterior.
      max_doc_update_iter: how many steps each.
      devices: None: one. How many JAX devices, or a `jaxvae.parallel.Placement`: training splits
        each batch over them. The topics are the same, to rounding.
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      components_: how much each word is the topic's own [K, V], float32, each row with the sum 1:
        p(word | topic) / p(word)^(1 - relevance), by which words are ordered.
      topic_word_: the probabilities of the words under each topic alone [K, V].
      topic_names_: what the topics are called.
      topic_shares_: of the tokens [K]; these and p(word) are of all documents so far.
      vae_: the model, a `jaxvae.VAE`; parameters that are set after a fit change the next one.
      params_: its parameters, averaged over training. `jaxvae.save` takes the estimator itself.
      loss_curve_: the mean loss of each pass, in nats a document.
      n_iter_: passes so far.
      n_features_in_: V.
      classes_: the labels as y has them, where label_weight is set, in the order of their topics.

    Example:
      >>> from jaxvae.topics import planted
      >>> data = planted(documents=200, topics=4, words=30, random_state=0)
      >>> model = TopicModel(4, hidden_units=32, max_iter=20, random_state=0).fit(data.counts)
      >>> mixtures = model.transform(data.counts[:5])
      >>> mixtures.shape, model.components_.shape
      ((5, 4), (4, 30))

    Source: Srivastava and Sutton, 2017, Autoencoding variational inference for topic models; with
    an exact Dirichlet: Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients.
    Relevance: Sievert and Shirley, 2014, LDAvis.
    """

    def concentration(self, X: Any, *, covariates: Any = None) -> np.ndarray:
        """The posterior of each document's mixture, a Dirichlet.

        Args:
          X: counts [N, V], or batches of such.
          covariates: as for `fit`.

        Returns:
          Concentrations [N, K], float32; of a document without a word the prior's.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts or is of another vocabulary.
        """
        found = [self._posterior(batch) for batch in self._each(X, covariates)]
        return np.concatenate(found)

    def transform(self, X: Any, *, covariates: Any = None) -> np.ndarray:
        """The mixture of topics of each document: the mean of its posterior.

        Args:
          X: counts [N, V], or batches of such.
          covariates: as for `fit`.

        Returns:
          [N, K], float32, each row with the sum 1; of a document without a word the
          mean of the prior.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts or is of another vocabulary.
        """
        return mean_of(self.concentration(X, covariates=covariates))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """`fit`, then `transform` of the same documents.

        Args:
          X: counts [N, V].
          y: as for `fit`.
          **fit_params: as for `fit`.

        Returns:
          [N, K], float32.

        Raises:
          ValueError, TypeError: as `fit`.
        """
        self.fit(X, y, **fit_params)
        return self.transform(X, covariates=fit_params.get("covariates"))

    def intervals(
        self, X: Any, *, level: float = 0.9, covariates: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """How sure the mixtures are: the interval of each topic's share.

        A share of a Dirichlet is a Beta; the interval leaves out as much below as above.

        Args:
          X: counts [N, V], or batches of such.
          level: the probability inside, between 0 and 1.
          covariates: as for `fit`.

        Returns:
          The lower and the upper ends, each [N, K].

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts, or level is not between 0 and 1.
        """
        level = checks.positive_float("level", level)
        if level >= 1:
            raise ValueError(f"level must be below 1, got {level}")
        own = self.concentration(X, covariates=covariates).astype(np.float64)
        rest = own.sum(axis=1, keepdims=True) - own
        lower, upper = (beta.ppf(p, own, rest) for p in ((1 - level) / 2, (1 + level) / 2))
        return lower, upper

    def word_probabilities(self, X: Any, *, covariates: Any = None) -> np.ndarray:
        """What the model predicts for each document: the probability of each word.

        Args:
          X: counts [N, V], or batches of such; it need not be all of a document.
          covariates: as for `fit`.

        Returns:
          [N, V], float32, each row with the sum 1.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts or is of another vocabulary.
        """
        found: list[np.ndarray] = []
        for batch in self._each(X, covariates):
            mixtures = mean_of(self._posterior(batch))
            found.extend(words_of(self.vae_, self.params_, mixtures, batch.condition))
        return np.concatenate(found)

    # --- how good the model is

    def score(self, X: Any, y: Any = None, *, covariates: Any = None) -> float:
        """A lower bound of the log-likelihood of the documents, all in all, in nats.

        The tokens are taken in their order, as scikit-learn does: the number of orders that give
        the same counts is left out.

        Args:
          X: counts [N, V], or batches of such.
          y: ignored.
          covariates: as for `fit`.

        Returns:
          The bound; higher is better.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts or is of another vocabulary.
        """
        return self._bound(X, covariates)[0]

    def perplexity(self, X: Any, *, covariates: Any = None) -> float:
        """exp(-score / tokens): about how many words the model wavers between.

        To compare models, predict words that none has seen: `jaxvae.topics.document_completion` and
        `jaxvae.topics.perplexity` of `word_probabilities`.

        Args:
          X: counts [N, V], or batches of such.
          covariates: as for `fit`.

        Returns:
          The perplexity; lower is better.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X holds no counts or no word, or is of another vocabulary.
        """
        bound, tokens = self._bound(X, covariates)
        if not tokens:
            raise ValueError("X must hold at least one document with a word, got none")
        return float(np.exp(-bound / tokens))

    def _bound(self, X: Any, covariates: Any) -> tuple[float, float]:
        """The ELBO of all documents without the multinomial coefficients, and their tokens."""
        bound = tokens = 0.0
        for batch in self._each(X, covariates):
            q = latents.Dirichlet(self._posterior(batch))
            key = jax.random.key(self._seed)
            each = posterior_elbo(
                key, self.vae_, self.params_, q, self._unlabelled(batch), batch_size=ROWS
            )
            sizes = np.asarray(batch.x.sum(axis=1), np.float64).ravel()
            orders = gammaln(sizes + 1).sum() - gammaln(batch.x.data.astype(np.float64) + 1).sum()
            bound += float(each.sum(dtype=np.float64) - orders)
            tokens += float(sizes.sum())
        return bound, tokens

    # --- what the topics are

    def topics(self, feature_names: Any = None, *, top: int = 10) -> TopicTable:
        """The topics as a table: name, share of the tokens, first words.

        Args:
          feature_names: of the words [V], as `CountVectorizer.get_feature_names_out()`; None: those
            that X had, or the numbers of the columns.
          top: how many words a topic.

        Returns:
          A tuple of `Topic`, which prints as a table.

        Raises:
          NotFittedError: before `fit`.
          ValueError: if feature_names are not V.
        """
        check_is_fitted(self, "params_")
        width = self.components_.shape[1]
        names = self._features() if feature_names is None else np.asarray(feature_names)
        if names is None:
            names = np.arange(width).astype(str)
        if len(names) != width:
            raise ValueError(f"feature_names must be {width}, got {len(names)}")
        top = checks.positive_int("top", top)
        return tables.table(
            self.topic_names_, self.topic_shares_, self.topic_word_, names, top, self.components_
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = self.label_weight is not None
        return tags
