"""Sparse rows, packed and made dense a batch at a time, against SciPy."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from jax import export
from jax.sharding import AxisType, PartitionSpec

from jaxvae import datasets
from jaxvae.data import sparse
from jaxvae.data.batches import Batch, rows_of, take
from jaxvae.data.sparse import NARROW, SparseRows, pack

FORMATS = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
DENSE = jax.jit(lambda rows, index: rows.dense(index))


def random(rows=40, columns=30, density=0.15, seed=0, kind=sp.csr_array, dtype=np.float32):
    matrix = sp.random_array((rows, columns), density=density, rng=np.random.default_rng(seed))
    return kind((matrix * 100).astype(dtype))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_every_format(form, kind):
    matrix = random(kind=kind).asformat(form)
    index = np.array([3, 39, 0, 17])
    found = DENSE(pack(matrix, 4), index)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, matrix.toarray()[index])


@pytest.mark.parametrize("dtype", [*NARROW, "int64", "uint32", "float64"])
def test_dtypes(dtype):
    """Bytes stay bytes; the rest is float32. Dense rows are float32 always."""
    matrix = random(dtype=np.float64)
    matrix.data = np.arange(1, len(matrix.data) + 1) % 120
    matrix = matrix.astype(dtype)
    packed = pack(matrix, 8)
    assert packed.values.dtype == (dtype if np.dtype(dtype) in NARROW else np.float32)
    found = DENSE(packed, np.arange(8))
    assert found.dtype == packed.dtype == np.float32
    np.testing.assert_array_equal(found, matrix.toarray()[:8].astype(np.float32))


@pytest.mark.parametrize("index", [[5], [-1, 0], [7, 3, 11, 2], list(range(40)), []])
def test_any_index(index):
    """As of a dense array: below 0 from the end, one, all (more than batch_size), none."""
    matrix = random()
    found = DENSE(pack(matrix, 4), np.array(index, np.int32))
    np.testing.assert_array_equal(found, matrix.toarray()[np.array(index, int)])


def ragged(lengths, columns=50):
    """Rows of these many entries; row i holds i + 1 in its first columns."""
    dense = np.zeros((len(lengths), columns), np.float32)
    for i, length in enumerate(lengths):
        dense[i, :length] = i + 1
    return sp.csr_array(dense)


@pytest.mark.parametrize("rows", [1, 3, 700])
@pytest.mark.parametrize("slots", [1, 31, 32, 33, 1000])
def test_the_row_of_each_slot(rows, slots):
    """Rows of no entries end where another does, 700 of them in one slot; some end beyond."""
    generator = np.random.default_rng(rows + slots)
    for sizes in (generator.integers(0, 5, rows), generator.integers(0, 2 * slots, rows) // rows):
        ends = jnp.cumsum(jnp.asarray(sizes, jnp.int32))
        expected = np.searchsorted(ends, np.arange(slots), side="right")
        found = jax.jit(sparse._rows_of, static_argnums=1)(ends, slots)
        np.testing.assert_array_equal(found, expected)


def test_the_capacity_is_that_of_the_longest_rows():
    packed = pack(ragged([1, 50, 3, 0, 20, 2]), 3)
    assert (packed.capacity, packed.longest, packed.shape, len(packed)) == (73, 50, (6, 50), 6)
    assert pack(ragged([1, 50, 3, 0, 20, 2]), 1).capacity == 50
    assert pack(ragged([1, 50, 3, 0, 20, 2]), 100).capacity == 76  # no more than there are


@pytest.mark.parametrize("index", [[1, 4, 2], [0, 1, 4], [3, 3, 1], [4, 1, 5], [5, 3, 0]])
def test_no_batch_exceeds_it(index):
    """Rows of length 0 at the start, in the middle and at the end; the longest rows together."""
    matrix = ragged([1, 50, 3, 0, 20, 2])
    np.testing.assert_array_equal(
        DENSE(pack(matrix, 3), np.array(index)), matrix.toarray()[np.array(index)]
    )


def test_padding_by_a_long_row_harms_no_other():
    """An epoch's last batch ends in copies of row 0, of weight 0: they may hold anything."""
    matrix = ragged([50, 4, 5, 6, 0])
    found = DENSE(pack(matrix, 4), np.array([2, 0, 0, 0]))
    np.testing.assert_array_equal(found[:2], matrix.toarray()[[2, 0]])


def test_all_zero_and_explicit_zeros():
    np.testing.assert_array_equal(DENSE(pack(sp.csr_array((4, 5)), 2), np.array([0, 3])), 0)
    matrix = sp.csr_array(([0.0, 2.0, 0.0], [1, 2, 0], [0, 2, 3]), shape=(2, 3))
    assert matrix.nnz == 3
    np.testing.assert_array_equal(DENSE(pack(matrix, 2), np.arange(2)), matrix.toarray())


@pytest.mark.parametrize("form", ["csr", "coo", "csc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, bool])
def test_entries_for_one_place_are_summed(dtype, form):
    """As SciPy does where there is room; in no order; the user's own matrix stays as it is."""
    data = np.array([1, 2, 3, 200, 100]).astype(dtype)
    row, column = [0, 0, 0, 1, 1], [4, 0, 4, 1, 1]
    expected = sp.coo_array((data.astype(float), (row, column)), shape=(2, 5)).toarray()
    matrix = {
        "csr": lambda: sp.csr_array((data, column, [0, 3, 5]), shape=(2, 5)),
        "coo": lambda: sp.coo_array((data, (row, column)), shape=(2, 5)),
        "csc": lambda: sp.csc_array(
            (data[[1, 3, 4, 0, 2]], [0, 1, 1, 0, 0], [0, 1, 3, 3, 3, 5]), shape=(2, 5)
        ),
    }[form]()
    before = matrix.copy()
    packed = pack(matrix, 2)
    np.testing.assert_array_equal(DENSE(packed, np.arange(2)), expected)
    assert packed.values.dtype == (np.int16 if dtype == np.int16 else np.float32)
    assert (matrix.nnz, matrix.dtype) == (5, dtype)
    np.testing.assert_array_equal(matrix.data, before.data)


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">f8"])
def test_entries_in_another_order_of_bytes(dtype):
    data = np.array([1, 2, 3]).astype(dtype)
    for form in (sp.csr_array, sp.csc_array):
        matrix = form((data, [1, 1, 0], [0, 2, 3]), shape=(2, 2))
        assert matrix.dtype == dtype
        expected = form((data.astype(float), [1, 1, 0], [0, 2, 3]), shape=(2, 2)).toarray()
        np.testing.assert_array_equal(DENSE(pack(matrix, 2), np.arange(2)), expected)


def test_narrow_entries_that_all_differ_stay_narrow():
    for dtype in NARROW:
        matrix = sp.coo_array((np.ones(3, dtype), ([1, 0, 1], [2, 1, 0])), shape=(2, 3))
        assert pack(matrix, 2).values.dtype == dtype


def test_unsorted_rows_that_scipy_takes_for_sorted():
    """Its flag may be out of date, when the arrays were changed by hand."""
    matrix = sp.csr_array((np.array([1.0, 2, 3]), [0, 1, 2], [0, 2, 3]), shape=(2, 3))
    assert matrix.has_canonical_format
    matrix.indices[:] = [2, 2, 0]
    np.testing.assert_array_equal(DENSE(pack(matrix, 2), np.arange(2)), [[0, 0, 3], [3, 0, 0]])


def test_one_trace_for_many_indices():
    traces = []

    @jax.jit
    def dense(rows, index):
        traces.append(1)
        return rows.dense(index)

    matrix, rng = random(200, 60), np.random.default_rng(1)
    packed = jax.device_put(pack(matrix, 16))
    for _ in range(20):
        index = rng.permutation(200)[:16]
        np.testing.assert_array_equal(dense(packed, index), matrix.toarray()[index])
    assert len(traces) == 1


def test_vmap_over_the_index_and_in_a_scan():
    matrix = random()
    packed, index = pack(matrix, 4), np.arange(40).reshape(10, 4)
    expected = matrix.toarray().reshape(10, 4, 30)
    mapped = jax.jit(jax.vmap(lambda rows, index: rows.dense(index), in_axes=(None, 0)))
    np.testing.assert_array_equal(mapped(packed, index), expected)
    _, scanned = jax.lax.scan(lambda carry, i: (carry, packed.dense(i)), 0, jnp.asarray(index))
    np.testing.assert_array_equal(scanned, expected)


def test_each_device_takes_its_share():
    """The rows on every device, the index split over them."""
    packed, index = pack(random(), 16), np.random.default_rng(2).permutation(40)[:16]
    mesh = jax.make_mesh((8,), ("i",), axis_types=(AxisType.Auto,))
    split = jax.shard_map(
        lambda rows, index: rows.dense(index),
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("i")),
        out_specs=PartitionSpec("i"),
    )
    np.testing.assert_array_equal(jax.jit(split)(packed, index), random().toarray()[index])


def test_it_is_a_pytree_and_can_be_pickled():
    packed = pack(random(), 4)
    assert len(jax.tree.leaves(packed)) == 3
    again = pickle.loads(pickle.dumps(jax.tree.map(lambda leaf: leaf, packed)))
    assert isinstance(again, SparseRows)
    np.testing.assert_array_equal(again.dense(np.arange(4)), packed.dense(np.arange(4)))
    shapes = jax.eval_shape(lambda rows: rows, packed)
    assert shapes.shape == (40, 30)


def test_it_is_lowered_for_every_platform():
    packed = pack(random(), 4)
    function = jax.jit(lambda rows, index: take(Batch(rows), index).x)
    exported = export.export(function, platforms=["cuda", "rocm", "tpu", "cpu"])(
        packed, np.arange(4, dtype=np.int32)
    )
    assert exported.out_avals[0].shape == (4, 30)


def test_the_gradient_passes_the_data_by():
    """x is a constant to a loss; that it comes from integers must not disturb it."""
    packed = pack(random(dtype=np.uint8), 4)
    grad = jax.grad(lambda w: jnp.sum(packed.dense(jnp.arange(4)) * w))(jnp.ones((4, 30)))
    np.testing.assert_array_equal(grad, packed.dense(jnp.arange(4)))


def test_take():
    """Rows of every field but position, the sparse ones dense."""
    matrix, index = random(), np.array([8, 1, 30])
    x = {"counts": pack(matrix, 3), "size": jnp.arange(80).reshape(40, 2)}
    data = Batch(x, jnp.arange(40), jnp.arange(40.0), jnp.arange(40), (jnp.arange(40),), None)
    assert rows_of(data) == 40
    found = jax.jit(take)(data, index)
    np.testing.assert_array_equal(found.x["counts"], matrix.toarray()[index])
    np.testing.assert_array_equal(found.x["size"], np.arange(80).reshape(40, 2)[index])
    assert found.y.tolist() == found.weight.tolist() == found.condition[0].tolist() == [8, 1, 30]
    assert found.position is None
    assert found.mask is None


TOO_MANY = SimpleNamespace(
    shape=(1, 2**31),
    dtype=np.dtype(np.float32),
    nnz=2**31,
    has_canonical_format=True,
    tocsr=lambda: TOO_MANY,
)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pack(sp.csr_array((0, 3)), 2), ValueError, r"must not be empty, got .*\(0, 3\)"),
        (lambda: pack(sp.csr_array((3, 0)), 2), ValueError, r"must not be empty, got .*\(3, 0\)"),
        (lambda: pack(sp.coo_array([1, 0]), 2), ValueError, r"shape \[N, D\] .* got \(2,\)"),
        (lambda: pack(sp.csr_array([[1j]]), 2), TypeError, "real numbers, got dtype complex128"),
        (lambda: pack(random(), 0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: pack(random(), 1.5), TypeError, "batch_size must be an integer, got 1.5"),
        (lambda: pack(TOO_MANY, 1), ValueError, r"less than 2\^31 entries .* got 2147483648"),
    ],
)
def test_what_cannot_be_packed(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_sparse_objects_are_known_by_what_they_can():
    assert all(sparse.is_sparse(random().asformat(form)) for form in FORMATS)
    others = (np.zeros((2, 2)), [[0]], {}, "tocsr", None, jnp.zeros(2), SparseRows)
    assert not any(map(sparse.is_sparse, others))


MEMORY = """
import numpy as np, jax, scipy.sparse as sp
from jaxvae.data.batches import Batch, take
from jaxvae.data.examples import examples, on_device_form

def peak():
    # Not getrusage: a process starts there with the peak of the one that forked it.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

jax.block_until_ready(jax.numpy.zeros(3) + 1)
before = peak()
rows, columns, each = 100_000, 5_000, 50
start = np.arange(rows * each, dtype=np.int32) % each * (columns // each)
start += np.repeat(np.arange(rows, dtype=np.int32) % (columns // each), each)
matrix = sp.csr_array(
    (np.ones(rows * each, np.float32), start, np.arange(rows + 1, dtype=np.int32) * each),
    shape=(rows, columns),
)
assert matrix.nnz == 0.01 * rows * columns
data = jax.device_put(on_device_form(examples(matrix), 256))
batch = jax.jit(take)(data, np.arange(256) * 300)
assert batch.x.shape == (256, columns) and float(batch.x.sum()) == 256 * each
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory():
    """100,000 x 5,000 at 1%: 40 MB of entries, 2 GB if it were dense."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 300, done.stdout


@pytest.mark.parametrize("form", ["coo", "csr"])
def test_a_file_with_entries_for_one_place_is_summed_where_there_is_room(tmp_path, form):
    data, row = np.ones(600, np.uint8), np.repeat([0, 1], 300)
    matrix = sp.coo_array((data, (row, row)), shape=(2, 3))
    if form == "csr":
        matrix = sp.csr_array((data, row, [0, 300, 600]), shape=(2, 3))
    sp.save_npz(tmp_path / "counts.npz", matrix)
    x = datasets.load(tmp_path / "counts.npz", split=False).x_train
    assert x.toarray().tolist() == [[300, 0, 0], [0, 300, 0]]
