# ruff: noqa: E501 - a table, one row a case
"""Data that are read batch by batch."""

import itertools
import threading
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp

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


class Parts(NamedTuple):
    image: Any
    counts: Any


ROWS = 41
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(1, 255, (ROWS, 2, 3), np.uint8)
COUNTS = np.float32(RNG.poisson(0.5, (ROWS, 5)))
WHOLE = Batch(
    {"image": IMAGE, "counts": COUNTS},
    np.arange(ROWS, dtype=np.int32) - 1,
    1 + np.arange(ROWS, dtype=np.float32),
    None,
    (np.arange(ROWS, dtype=np.int32), COUNTS[:, :1]),
    {"image": IMAGE > 50, "counts": COUNTS > 1},
)


def cut(batch, sizes, form=lambda batch: batch):
    """A batch in pieces of these sizes, each as `form` makes it."""
    ends = np.cumsum(sizes)
    assert ends[-1] == ROWS
    for size, end in zip(sizes, ends, strict=True):
        yield form(jax.tree.map(lambda leaf: leaf[end - size : end], batch))  # noqa: B023


def same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    same_dtypes = jax.tree.map(lambda a, b: a.dtype == b.dtype, found, expected)
    assert all(jax.tree.leaves(same_dtypes))


def flat(chunks):
    """The rows of chunks, padding included."""
    return jax.tree.map(
        lambda *leaves: np.concatenate([leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves]),
        *(chunk.batches for chunk in chunks),
    )


def with_sparse_counts(batch):
    counts = sp.csr_array(batch.x["counts"].astype(np.float64))
    return batch._replace(x=batch.x | {"counts": counts})


def as_mapping(batch):
    """Every field but position, in types that are not the ones that come out."""
    fields = {name: own for name, own in batch._asdict().items() if name != "position"}
    return fields | {"y": batch.y.astype(np.int64), "weight": batch.weight.tolist()}


@pytest.mark.parametrize("sizes", [(41,), (1, 3, 37), (7, 1, 16, 8, 9), (8, 8, 8, 8, 9), (40, 1)])
@pytest.mark.parametrize("form", [lambda b: b, with_sparse_counts, as_mapping])
def test_chunks_of_every_field(sizes, form):
    """Whatever the sizes that come in: all rows once and in order, and the end padded."""
    chunks = list(streaming.chunks(lambda: cut(WHOLE, sizes, form), 2, 4))
    assert [chunk.used for chunk in chunks] == [4, 4, 4, 4, 4, 1]
    for chunk in chunks:
        assert {leaf.shape[:2] for leaf in jax.tree.leaves(chunk.batches)} == {(4, 2)}
    rows = flat(chunks)
    same(jax.tree.map(lambda leaf: leaf[:ROWS], rows), WHOLE)
    rest = jax.tree.map(lambda leaf: leaf[ROWS:], rows)
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(rest.mask))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(rest._replace(mask=None)))


def test_chunks_are_arrays_of_their_own():
    """The one before may still be on its way to the device when the next is filled."""
    chunks = list(streaming.chunks([IMAGE, IMAGE], 2, 4))
    for one, other in itertools.pairwise(chunks):
        assert not np.shares_memory(one.batches.x, other.batches.x)


@pytest.mark.parametrize("wrap", [lambda x: x, sp.csr_array, lambda x: {"x": x}, Batch])
def test_x_alone(wrap):
    (chunk,) = streaming.chunks([wrap(COUNTS)], 41, 1)
    same(chunk.batches, Batch(COUNTS[None], None, np.ones((1, 41), np.float32)))


def test_a_pair_is_x_and_y():
    (chunk,) = streaming.chunks([(IMAGE, np.arange(ROWS) - 1)], 41, 1)
    same(chunk.batches.x, IMAGE[None])
    assert chunk.batches.y.tolist() == [[*range(-1, 40)]]


def test_sparse_bytes_and_dense_floats_are_alike():
    """Both are float32 in a batch."""
    batches = list(streaming.read([sp.csr_array(np.uint8(COUNTS)), COUNTS]))
    same(batches[0], batches[1])


def test_a_named_tuple_for_x():
    given = Batch(Parts(IMAGE, sp.csc_array(COUNTS)), mask=Parts(IMAGE > 0, COUNTS > 0))
    (chunk,) = streaming.chunks([given], 41, 1)
    same(chunk.batches.x, Parts(IMAGE[None], COUNTS[None]))


def test_rows_of_weight_0_are_left_out():
    weight = np.arange(ROWS) % 3
    parts = [
        WHOLE._replace(weight=weight),
        WHOLE._replace(weight=None),
        WHOLE._replace(weight=0 * weight),
    ]
    chunks = list(streaming.chunks(parts, 4, 5))
    expected = np.concatenate([np.flatnonzero(weight), np.arange(ROWS)])
    rows = flat(chunks)
    count = len(expected)
    same(rows.x["image"][:count], IMAGE[expected])
    same(rows.condition[0][:count], np.int32(expected))
    own = [*weight[weight > 0], *[1] * ROWS, *[0] * (len(rows.weight) - count)]
    assert rows.weight.tolist() == own


def test_what_was_not_seen_may_be_anything():
    x = np.where(COUNTS == 0, np.nan, COUNTS)
    for given in (x, sp.csr_array(x)):
        (batch,) = streaming.read([Batch(given, mask=COUNTS != 0)])
        same(batch.x, COUNTS)


def test_a_source_is_read_anew_each_time():
    def source():
        return cut(WHOLE, (20, 21))

    for _ in range(2):
        assert [len(batch.y) for batch in streaming.read(source)] == [20, 21]
    assert [len(batch.y) for batch in streaming.read([*source()])] == [20, 21]


WIDE = np.ones((4, 6), np.float32)
BAD_BATCHES = [
    ([WIDE[0]], ValueError, r"^batch 0 of x must have the shape \[N, D\] \(rank 2\)"),
    ([WIDE * np.nan], ValueError, r"^batch 0 of x must be finite, got nan at index \(0, 0\)"),
    ([WIDE, WIDE * np.inf], ValueError, "^batch 1 of x must be finite, got inf"),
    ([sp.csr_array(WIDE * np.nan)], ValueError, r"^batch 0 of x must be finite, got nan at"),
    ([WIDE[:0]], ValueError, r"^batch 0 of x must not be empty, got the shape \(0, 6\)"),
    ([None], TypeError, "^batch 0 of x must be an array, got None"),
    ("abc", TypeError, "^batch 0 of x must hold real numbers, got dtype <U1"),
    ([Parts(WIDE, WIDE)._replace(counts=[0] * 3)], ValueError, "^the labels of batch 0 of x must"),
    ([{"image": WIDE}], ValueError, r"^batch 0 of x must have the keys x and perhaps y, weight, condition and mask, got \['image'\]"),
    ([{"x": WIDE, 0: WIDE}], ValueError, r"^batch 0 of x must have the keys x .* got \['0', 'x'\]"),
    ([{"x": WIDE, "position": [0] * 4}], ValueError, "^batch 0 of x must have the keys x"),
    ([Batch(WIDE, position=np.arange(4))], ValueError, "^batch 0 of x must not set position"),
    ([WHOLE._replace(x=Parts(IMAGE, COUNTS[:3]))], ValueError, r"^batch 0 of x\.counts must have as many examples as batch 0 of x\.image, 41, got 3"),
    ([NamedTuple("Three", [(name, Any) for name in "abc"])(WIDE, WIDE, WIDE)], TypeError, "^batch 0 of x must be in a Batch or under the key x where it has parts, got Three"),
    ([(WIDE, [0, 1])], ValueError, "^the labels of batch 0 of x must have one label for each of 4"),
    ([(WIDE, [0, 1, -2, 0])], ValueError, "^the labels of batch 0 of x must be at least 0, got -2"),
    ([Batch(WIDE, weight=[1, 2])], ValueError, r"^the weights of batch 0 of x must have one weight for each of 4 examples, the shape \(4,\), got \(2,\)"),
    ([Batch(WIDE, weight=[1, 2, -1, 0])], ValueError, r"^the weights of batch 0 of x must be finite and at least 0, got -1.0 at index \(2,\)"),
    ([Batch(WIDE, weight=[1e38] * 4)], ValueError, r"^the weights of batch 0 of x must be at most 1e\+30, got 1e\+38"),
    ([Batch(WIDE, condition=[0, 1])], ValueError, "^the condition of batch 0 of x must have one row"),
    ([Batch(WIDE, mask=WIDE[:2])], ValueError, "^the mask of batch 0 of x must have the shape of x"),
    ([Batch(WIDE, mask=2 * WIDE)], ValueError, "^the mask of batch 0 of x must hold True and False or"),
    (iter([WIDE]), TypeError, "^x must be readable once an epoch: .* which can be read once only"),
    # later than the first
    ([WIDE, WIDE[:, :3]], ValueError, r"^batch 1 of x must hold x float32 \[b, 6\] as the first, got x float32 \[b, 3\]"),
    ([WIDE, WIDE[:, :, None]], ValueError, r"^batch 1 of x .* got x float32 \[b, 6, 1\]"),
    ([WIDE, WIDE, np.uint8(WIDE)], ValueError, r"^batch 2 of x .* got x uint8 \[b, 6\]"),
    ([WIDE, {"x": {"x": WIDE}}], ValueError, r"^batch 1 of x .* got x\['x'\] float32 \[b, 6\]"),
    ([WIDE, (WIDE, [0] * 4)], ValueError, r"^batch 1 of x .* got x float32 \[b, 6\], y int32 \[b\]"),
    ([(WIDE, [0] * 4), WIDE], ValueError, r"^batch 1 of x .* y int32 \[b\] as the first, got x float32"),
    ([WIDE, Batch(WIDE, mask=WIDE)], ValueError, r"^batch 1 of x .* got .*, mask bool \[b, 6\]"),
    ([Batch(WIDE, condition=(WIDE,)), Batch(WIDE, condition=(WIDE[:, :2],))], ValueError, r"condition\[0\] float32 \[b, 6\] as the first, got .* condition\[0\] float32 \[b, 2\]"),
    ([{"x": {"a": WIDE}}, {"x": {"b": WIDE}}], ValueError, r"x\['a'\] float32 \[b, 6\] as the first, got x\['b'\] float32"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "error", "message"), BAD_BATCHES, ids=[message for *_, message in BAD_BATCHES]
)
def test_bad_batches(source, error, message):
    for read in (streaming.read, lambda source: streaming.chunks(source, 2, 2)):
        with pytest.raises(error, match=message):
            list(read(source))


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
    def row(width):
        return Batch(np.zeros((1, width), np.float32))

    assert streaming.chunk_steps(64, row(783)) == 167
    assert streaming.chunk_steps(1, row(2)) == 256
    assert streaming.chunk_steps(10_000, row(10_000)) == 1
    of_ones = Batch(np.ones((3, 28, 28), np.float32))
    assert streaming.chunk_steps(64, of_ones) == 2**25 // (64 * (4 * 784 + 4))
    # 6 bytes, 5 floats; a label; a weight; an integer and a float; 11 booleans
    steps, rest = 64, 6 + 20 + 4 + 4 + 8 + 11
    assert streaming.chunk_steps(2**25 // (steps * rest), WHOLE) == steps
    assert streaming.chunk_steps(2**25 // (steps * rest) + 1, WHOLE) == steps - 1


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
        (
            [ONES[:, :3]],
            r"batch 1 of x must hold x float32 \[b, 64\] as the first, got x float32 \[b, 3\]",
        ),
        (
            [(ONES, np.zeros(4, int))],
            r"batch 1 of x must hold x float32 \[b, 64\] as the first, got .*, y int32 \[b\]",
        ),
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
