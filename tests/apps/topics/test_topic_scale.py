"""Topics of more documents than fit: memory, streams cut anyhow, several devices."""

import os
import platform
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import scipy.sparse
from jax.flatten_util import ravel_pytree

import jaxvae
from jaxvae import Batch
from jaxvae.apps.topics.documents import Documents, Sample
from jaxvae.data import streaming
from jaxvae.networks import topic_network
from jaxvae.priors import learned, symmetric
from jaxvae.topics import TopicModel, planted
from jaxvae.training.layouts import ONE_DEVICE
from jaxvae.training.sources import Stream
from jaxvae.training.state import Metrics

DATA = planted(documents=330, topics=4, words=60, length=40, random_state=1)
KEY, OPTIMIZER = jax.random.key(0), optax.adam(3e-3)


def in_batches(rows, size):
    return lambda: (rows[start : start + size] for start in range(0, rows.shape[0], size))


# --- one run on any number of devices


def trained(x, devices):
    """Two passes, batches of 50 that four devices do not divide and a last one of 30."""
    network = topic_network(
        60, 4, layers=1, hidden_units=16, dropout=0.3, background=DATA.counts.sum(axis=0) + 0.5
    )
    vae = jaxvae.dirichlet_vae(
        network, prior=learned(symmetric(0.1)), likelihood=jaxvae.likelihoods.multinomial()
    )
    options = {"batch_size": 50, "epochs": 2, "optimizer": OPTIMIZER, "devices": devices}
    state, history = jaxvae.fit(KEY, vae, x, **options)
    return state, np.concatenate([record.batch_losses for record in history.epochs])


@pytest.mark.parametrize("form", ["held", "streamed"])
def test_four_devices_train_a_topic_network_as_one_does(form):
    """Batch norm takes the whole batch's statistics, dropout its noise from the place in it."""
    x = DATA.counts if form == "held" else Documents(in_batches(DATA.counts, 70))
    (one, losses), (four, losses_of_four) = (trained(x, devices) for devices in (1, 4))
    assert len(losses) == 14
    np.testing.assert_allclose(losses_of_four, losses, rtol=5e-6)
    assert "statistics" in one.params
    flat, expected = (np.asarray(ravel_pytree(state.params)[0]) for state in (four, one))
    np.testing.assert_allclose(flat, expected, atol=5e-5)


# --- streams


@pytest.mark.parametrize("most", [1, 70, 150, 330, 1000])
def test_the_head_of_a_stream_is_its_first_documents(most):
    head = Documents(in_batches(DATA.counts, 70)).head(most)
    np.testing.assert_array_equal(head.x.toarray(), DATA.counts[:most].toarray())


def test_a_list_of_matrices_is_a_stream():
    options = {"hidden_units": 8, "layers": 1, "batch_size": 110, "max_iter": 2, "random_state": 0}
    batches = [DATA.counts[:200], DATA.counts[200:]]
    called = TopicModel(4, **options).fit(lambda: iter(batches))
    listed = TopicModel(4, **options).fit(batches)
    np.testing.assert_array_equal(listed.topic_word_, called.topic_word_)
    mixtures = listed.transform(batches)
    np.testing.assert_array_equal(mixtures, listed.transform(tuple(batches)))
    np.testing.assert_allclose(mixtures, listed.transform(DATA.counts), rtol=1e-3, atol=1e-5)
    rows = DATA.counts[:3].toarray().tolist()  # and a list of rows is a matrix
    assert listed.transform(rows).shape == (3, 4)


@pytest.mark.parametrize("most", [0, 1, 40, 330, 1000])
def test_of_a_pass_an_even_sample_is_kept(most):
    rows = scipy.sparse.csr_array(np.arange(1.0, 331, dtype=np.float32)[:, None])
    documents = Documents(in_batches(rows, 70), most)
    assert documents.kept.rows == 0
    assert sum(batch.x.shape[0] for batch in documents) == 330
    assert (documents.kept.rows, documents.kept.total) == (330, 330 * 331 / 2)
    if not most:
        return
    kept = documents.kept.matrix().toarray().ravel()
    assert len(kept) == min(most, 330)
    assert (np.diff(kept) > 0).all()  # in their order, none twice


def test_each_row_of_a_stream_is_as_likely_to_be_kept():
    """40 of 330, 2,000 times: each comes 242 times in the mean, with a standard deviation of 14.6.
    One of them is six of these off in less than one of a million programs."""
    rows = scipy.sparse.csr_array(np.arange(1.0, 331, dtype=np.float32)[:, None])
    times = np.zeros(331, int)
    random = np.random.default_rng(0)
    for _ in range(2000):
        sample = Sample(40)
        sample._random = random
        for start in range(0, 330, 70):
            sample.add(rows[start : start + 70])
        times[sample.matrix().data.astype(int)] += 1
    assert times.sum() == 2000 * 40
    assert np.abs(times[1:] - 2000 * 40 / 330).max() < 6 * 14.6


def test_a_stream_without_a_document_is_refused():
    nothing = scipy.sparse.csr_array((3, 60), dtype=np.float32)
    with pytest.raises(ValueError, match="X must give at least one batch with a document"):
        TopicModel(4).fit(lambda: iter([nothing]))


def test_how_a_stream_is_cut_changes_nothing():
    """The start and the words' frequencies too are those of many documents, not of one batch."""
    options = {"hidden_units": 8, "layers": 1, "batch_size": 110, "max_iter": 2, "random_state": 0}
    whole, cut = (TopicModel(4, **options).fit(in_batches(DATA.counts, size)) for size in (330, 13))
    np.testing.assert_array_equal(cut.background_, whole.background_)
    np.testing.assert_array_equal(cut.topic_word_, whole.topic_word_)
    np.testing.assert_array_equal(cut.topic_shares_, whole.topic_shares_)


def test_a_long_batch_of_counts_is_never_dense():
    """Dense it is 80 MB; a chunk of it 1.6 MB."""
    ones = scipy.sparse.random_array((5000, 4000), density=0.002, rng=0, format="csr")
    ones.data[:] = 1
    ones, chunk = ones.astype(np.float32), 100 * 4000 * 4
    tracemalloc.start()
    try:
        source = Stream(lambda: iter([ones]), 100, ONE_DEVICE)
        total = sum(c.batches.x.sum() for c in streaming.chunks(lambda: iter([ones]), 100, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == ones.nnz
    assert source.first.x.shape == (1, 4000)
    assert peak < 3 * chunk


def test_the_device_takes_a_chunk_as_it_is():
    """On a CPU it copies what does not start at a multiple of 64 bytes."""
    for chunk in streaming.chunks(in_batches(DATA.counts, 70), 50, 2):
        x = chunk.batches.x
        assert jax.device_put(x).unsafe_buffer_pointer() == x.ctypes.data


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32, np.float64])
def test_chunks_of_sparse_rows_are_those_of_dense_rows(dtype):
    rows = DATA.counts.astype(dtype)
    dense = rows.toarray().astype(np.float32)
    found = list(streaming.chunks(in_batches(rows, 70), 40, 3))
    expected = list(streaming.chunks(in_batches(dense, 70), 40, 3))
    for own, other in zip(found, expected, strict=True):
        assert own.used == other.used
        jax.tree.map(np.testing.assert_array_equal, own.batches, other.batches)


@pytest.mark.parametrize(
    ("words", "steps"), [(60, 256), (4_000, 10), (30_000, 4), (60_000, 2), (10**6, 1)]
)
def test_a_chunk_of_wide_rows_has_a_few_steps(words, steps):
    assert streaming.chunk_steps(200, Batch(np.zeros((1, words), np.float32))) == steps


def test_memory_is_given_back_every_few_chunks(monkeypatch):
    for limit in ("CHUNK_BYTES", "MOST_BYTES"):
        monkeypatch.setattr(streaming, limit, 1)  # a step a chunk
    given, seen = [], []
    monkeypatch.setattr(streaming, "give_back", lambda: given.append(len(seen)))

    def program(state, batches, used):
        seen.append(used)
        one = np.ones(1, np.float32)
        return state, Metrics(one, one, one, one, one == 1, {})

    source = Stream(in_batches(DATA.counts, 70), 20, ONE_DEVICE)
    _, metrics, examples = source.run_epoch(program, None, skip=False)
    assert (len(metrics.loss), examples) == (17, 330)
    assert given == [0, 8, 16]


def resident():
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_what_was_freed_is_given_back():
    blocks = [np.ones(10_000) for _ in range(500)]
    del blocks[::2]  # 20 MB in pieces
    before = resident()
    streaming.give_back()
    assert before - resident() > 10e6
    assert sum(block.sum() for block in blocks) == 250 * 10_000
