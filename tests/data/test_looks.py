"""What numbers look like, the scale that suits them, and the transform that is made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from jaxvae.data import looks
from jaxvae.data.looks import Scale, look
from jaxvae.model import transforms

ROWS = 200


def rng():
    return np.random.default_rng(0)


def bytes_of(*shape):
    values = rng().integers(0, 256, (ROWS, *shape), dtype=np.uint8)
    values.flat[:2] = 0, 255
    return values


def taxa(columns=96):
    """Samples of many sizes, each of some taxa: mostly zeros, small numbers, a few large."""
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.full(columns, 0.1), 5)
    sizes = np.exp(rng.normal(6, 1.5, 200)).astype(int) + 20
    mixed = rng.dirichlet(np.full(5, 0.2), 200) @ shares
    return np.array([rng.multinomial(n, p) for n, p in zip(sizes, mixed, strict=True)])


def marks_and_measures():
    """Kinds as columns of 0 and 1, beside ages and incomes: more than a quarter of all is 1."""
    rng = np.random.default_rng(4)
    marks = [np.eye(kinds, dtype=int)[rng.integers(0, kinds, 300)] for kinds in (4, 5)]
    measures = [rng.integers(low, high, (300, 1)) for low, high in ((17, 90), (1000, 9000))]
    return np.concatenate([*marks, *measures, rng.integers(0, 2, (300, 3))], axis=1)


def rare_measures():
    """Many such columns, and measures that are mostly 0."""
    rng = np.random.default_rng(5)
    gains = np.where(rng.random((300, 4)) < 0.9, 0, rng.integers(1, 9999, (300, 4)))
    return np.concatenate([np.eye(40, dtype=int)[rng.integers(0, 40, 300)], gains], axis=1)


def prices():
    rng = np.random.default_rng(6)
    return np.where(rng.random((300, 30)) < 0.6, 0, rng.integers(1, 1000, (300, 30)))


def counts(rate=0.5, columns=12):
    return rng().poisson(rate, (ROWS, columns)).astype(np.float32)


def with_outlier(x, value):
    x = np.array(x, np.float32)
    x[3, 1] = value
    return x


def with_column(x, value):
    return np.column_stack([x, np.full(len(x), value)]).astype(np.float32)


def with_nan(x, every=7):
    x = np.array(x, np.float32)
    x.flat[::every] = np.nan
    return x


NORMAL = rng().normal(size=(ROWS, 5))
NORMAL = (NORMAL - NORMAL.mean(0)) / NORMAL.std(0)
UNITS = NORMAL * [1, 1e3, 1e-3, 20, 5] + [0, 1e4, 0, -300, 5]
FLAT = Scale()
# What is looked at; what more is said of it; what the sentence begins with or has in it; the
# curve; the width, None where it is one for each column; whether they are counts.
KINDS = {
    "bytes as images": (bytes_of(8, 8), {"images": True}, "bytes, divided by 255", "linear", 255),
    "bytes as rows": (bytes_of(64), {}, "bytes, divided by 255", "linear", 255),
    "bytes as floats": (
        bytes_of(8, 8).astype(np.float32),
        {"images": True},
        "bytes, divided by 255",
        "linear",
        255,
    ),
    "dark bytes as images": (bytes_of(8, 8) // 4, {"images": True}, "bytes, div", "linear", 255),
    "four bits": (
        bytes_of(8, 8).astype(np.float32) // 16,
        {"images": True},
        "bytes, divided by 15",
        "linear",
        15,
    ),
    "0 and 1": (rng().integers(0, 2, (ROWS, 5)), {}, "each value is 0 or 1", "linear", 1),
    "booleans": (rng().random((ROWS, 5)) > 0.5, {}, "each value is 0 or 1", "linear", 1),
    "0 and 1 as images": (
        rng().integers(0, 2, (ROWS, 4, 4)),
        {"images": True},
        "each value is 0 or 1",
        "linear",
        1,
    ),
    "unit interval": (rng().random((ROWS, 5)), {}, "numbers from 0 to 1, left", "linear", 1),
    "unit images": (
        rng().random((ROWS, 4, 4)),
        {"images": True},
        "numbers from 0 to 1, left",
        "linear",
        1,
    ),
    "images from -1 to 1": (
        rng().uniform(-1, 1, (ROWS, 4, 4)),
        {"images": True},
        "numbers from -1 to 1, left",
        "linear",
        1,
    ),
    "images of 16 bits": (
        rng().integers(0, 60_000, (ROWS, 4, 4)).astype(np.float32),
        {"images": True},
        "divided by 59,",
        "linear",
        "max",
    ),
    "images of any sign": (
        rng().normal(50, 20, (ROWS, 4, 4)) - 60,
        {"images": True},
        "numbers of any sign, standardised together",
        "linear",
        "std",
    ),
    "dim images": (
        rng().random((ROWS, 4, 4)) * 1e-5,
        {"images": True},
        "e-06, divided by",
        "linear",
        "max",
    ),
    "tiny columns": (UNITS * 1e-6, {}, "columns, each standardised", "linear", None),
    "a thousand times as large": (UNITS * 1e3, {}, "columns, each standardised", "linear", None),
    "columns of different units": (UNITS, {}, "columns, each standardised", "linear", None),
    "standardised": (NORMAL, {}, "columns that are standardised already", "linear", 1),
    "heavy tails": (
        with_outlier(UNITS, 1e9),
        {},
        "columns, each standardised (1 with heavy tails, so all by arcsinh)",
        "arcsinh",
        None,
    ),
    "a constant column": (
        with_column(UNITS, 7.5),
        {},
        "columns, each standardised (1 of 6 constant)",
        "linear",
        None,
    ),
    "far from 0": (
        (NORMAL + 1e8).astype(np.float64),
        {},
        "columns, each standardised (5 so far from 0 that digits are lost)",
        "linear",
        None,
    ),
    "one number": (np.full((ROWS, 4), 42.0), {}, "one number alone, 42, taken away", "linear", 1),
    "one tiny number": (np.full((ROWS, 4), 1e-6), {}, "one number alone, 1e-06", "linear", 1),
    "one number below 0": (np.full((ROWS, 4), -3.0), {}, "one number alone, -3", "linear", 1),
    "many columns of one scale": (
        np.maximum(rng().normal(15, 20, (ROWS, 20)), 0),
        {},
        "numbers from 0 to",
        "linear",
        "max",
    ),
    "NaN inside": (with_nan(UNITS), {}, "columns, each standardised", "linear", None),
    "NaN in the unit interval": (
        with_nan(rng().random((ROWS, 5))),
        {},
        "numbers from 0 to",
        "linear",
        1,
    ),
    "a column without a value": (
        with_column(UNITS, np.nan),
        {},
        "columns, each standardised (1 of 6 constant)",
        "linear",
        None,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind):
    """Numbers in the units that people have come to about 0 and 1, and it is said in one line."""
    x, options, words, curve, width = KINDS[kind]
    found = look(x, **options)
    assert "\n" not in found.sentence
    assert not found.counts
    assert words in found.sentence
    assert found.scale.curve == curve
    if width is None:
        assert np.shape(found.scale.width) == (x.shape[-1],)
        assert found.scale.width.dtype == np.float32
    else:
        own = (
            {"max": x.max(), "std": x.std()}.get(width, width) if isinstance(width, str) else width
        )
        assert found.scale.width == pytest.approx(own, rel=1e-6)
    model = np.asarray(transforms.of_scale(found.scale).forward(np.asarray(x, np.float32)))
    seen = model[np.isfinite(x)]
    assert np.isfinite(seen).all()
    assert np.abs(seen).max() < 40  # 3.5 standard deviations, or by arcsinh a billion of them
    if not kind.startswith("one ") and kind != "far from 0":
        assert 0.05 < seen.std() < 3


@pytest.mark.parametrize(
    ("x", "kind", "words", "counts"),
    [
        (counts(), None, "counts from 0 to", True),
        (counts(5.0), None, "columns, each standardised", False),  # as ages are, or scores
        (counts(5.0), "counts", "counts from 0 to", True),
        (counts() > 0, "counts", "counts from 0 to 1", True),
        ((counts() > 0).astype(np.float32), "counts", "counts from 0 to 1", True),
        (scipy.sparse.csr_array(counts() > 0), "counts", "counts up to 1", True),
        (counts(), "table", "columns, each standardised", False),
        (counts().astype(np.uint8), None, "counts from 0 to", True),
        (counts() + 0.5, None, "columns, each standardised", False),
        (taxa(), None, "counts from 0 to", True),
        (taxa(columns=8), None, "heavy tails", False),  # too few columns to be sure
        (taxa() + 1, None, "heavy tails", False),
        (marks_and_measures(), None, "columns, each standardised", False),
        (rare_measures(), None, "columns, each standardised", False),
        (prices(), None, "numbers from 0 to", False),
        (-counts(), None, "columns, each standardised", False),
        (scipy.sparse.csr_array(counts()), None, "counts up to", True),
        (scipy.sparse.csr_array(counts(50.0)), None, "counts up to", True),
        (scipy.sparse.csr_array(counts()), "table", "left as they are", False),
        (scipy.sparse.csr_array(counts() > 0), None, "each value is 0 or 1", False),
        (scipy.sparse.csr_array(counts() * 0.5), None, "left as they are", False),
        (scipy.sparse.csr_array(-1000 * counts()), None, "divided by", False),
        (scipy.sparse.csr_array((3, 4)), None, "each value is 0 or 1", False),
    ],
)
def test_counts(x, kind, words, counts):
    """Counts stay as they are, for a likelihood of counts; zeros of a sparse matrix stay zeros."""
    found = look(x, kind=kind)
    assert words in found.sentence
    assert found.counts == counts
    if counts:
        assert not found.scale.changes
    if scipy.sparse.issparse(x):
        assert found.scale.centre == 0
        assert np.abs(x.data / found.scale.width).max(initial=0) <= 10 or counts


def test_a_sparse_matrix_says_its_share():
    x = scipy.sparse.csr_array(np.eye(10) * 3)
    assert look(x).sentence == "counts up to 3, 10.0% of them not 0"


def test_a_series_is_scaled_by_its_variables():
    """Each of the last axis, over all steps: the course of a series is what is to be learned."""
    x = rng().normal([5, -300], [1, 40], (ROWS, 12, 2)) + np.arange(12)[:, None]
    scale = look(x).scale
    np.testing.assert_allclose(scale.centre, x.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(scale.width, x.std((0, 1)), rtol=1e-6)


def tables():
    return {
        "units": UNITS,
        "float32": UNITS.astype(np.float32),
        "bytes": bytes_of(9),
        "int16": rng().integers(-3000, 3000, (ROWS, 4), dtype=np.int16),
        "booleans": rng().random((ROWS, 3)) > 0.5,
        "far from 0": NORMAL * 1e-3 + 1e6,
        "huge": NORMAL * 1e37,
        "NaN": with_nan(UNITS),
        "NaN in the first rows": np.where(np.arange(ROWS)[:, None] < 30, np.nan, UNITS),
        "constant": with_column(UNITS, 0.1),
        "one row": UNITS[:1],
    }


@pytest.mark.parametrize("rows", [None, 7, 1])
@pytest.mark.parametrize("name", tables())
def test_the_summary_is_numpys(name, rows, monkeypatch):
    """In float64, of the values that are there; whether looked at whole or some rows at a time."""
    x = tables()[name]
    if rows is not None:
        monkeypatch.setattr(looks, "CHUNK", rows * x.shape[1])
    found = looks._summary(x)
    own = x.astype(np.float64)
    near = {"rtol": 1e-9, "atol": 1e-12 * np.nanmax(np.abs(own))}
    np.testing.assert_array_equal(found.low, np.nanmin(own, axis=0))
    np.testing.assert_array_equal(found.high, np.nanmax(own, axis=0))
    np.testing.assert_allclose(found.mean, np.nanmean(own, axis=0), **near)
    constant = found.low == found.high
    deviation = np.where(constant, 1.0, np.nanstd(own, axis=0))
    np.testing.assert_allclose(found.deviation, deviation, **near)
    seen = own[np.isfinite(own)]
    assert found.whole == (seen == np.round(seen)).all()
    assert found.zeros == pytest.approx((seen == 0).mean())
    above = seen[seen > 0]
    assert found.ones == pytest.approx((above == 1).mean() if len(above) else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_does_not_depend_on_the_chunks(kind, monkeypatch):
    x, options, *_ = KINDS[kind]
    whole = look(x, **options)
    monkeypatch.setattr(looks, "CHUNK", 300)
    again = look(x, **options)
    assert (again.sentence, again.counts) == (whole.sentence, whole.counts)
    np.testing.assert_allclose(again.scale.width, whole.scale.width, rtol=1e-6)
    moved = np.abs(np.subtract(again.scale.centre, whole.scale.centre))
    assert (moved <= 1e-6 * np.asarray(whole.scale.width)).all()


def test_what_is_left_alone_changes_nothing():
    assert not Scale().changes
    assert Scale(width=255).changes
    assert Scale(centre=1.0).changes
    assert Scale("arcsinh").changes
    assert Scale("linear", np.zeros(3), np.ones(3)).changes


EXAMPLE = np.array([[0.3, -2.0, 5.0], [1e3, -1e-3, 0.0]], np.float32)
CENTRE = np.array([0.1, -3.0, 4.0], np.float32)
WIDTH = np.array([0.5, 2.0, 30.0], np.float32)
TRANSFORMS = {
    "identity": transforms.identity(),
    "divided": transforms.divided_by(255),
    "divided by little": transforms.divided_by(1e-3),
    "standardized": transforms.standardized(3.0, 2.0),
    "standardized by column": transforms.standardized(CENTRE, WIDTH),
    "arcsinh": transforms.arcsinh(),
    "arcsinh of a centre": transforms.arcsinh(2.0, 0.5),
    "arcsinh by column": transforms.arcsinh(CENTRE, WIDTH),
    **{
        f"of {scale.curve} {np.shape(scale.width)} {scale.width}": transforms.of_scale(scale)
        for scale in (
            Scale(),
            Scale(width=255.0),
            Scale("linear", 42.0, 1.0),
            Scale("linear", CENTRE, WIDTH),
            Scale("arcsinh", CENTRE, WIDTH),
            Scale("arcsinh"),
        )
    },
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_there_and_back(name):
    transform = TRANSFORMS[name]
    back = transform.inverse(transform.forward(jnp.asarray(EXAMPLE)))
    np.testing.assert_allclose(back, EXAMPLE, rtol=1e-5, atol=1e-5)
    rows = jnp.asarray(EXAMPLE)  # of rows as of one example
    for i in range(2):
        np.testing.assert_array_equal(transform.forward(rows)[i], transform.forward(rows[i]))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("row", [0, 1])
def test_the_log_jacobian_is_that_of_forward(name, row):
    """By which a log-density is one in the user's units: against the determinant itself."""
    transform, x = TRANSFORMS[name], jnp.asarray(EXAMPLE[row])
    jacobian = jax.jacobian(transform.forward)(x)
    assert jnp.abs(jacobian - jnp.diag(jnp.diag(jacobian))).max() == 0
    expected = jnp.log(jnp.diag(jacobian)).sum()
    np.testing.assert_allclose(transform.log_jacobian(x), expected, rtol=1e-5, atol=1e-5)


def test_the_log_jacobian_of_an_image():
    x = jnp.full((4, 5, 3), 128.0)
    scaled = transforms.divided_by(255)
    np.testing.assert_allclose(scaled.log_jacobian(x), -60 * np.log(255), rtol=1e-6)


@pytest.mark.parametrize(
    ("centre", "width"), [(0.0, 1.0), (1e6, 1e-3), (-1e30, 1e30), (CENTRE, WIDTH)]
)
def test_extremes_stay_finite(centre, width):
    """The heaviest tails that float32 has, there and back; and their density too."""
    transform = transforms.arcsinh(centre, width)
    ends = jnp.array([3e38, -3e38, 1e-38], jnp.float32)
    model = transform.forward(ends)
    assert jnp.isfinite(model).all()
    assert jnp.abs(model).max() < 100
    assert jnp.isfinite(transform.log_jacobian(ends))
    beyond = transform.inverse(jnp.array([1e4, -1e4, jnp.float32(3e38)]))
    assert jnp.isfinite(beyond).all()


@pytest.mark.parametrize("value", [1e-30, 1e-10, 1.0, 1e10, 1e30])
def test_arcsinh_keeps_digits(value):
    transform = transforms.arcsinh()
    for sign in (1, -1):
        x = jnp.array([sign * value], jnp.float32)
        np.testing.assert_allclose(transform.inverse(transform.forward(x)), x, rtol=1e-4)


@pytest.mark.parametrize(
    ("x", "images", "expected"),
    [
        (bytes_of(8, 8), True, transforms.divided_by(255.0)),
        (bytes_of(64), False, transforms.divided_by(255.0)),
        (rng().random((ROWS, 4)), False, transforms.identity()),
        (counts(), False, transforms.identity()),
        (scipy.sparse.csr_array(counts()), False, transforms.identity()),
        (NORMAL, False, transforms.identity()),
        (np.full((5, 2), 3.0), False, transforms.standardized(3.0, 1.0)),
    ],
)
def test_fitted_is_a_public_transform(x, images, expected):
    """What `jaxvae train` chooses is equal to what a user would write: it can be saved."""
    assert transforms.fitted(x, images=images) == expected


def test_fitted_by_column():
    transform = transforms.fitted(UNITS)
    model = transform.forward(UNITS.astype(np.float32))
    np.testing.assert_allclose(model.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(model.std(0), 1, rtol=1e-3)
    tamed = transforms.fitted(with_outlier(UNITS, 1e9)).forward(with_outlier(UNITS, 1e9))
    assert 10 < np.abs(tamed).max() < 30


def test_heavy_tails_of_few_rows():
    assert look(with_outlier(UNITS[:60], 1e9)).scale.curve == "arcsinh"


def test_fitted_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="x must be finite, got nan"):
        transforms.fitted(with_nan(UNITS))
    with pytest.raises(ValueError, match=r"x must have the shape \[N, D\]"):
        transforms.fitted(np.zeros(5))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_no_one_measures_in_is_not_scaled(sign):
    """A fault in the data is not to be trained on in silence: the first step says it."""
    huge = with_outlier(UNITS, sign * 1e30)
    for x in (huge, scipy.sparse.csr_array(huge)):
        found = look(x, kind="table")
        assert found.scale == Scale()
        assert "beyond what is scaled" in found.sentence
    assert look(with_outlier(UNITS, sign * 1e17)).scale.changes
