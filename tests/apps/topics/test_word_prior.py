"""The prior of a topic decoder's parameters: its gradient, its weight, and that it helps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse

from jaxvae.apps.topics import starts
from jaxvae.apps.topics.word_prior import GAIN_PRECISION, SCALE_PRECISION, with_word_prior
from jaxvae.topics import TopicModel, document_completion, perplexity, planted

WORDS = 7


def parameters(key):
    keys = jax.random.split(key, 4)
    return {
        "encoder": jax.random.normal(keys[0], (3,)),
        "decoder": {
            "topics": jax.random.normal(keys[1], (2, WORDS)),
            "background": jax.random.normal(keys[2], (WORDS,)),
            "gain": jax.random.normal(keys[3], (WORDS,)),
            "correction": {"kernel": jnp.ones((2, WORDS)), "scale": jnp.arange(1.0, WORDS + 1)},
        },
    }


def moved(params, documents, concentration=0.1, dispersion=1.0):
    """What a step of gradient descent by the prior alone changes."""
    optimizer = with_word_prior(optax.sgd(1.0), documents, concentration, dispersion)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    return updates


def test_the_gradient_is_that_of_the_log_density():
    params, documents, concentration = parameters(jax.random.key(0)), 50, 0.3
    dispersion = 4.0

    def log_density(topics, gain, scale):
        background = params["decoder"]["background"]
        usual = jax.nn.softmax(background)
        log_p = jax.nn.log_softmax(topics + background[None], axis=-1)
        words = concentration * WORDS * (usual[None] * log_p).sum()
        scales = SCALE_PRECISION * dispersion * (scale**2).sum()
        return words - 0.5 * (GAIN_PRECISION * (gain**2).sum() + scales)

    own = params["decoder"]
    scale = own["correction"]["scale"]
    expected = jax.grad(log_density, (0, 1, 2))(own["topics"], own["gain"], scale)
    found = moved(params, documents, concentration, dispersion)
    np.testing.assert_allclose(found["decoder"]["topics"] * documents, expected[0], atol=1e-5)
    np.testing.assert_allclose(found["decoder"]["gain"] * documents, expected[1], atol=1e-5)
    found_scale = found["decoder"]["correction"]["scale"]
    np.testing.assert_allclose(found_scale * documents, expected[2], rtol=1e-5)
    assert not np.any(found["encoder"])
    assert not np.any(found["decoder"]["correction"]["kernel"])
    assert not np.any(found["decoder"]["background"])


def test_its_weight_fades_and_its_state_stays():
    params = parameters(jax.random.key(1))
    few, many = (moved(params, n)["decoder"]["topics"] for n in (10, 1000))
    np.testing.assert_allclose(few, 100 * many, rtol=1e-4)
    assert not any(map(np.any, jax.tree.leaves(moved(params, None))))
    forms = {
        jax.tree.structure(with_word_prior(optax.adam(1e-3), documents, 0.1).init(params))
        for documents in (None, 10)
    }
    assert len(forms) == 1  # so that `partial_fit` goes on from `fit`


def test_a_product_has_none():
    params = {"decoder": {"topics": {"kernel": jnp.ones((2, WORDS))}, "background": {}}}
    assert not np.any(moved(params, 10)["decoder"]["topics"]["kernel"])


def test_few_documents_are_not_learned_by_heart():
    """On 60 documents of 200 words the unseen halves of others are predicted better."""
    data = planted(documents=120, topics=4, words=200, length=40, random_state=4)
    parts = document_completion(data.counts, test=0.5)
    train = data.counts[parts.train]

    def found(prior):
        model = TopicModel(4, hidden_units=16, topic_word_prior=prior, random_state=0)
        return perplexity(model.fit(train).word_probabilities(parts.seen), parts.unseen)

    assert found(0.1) < 0.99 * found(0.0)


@pytest.mark.parametrize("total", [None, 20.0, 200.0])
def test_dispersion_is_the_variance_beside_a_multinomials(total):
    """Of a Dirichlet-multinomial it is (n + total) / (1 + total)."""
    generator, length = np.random.default_rng(2), 2000
    topics, mixtures = generator.dirichlet(np.full(100, 0.5), 3), generator.dirichlet([1] * 3, 400)
    p = mixtures @ topics
    if total is not None:
        p = np.stack([generator.dirichlet(total * row + 1e-6) for row in p])
    counts = scipy.sparse.csr_array(generator.multinomial(length, p))
    expected = 1 if total is None else (length + total) / (1 + total)
    found = starts.dispersion(counts, starts.log_odds(topics, counts))
    assert abs(np.log2(found / expected)) < 0.75  # it is a power of two


def test_bursts_are_not_learned_by_heart():
    """A hybrid corrects a mixture; of long documents whose words come in bursts by little."""
    generator = np.random.default_rng(3)
    topics, mixtures = generator.dirichlet(np.full(80, 0.1), 3), generator.dirichlet([0.3] * 3, 120)
    p = np.stack([generator.dirichlet(20 * row + 1e-3) for row in mixtures @ topics])
    counts = generator.multinomial(3000, p)
    parts = document_completion(counts, test=0.5)

    def found(decoder):
        model = TopicModel(3, decoder=decoder, hidden_units=16, random_state=0)
        model.fit(counts[parts.train])
        return perplexity(model.word_probabilities(parts.seen), parts.unseen)

    assert found("hybrid") < 1.01 * found("mixture")


def test_it_is_a_number_from_zero_on():
    with pytest.raises(ValueError, match=r"topic_word_prior must be .* got -1"):
        TopicModel(2, topic_word_prior=-1.0).fit(np.ones((4, 3)))
