"""Data that are read batch by batch."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import Batch
from jaxvae.data import streaming


def pieces(*sizes, width=3, labels=True):
    rows = sum(sizes)
    x = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    y = np.arange(rows)
    ends = np.cumsum(sizes)
    return [
        (x[end - size : end], y[end - size : end]) if labels else x[end - size : end]
        for size, end in zip(sizes, ends, strict=True)
    ]


@pytest.mark.parametrize("sizes", [(5,), (1, 1, 1, 1, 1), (2, 9, 4), (16, 16), (33, 1), (8, 8)])
@pytest.mark.parametrize("labels", [True, False])
def test_chunks_hold_every_row_once(sizes, labels):
    """Whatever the sizes that come in: chunks of 4 steps of 2 rows, in order, the end padded."""
    chunks = list(streaming.chunks(pieces(*sizes, labels=labels), batch_size=2, steps=4))
    rows = sum(sizes)
    assert len(chunks) == -(-rows // 8)
    weight = np.concatenate([chunk.batches.weight.ravel() for chunk in chunks])
    assert weight.tolist() == [1] * rows + [0] * (8 * len(chunks) - rows)
    x = np.concatenate([chunk.batches.x.reshape(-1, 3) for chunk in chunks])[:rows]
    np.testing.assert_array_equal(x, np.arange(rows * 3).reshape(rows, 3))
    assert sum(chunk.used for chunk in chunks) == -(-rows // 2)
    for chunk in chunks:
        assert chunk.batches.x.shape == (4, 2, 3)
        assert (chunk.batches.y is not None) == labels
    if labels:
        y = np.concatenate([chunk.batches.y.ravel() for chunk in chunks])[:rows]
        assert y.tolist() == list(range(rows))


@pytest.mark.slow
def test_a_streamed_epoch_is_the_same_steps(digits, vae, key):
    """Bit for bit what `make_train_step` does with the same batches in the same order."""
    x, y, size = digits.x_train[:300], digits.y_train[:300], 64

    def batches():
        for start in range(0, 300, 50):  # other pieces than the steps
            yield {"x": x[start : start + 50], "y": y[start : start + 50]}

    optimizer = optax.adam(1e-3)
    state, history = jaxvae.fit(key, vae, batches, batch_size=size, epochs=2, optimizer=optimizer)
    step = jaxvae.make_train_step(vae, optimizer)
    expected, losses = jaxvae.init_state(key, vae, optimizer, x), []
    for _ in range(2):
        for start in range(0, 300, size):
            rows = min(size, 300 - start)
            fill = ((0, size - rows), (0, 0))
            batch = Batch(
                jnp.asarray(np.pad(x[start : start + rows], fill)),
                jnp.asarray(np.pad(y[start : start + rows], fill[0])),
                jnp.asarray(np.arange(size) < rows, jnp.float32),
            )
            expected, metrics = step(key, expected, batch)
            losses.append(float(metrics.loss))
    found = np.concatenate([record.batch_losses for record in history.epochs])
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    assert int(state.step) == 10
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        state.params,
        expected.params,
    )


def test_chunks_stay_within_their_bytes():
    assert streaming.chunk_steps(64, 784) == 167
    assert streaming.chunk_steps(1, 2) == 256
    assert streaming.chunk_steps(10_000, 10_000) == 1


def test_prefetch_prepares_ahead_and_passes_errors_on():
    seen = []

    def items():
        yield from range(3)
        raise RuntimeError("the disk is gone")

    ready = streaming.prefetch(items(), lambda item: seen.append(item) or item * 2)
    assert [next(ready) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(ready)


def test_prefetch_ends_its_thread_when_it_is_left_early():
    def forever():
        while True:
            yield 0

    ready = streaming.prefetch(forever(), lambda item: item)
    next(ready)
    ready.close()
    deadline = time.monotonic() + 5
    while any(thread.name == "jaxvae-prefetch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


ONES = np.ones((4, 64), np.float32)


@pytest.mark.parametrize(
    ("source", "y", "error", "message"),
    [
        (lambda: iter([]), None, ValueError, "x must give at least one batch, got none"),
        (lambda: [ONES], np.zeros(4, int), ValueError, "y must be None where x gives batches"),
        ((batch for batch in [ONES]), None, TypeError, "can be read once only"),
        (lambda: [ONES[0]], None, ValueError, r"batch 0 of x must have the shape \[N, D\]"),
        (lambda: [ONES * np.nan], None, ValueError, "batch 0 of x must be finite, got nan"),
        (lambda: [{"image": ONES}], None, ValueError, "batch 0 of x must have the keys x and"),
        (lambda: [(ONES, [0, 1])], None, ValueError, "the labels of batch 0 of x must have one"),
        (
            lambda: [Batch(ONES, position=np.arange(4))],
            None,
            ValueError,
            "batch 0 of x must not set position",
        ),
    ],
)
def test_wrong_sources(source, y, error, message, key):
    network = jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=4)
    with pytest.raises(error, match=message):
        jaxvae.fit(key, jaxvae.normal_vae(network), source, y, batch_size=2, epochs=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("later", "message"),
    [
        ([ONES[:, :3]], r"batch 1 of x must have 64 columns and no labels .* got .*\(4, 3\)"),
        ([(ONES, np.zeros(4, int))], "batch 1 of x must have 64 columns and no labels"),
        (None, "x must give its batches again in each epoch, got none"),
    ],
)
def test_sources_that_go_wrong_later(later, message, key):
    network = jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=4)
    passes = []

    def source():
        passes.append(1)
        if later is not None:
            return iter([ONES, *later])
        return iter([ONES] if len(passes) < 3 else [])

    with pytest.raises(ValueError, match=message):
        jaxvae.fit(key, jaxvae.normal_vae(network), source, batch_size=2, epochs=2)
