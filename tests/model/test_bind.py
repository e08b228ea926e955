"""What `bind` makes of its parts, what it refuses, and where its parameters lie."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxvae
from jaxvae import Batch, bind, latents, likelihoods, objectives, priors, transforms
from jaxvae.latents import Dirichlet, Normal
from jaxvae.networks import (
    DirichletHead,
    Function,
    KumaraswamyHead,
    LogitsHead,
    Network,
    NormalHead,
    dense_dirichlet_network,
    dense_network,
    dense_normal_network,
    join,
)

KEY = jax.random.key(0)
ROWS, WIDTH = 6, 5
X = jax.random.uniform(KEY, (ROWS, WIDTH))
Y = jnp.array([0, 1, 2, 0, 1, 2])
SMALL = {"layers": 1, "hidden_units": 8}
NORMAL = dense_normal_network(WIDTH, 2, **SMALL)
DIRICHLET = dense_dirichlet_network(WIDTH, 3, **SMALL)
PLAIN = (latents.normal, priors.standard_normal(), likelihoods.normal())
BOTH = latents.product(category=latents.dirichlet, style=latents.normal)
BOTH_PRIOR = priors.product(category=priors.symmetric(), style=priors.standard_normal())
BOTH_NETWORK = dense_network(WIDTH, {"category": DirichletHead(3), "style": NormalHead(2)}, **SMALL)


def sides(encode, decode=lambda params, z: jnp.ones((len(z), WIDTH)), init=lambda key, x: {}):
    """A network of plain functions."""
    return Network(init, encode, decode)


def pair(params, x):
    return x[:, :2], jnp.ones((len(x), 2))


# --- parts that do not go together


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("network", *PLAIN), r"network must be a jaxvae\.Network, got 'network'"),
        ((sides("encode"), *PLAIN), r"network\.encode must be a function, got 'encode'"),
        ((NORMAL, "normal", *PLAIN[1:]), r"latent must be a jaxvae\.latents\.Latent, got 'normal'"),
        ((NORMAL, PLAIN[0], "normal", PLAIN[2]), r"prior must be a jaxvae\.priors\.Prior"),
        ((NORMAL, *PLAIN[:2], "normal"), r"likelihood must be a jaxvae\.likelihoods\.Likelihood"),
        ((NORMAL, *PLAIN, "elbo"), r"objective must be a jaxvae\.objectives\.Objective"),
        (
            (BOTH_NETWORK, BOTH, PLAIN[1], PLAIN[2]),
            r"prior must have the latent's parts, \['category', 'style'\], got \['z'\]",
        ),
        (
            (NORMAL, PLAIN[0], BOTH_PRIOR, PLAIN[2]),
            r"prior must have the latent's parts, \['z'\], got \['category', 'style'\]",
        ),
        (
            (NORMAL, *PLAIN, objectives.elbo({"style": 2.0})),
            r"kl_weight must be of the latent's parts, \['z'\], got \['style'\]",
        ),
        (
            (NORMAL, PLAIN[0], PLAIN[1], PLAIN[2]._replace(normalized=False), objectives.iwae(3)),
            "objective needs true .*densities, got a .* of the 2020 original",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts, message):
    with pytest.raises((ValueError, TypeError), match=message):
        bind(*parts)


def test_a_transform_is_one():
    with pytest.raises(TypeError, match=r"transform must be a jaxvae\.transforms\.Transform"):
        bind(NORMAL, *PLAIN, transform=lambda x: x)


@pytest.mark.parametrize(
    ("latent", "encode", "message"),
    [
        (latents.normal, lambda p, x: x, r"network.encode must return a pair \(loc, scale\)"),
        (latents.normal, lambda p, x: (x, x[:, :2]), r"a pair .* got \(\(6, 5\), \(6, 2\)\)"),
        (latents.normal, lambda p, x: (x[0], x[0]), r"a pair .* with B = 6"),
        (latents.normal, lambda p, x: (x[:3], x[:3]), r"a pair .* with B = 6"),
        (latents.dirichlet, lambda p, x: (x, x), r"a concentration \[B, K\], got"),
        (latents.dirichlet, lambda p, x: Normal(x, x), r"a concentration \[B, K\], got"),
        (latents.concrete(0.5), lambda p, x: Dirichlet(x), r"logits \[B, K\], got"),
        (latents.stick_breaking, lambda p, x: x, r"a pair \(a, b\) of arrays \[B, K - 1\]"),
        (BOTH, lambda p, x: x, r"a dict of category: a concentration \[B, K\], style: a pair"),
        (BOTH, lambda p, x: {"category": x}, "a dict of category"),
        (BOTH, lambda p, x: {"category": x, "style": x}, "a dict of category"),
    ],
)
def test_an_encoder_that_does_not_fit_its_latent_is_refused(latent, encode, message):
    prior = priors.mixture(latent, of="members") if latent is not BOTH else BOTH_PRIOR
    vae = bind(sides(encode), latent, prior, likelihoods.normal())
    with pytest.raises(ValueError, match=message):
        vae.encode({}, X)


def test_a_decoder_of_another_shape_is_refused():
    vae = bind(sides(pair, lambda p, z: z), *PLAIN)
    message = r"network.decode must return the shape of x, \(6, 5\), got \(6, 2\)"
    with pytest.raises(ValueError, match=message):
        vae.loss({}, KEY, Batch(X))
    with pytest.raises(ValueError, match=message):
        vae.check_data({}, np.asarray(X))
    vae = bind(sides(pair, lambda p, z: (z, z)), *PLAIN)
    with pytest.raises(TypeError, match=r"network\.decode must return one array"):
        vae.loss({}, KEY, Batch(X))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Batch(X[0]), r"x must have the shape \[B, D\] or more axes"),
        (Batch(X, weight=jnp.ones(5)), "weight must have one value for each row of x"),
        (Batch(X, weight=jnp.ones((6, 1))), "weight must have one value for each row of x"),
        (Batch(X, y=jnp.zeros(7, int)), "y must have one value for each row of x"),
        (Batch(X, position=jnp.arange(5)), "position must have one value for each row of x"),
        (Batch(X, condition=jnp.ones((5, 2))), "condition must have 6 rows as x"),
        (Batch(X, mask=jnp.ones((6, 4))), "mask must have the shape of x"),
        (Batch({"a": X, "b": X[:3]}), "x must have as many rows in each array"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        bind(sides(pair), *PLAIN).loss({}, KEY, batch)


def test_keys_are_typed():
    vae = bind(NORMAL, *PLAIN)
    params = vae.init(KEY, X)
    with pytest.raises(TypeError, match="key must be a typed key"):
        vae.sample_prior(params, jnp.zeros(2, jnp.uint32), (5, 2))


# --- where parameters lie


def test_parameters_of_the_parts_are_beside_the_networks_where_there_are_any():
    params = bind(NORMAL, *PLAIN).init(KEY, X)
    assert set(params) == {"encoder", "decoder"}
    jax.tree.map(np.testing.assert_array_equal, params, NORMAL.init(KEY, X))
    vae = bind(
        DIRICHLET, latents.dirichlet, priors.learned(priors.symmetric()),
        likelihoods.normal(0.5, learned=True, per_dimension=True),
    )  # fmt: skip
    params = vae.init(KEY, X)
    assert set(params) == {"encoder", "decoder", "prior", "likelihood"}
    assert params["prior"]["log_concentration"].shape == (3,)
    assert params["likelihood"]["log_scale"].shape == (WIDTH,)
    slopes = jax.jit(jax.grad(lambda p: vae.loss(p, KEY, Batch(X))[0]))(params)
    for path, leaf in jax.tree.leaves_with_path(slopes):
        assert (leaf != 0).any(), path


@pytest.mark.parametrize("name", ["prior", "likelihood"])
def test_a_network_that_uses_these_names_is_refused(name):
    vae = bind(sides(pair, init=lambda key, x: {name: jnp.ones(())}), *PLAIN)
    message = rf"network\.init must not use the names .* got \['{name}'\]"
    with pytest.raises(ValueError, match=message):
        vae.init(KEY, X)


def test_equal_parts_make_equal_models():
    def make(variance=1.0):
        network = dense_normal_network(WIDTH, 2, **SMALL)
        return bind(network, latents.normal, priors.standard_normal(variance), likelihoods.normal())

    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() != make(2.0)
    traced = []

    def loss(vae, params):
        traced.append(vae)
        return vae.loss(params, KEY, Batch(X))[0]

    params, compiled = make().init(KEY, X), jax.jit(loss, static_argnums=0)
    one, two = compiled(make(), params), compiled(pickle.loads(pickle.dumps(make())), params)
    assert one == two
    assert len(traced) == 1


def test_a_model_of_local_functions_is_refused_by_name_when_pickled():
    with pytest.raises(pickle.PicklingError, match="network of bind must be made of functions"):
        pickle.dumps(bind(sides(pair), *PLAIN))


# --- networks of plain functions


def test_networks_in_the_old_and_the_new_style_are_the_same():
    def init(key, x):
        return {"encoder": {"w": jax.random.normal(key, (WIDTH, 2))}, "decoder": {}}

    def encode(params, x):
        return x @ params["encoder"]["w"], jnp.ones((len(x), 2))

    def decode(params, z):
        return z @ params["encoder"]["w"].T

    old = Network(init, encode, decode)
    new = Network(
        lambda key, batch: init(key, batch.x),
        lambda params, batch, *, training=None: encode(params, batch.x),
        lambda params, z, batch, *, training=None: decode(params, z),
    )
    named = Network(init, lambda p, batch: encode(p, batch.x), lambda p, z, batch: decode(p, z))
    joined = join(
        Function(lambda key, x: init(KEY, x)["encoder"], lambda p, x: encode({"encoder": p}, x)),
        Function(lambda key, z: {"w": init(KEY, X)["encoder"]["w"]}, lambda p, z: z @ p["w"].T),
    )
    found = []
    for network in (old, new, named, joined):
        vae = bind(network, *PLAIN)
        params = vae.init(KEY, X)
        loss, terms = vae.loss(params, KEY, Batch(X), 0)
        z = jnp.ones((4, 2))
        found.append((loss, terms.kl, vae.encode(params, X), vae.decode(params, z)))
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)
    assert isinstance(found[0][2], Normal)


def test_a_network_of_functions_may_keep_statistics():
    """A running mean of x, which evaluation takes away."""

    def encode(params, batch, *, training=None):
        kept = params["statistics"]["mean"]
        if training is None:
            return pair(params, batch.x - kept[None])
        mean = jnp.average(batch.x, axis=0, weights=training.weight)
        return pair(params, batch.x - mean[None]), {"mean": 0.5 * kept + 0.5 * mean}

    network = Network(
        lambda key, x: {"statistics": {"mean": jnp.zeros(WIDTH)}}, encode,
        lambda params, z: jnp.ones((len(z), WIDTH)),
    )  # fmt: skip
    vae = bind(network, *PLAIN)
    params = vae.init(KEY, X)
    weight = jnp.array([1.0, 1.0, 0.0, 2.0, 0.0, 0.0])
    _, terms = vae.loss(params, KEY, Batch(X, weight=weight), 0)
    exact = np.average(X, axis=0, weights=weight)
    np.testing.assert_allclose(terms.statistics["mean"], 0.5 * exact, rtol=1e-6)
    assert vae.loss(params, KEY, Batch(X))[1].statistics == {}


# --- a product, transforms, decode


def test_a_product_has_z_by_part():
    vae = bind(BOTH_NETWORK, BOTH, BOTH_PRIOR, likelihoods.normal())
    params = vae.init(KEY, X)
    q = vae.encode(params, X)
    assert isinstance(q["category"], Dirichlet)
    assert isinstance(q["style"], Normal)
    z = vae.sample_prior(params, KEY, {"category": (4, 7, 3), "style": (4, 7, 2)})
    assert z["category"].shape == (4, 7, 3)
    np.testing.assert_allclose(z["category"].sum(axis=-1), np.ones((4, 7)), rtol=1e-6)
    assert vae.decode(params, z).shape == (4, 7, WIDTH)
    assert vae.sample_prior(params, KEY, Batch(X))["style"].shape == (ROWS, 2)
    loss, terms = vae.loss(params, KEY, Batch(X))
    closed = sum(latent.kl(q[name], p) for name, latent, p in (
        ("category", latents.dirichlet, Dirichlet(jnp.ones(3))),
        ("style", latents.normal, Normal(jnp.zeros(2), jnp.ones(2)))))  # fmt: skip
    np.testing.assert_allclose(terms.kl, closed, rtol=1e-5)
    np.testing.assert_allclose(loss, (terms.reconstruction + terms.kl).mean(), rtol=1e-5)


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (0,), (2, 1, 3)])
def test_decode_of_any_leading_axes(leading):
    vae = bind(NORMAL, *PLAIN)
    params = vae.init(KEY, X)
    z = jax.random.normal(KEY, (*leading, 2))
    found = vae.decode(params, z)
    assert found.shape == (*leading, WIDTH)
    each = NORMAL.decode(params, z.reshape(-1, 2)).reshape(found.shape)
    np.testing.assert_allclose(found, each, rtol=1e-6)


def test_decode_gives_the_mean_in_the_users_units():
    """Bytes in, bytes out; the loss is that of the bytes by 255."""
    parts = (latents.normal, priors.standard_normal(), likelihoods.bernoulli())
    model = bind(NORMAL, *parts, transform=transforms.divided_by(255))
    plain = bind(NORMAL, *parts)
    x = np.asarray(jax.random.randint(KEY, (ROWS, WIDTH), 0, 256), np.uint8)
    params = model.init(KEY, x)
    model.check_data(params, x)
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\] for a Bernoulli likelihood"):
        plain.check_data(params, x)
    wide = jnp.asarray(x, jnp.float32) / 255
    jax.tree.map(np.testing.assert_array_equal, params, plain.init(KEY, wide))
    a, b = model.loss(params, KEY, Batch(x)), plain.loss(params, KEY, Batch(wide))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), a, b)
    jax.tree.map(np.testing.assert_array_equal, model.encode(params, x), plain.encode(params, wide))
    z = jnp.ones((3, 2))
    expected = 255 * jax.nn.sigmoid(NORMAL.decode(params, z))
    np.testing.assert_allclose(model.decode(params, z), expected, rtol=1e-6)


def test_standardized_units():
    mean, scale = np.linspace(-1, 1, WIDTH), np.linspace(0.5, 2, WIDTH)
    transform = transforms.standardized(mean, scale)
    np.testing.assert_allclose(transform.forward(X), (np.asarray(X) - mean) / scale, rtol=1e-6)
    np.testing.assert_allclose(transform.inverse(transform.forward(X)), X, rtol=1e-5, atol=1e-6)
    jacobian = jax.jacobian(transform.forward)(X[0])
    np.testing.assert_allclose(
        transform.log_jacobian(X[0]), np.linalg.slogdet(jacobian)[1], rtol=1e-5
    )
    scaled = transforms.divided_by(4.0)
    jacobian = jax.jacobian(scaled.forward)(X[0])
    np.testing.assert_allclose(scaled.log_jacobian(X[0]), np.linalg.slogdet(jacobian)[1], rtol=1e-5)
    assert transforms.divided_by(4) == transforms.divided_by(4) != transforms.divided_by(5)
    for make, message in (
        (lambda: transforms.divided_by(0), "number must be finite and above 0"),
        (lambda: transforms.standardized(0.0, 0.0), "scale must be finite and above 0"),
        (lambda: transforms.standardized(np.nan, 1.0), "mean must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_tree_of_arrays_as_x():
    """Counts and a real value of each example, each with a transform and a mask of its own."""
    network = Network(
        lambda key, x: {}, lambda params, x: (x["b"], jnp.ones_like(x["b"])),
        lambda params, z: {"a": jnp.tile(z[:, :1], (1, 3)), "b": z},
    )  # fmt: skip
    vae = bind(network, *PLAIN, transform=transforms.divided_by(2.0))
    x = {"a": jnp.ones((4, 3)), "b": jnp.ones((4, 2))}
    loss, _ = vae.loss({}, KEY, Batch(x, mask=jax.tree.map(jnp.ones_like, x)))
    np.testing.assert_allclose(loss, vae.loss({}, KEY, Batch(x))[0], rtol=1e-6)
    unseen = {"a": jnp.zeros((4, 3)), "b": jnp.ones((4, 2))}
    assert vae.loss({}, KEY, Batch(x, mask=unseen))[0] != loss
    decoded = vae.decode({}, jnp.ones((7, 2)))
    np.testing.assert_array_equal(decoded["a"], np.full((7, 3), 2.0))


# --- drawing from the prior, checking data


def test_sample_prior_by_a_number_a_shape_or_a_batch():
    vae = bind(NORMAL, *PLAIN)
    params = vae.init(KEY, X)
    assert vae.sample_prior(params, KEY, 7).shape == (7, 2)
    assert vae.sample_prior(params, KEY, (7, 2)).shape == (7, 2)
    assert vae.sample_prior(params, KEY, (2, 3, 2)).shape == (2, 3, 2)
    assert vae.sample_prior(params, KEY, Batch(X)).shape == (ROWS, 2)
    np.testing.assert_array_equal(
        vae.sample_prior(params, KEY, 7), vae.sample_prior(params, KEY, (7, 2))
    )
    unknown = bind(sides(pair), *PLAIN)
    with pytest.raises(ValueError, match=r"shape must be given with the latent's width, .* 7 rows"):
        unknown.sample_prior({}, KEY, 7)
    assert unknown.sample_prior({}, KEY, (7, 2)).shape == (7, 2)
    for bad, message in (
        (0, "shape must be at least 1"), ((), "shape must be a tuple"),
        ((3, 0), r"shape\[-1\] must be at least 1"), ("all", "shape must be an integer"),
        (Batch(), "batch must hold x, y or a condition, got none of them"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=message):
            vae.sample_prior(params, KEY, bad)


def test_sample_prior_follows_the_labels_and_conditions_of_a_batch():
    prior = priors.from_labels(smoothness=0.01, total_concentration=500.0)
    vae = bind(DIRICHLET, latents.dirichlet, prior, likelihoods.normal())
    params = vae.init(KEY, X)
    for batch in (Batch(y=Y), Batch(X, Y)):
        z = vae.sample_prior(params, KEY, batch)
        np.testing.assert_array_equal(z.argmax(axis=-1), Y)
    prior = priors.in_family(
        latents.normal, lambda own, c: (100 * c.batch.condition, jnp.ones(2)))  # fmt: skip
    vae = bind(NORMAL, latents.normal, prior, likelihoods.normal())
    condition = jnp.arange(8.0).reshape(4, 2)
    z = vae.sample_prior(params, KEY, Batch(condition=condition))
    np.testing.assert_allclose(z, 100 * condition, atol=6)


def test_check_data():
    vae = bind(DIRICHLET, latents.dirichlet, priors.from_labels(), likelihoods.bernoulli())
    params = jax.eval_shape(vae.init, KEY, X)
    x, y = np.asarray(X), np.asarray(Y)
    vae.check_data(params, x, y)
    vae.check_data(params, Batch(x, y))
    vae.check_data(params, x, np.array([-1, 0, 1, 2, -1, 0]))
    for bad_x, bad_y, message in (
        (x, None, "y must hold the labels"),
        (x, y + 1, "y must be from 0 to 2, got 3 at index 2; -1 stands for a missing label"),
        (x, y - 2, "y must be from 0 to 2"),
        (x + 1, y, r"x must lie in \[0, 1\] for a Bernoulli likelihood"),
        (
            x[:, :3],
            y,
            r"params must be of this model, and it must be made for x \(.*, 3\) and no condition",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            vae.check_data(params, bad_x, bad_y)


def test_terms():
    vae = bind(NORMAL, *PLAIN, objectives.iwae(4))
    params = vae.init(KEY, X)
    terms = vae.terms(params, KEY, X)  # x alone is a batch
    assert terms.log_px.shape == terms.log_pz["z"].shape == terms.log_qz["z"].shape == (4, ROWS)
    assert terms.kl["z"].shape == (ROWS,)
    assert vae.terms(params, KEY, X, draws=2).log_px.shape == (2, ROWS)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        vae.terms(params, KEY, X, draws=0)


def test_the_noise_of_an_example_follows_its_position():
    vae = bind(NORMAL, *PLAIN, objectives.elbo(draws=3))
    params = vae.init(KEY, X)
    whole = vae.loss(params, KEY, Batch(X))[1].reconstruction
    order = jnp.array([4, 1, 5])
    part = vae.loss(params, KEY, Batch(X[order], position=order))[1].reconstruction
    np.testing.assert_allclose(part, whole[order], rtol=1e-6)
    other = vae.loss(params, KEY, Batch(X[order]))[1].reconstruction
    assert not np.allclose(other, whole[order], rtol=1e-4)


def test_padding_counts_for_nothing():
    vae = bind(NORMAL, *PLAIN)
    params = vae.init(KEY, X)
    weight = jnp.array([1.0, 2.0, 0.0, 1.0, 0.0, 0.5])
    value = jax.value_and_grad(lambda p, x: vae.loss(p, KEY, Batch(x, weight=weight), 0)[0])
    one = value(params, X)
    two = value(params, X.at[2].set(3.0).at[4].set(-3.0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, two)
    each = vae.loss(params, KEY, Batch(X))[1]
    exact = np.average(np.asarray(each.reconstruction + each.kl), weights=weight)
    np.testing.assert_allclose(one[0], exact, rtol=1e-6)


# --- transformations and devices

MIXED = latents.product(
    a=latents.dirichlet, b=latents.logistic_normal, c=latents.concrete(0.5),
    d=latents.stick_breaking,
)  # fmt: skip
HEADS = {"a": DirichletHead(3), "b": NormalHead(4), "c": LogitsHead(2), "d": KumaraswamyHead(3)}
MIXED_PRIOR = priors.product(
    a=priors.from_labels(frequencies="learned"),
    b=priors.learned(priors.standard_normal()),
    c=priors.mixture(latents.concrete(0.5), 2),
    d=priors.mixture(latents.stick_breaking, 2, of="members"),
)


def mixed_vae(objective=None):
    """All families in one model, each with another prior."""
    network = dense_network(8, HEADS, **SMALL)
    likelihood = likelihoods.negative_binomial()
    return bind(network, MIXED, MIXED_PRIOR, likelihood, objective)


MIXED_X = jax.random.poisson(KEY, 3.0, (8, 8)).astype(jnp.float32)
MIXED_Y = jnp.array([0, -1, 1, 2, -1, 0, 1, 2])


def mixed_value(objective):
    vae = mixed_vae(objective)

    def value(params, key, batch):
        return jax.value_and_grad(lambda p: vae.loss(p, key, batch, 0)[0])(params)

    return vae, value


def on_explicit_mesh(params, batch):
    """Rows split over the first of two mesh axes, all else alike on each device."""
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
    rows = jax.device_put(batch, NamedSharding(mesh, P("x")))
    return mesh, (*jax.device_put((params, KEY), NamedSharding(mesh, P())), rows)


def test_all_families_under_jit_and_explicit_meshes():
    """Every gradient finite and not 0; split, loss and gradients are within 1e-4 of unsplit ones.

    The labels are partly missing, the mixture's pseudo-inputs go through the encoder.
    """
    vae, value = mixed_value(objectives.elbo(draws=2, gradient="stl"))
    params, batch = jax.jit(vae.init)(KEY, MIXED_X), Batch(MIXED_X, MIXED_Y)
    assert set(params["prior"]) == {"a", "b", "c", "d"}
    loss, slopes = jax.jit(value)(params, KEY, batch)
    for path, leaf in jax.tree.leaves_with_path(slopes):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes))
    mesh, arguments = on_explicit_mesh(params, batch)
    with jax.set_mesh(mesh):
        split = jax.jit(value)(*arguments)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * scale),
        split,
        (loss, slopes),
    )


@pytest.mark.parametrize("objective", [objectives.elbo(), objectives.iwae(2, "dreg")])
def test_other_objectives_trace_under_vmap_and_explicit_meshes(objective):
    vae, value = mixed_value(objective)
    params, batch = jax.eval_shape(vae.init, KEY, MIXED_X), Batch(MIXED_X, MIXED_Y)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), params)
    jax.eval_shape(jax.vmap(value, (None, 0, None)), params, jax.random.split(KEY, 2), batch)
    mesh, arguments = on_explicit_mesh(params, batch)
    with jax.set_mesh(mesh):
        jax.eval_shape(value, *arguments)


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_each_family_traces_under_an_explicit_mesh(name):
    """Draws, densities, values and means keep the split of the rows, and of the dimensions."""
    latent = dict(MIXED.parts)[name]
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
    shapes = latent.shapes((8, 4 if latent != latents.stick_breaking else 5))
    random = jax.tree.map(lambda s: jax.random.uniform(KEY, s.shape) + 0.5, shapes)
    u = jax.vmap(latent.sample)(jax.random.split(KEY, 8), random)
    with jax.set_mesh(mesh):
        for spec in (P("x"), P("x", "y"), P(None, "y")):
            q, split_u = jax.device_put((random, u), NamedSharding(mesh, spec))
            keys = jax.device_put(jax.random.split(KEY, 8), NamedSharding(mesh, P(spec[0])))
            jax.eval_shape(jax.vmap(latent.sample), keys, q)
            jax.eval_shape(latent.log_prob, q, split_u)
            if spec == P("x") or latent != latents.stick_breaking:
                jax.eval_shape(latent.value, split_u)
                jax.eval_shape(latent.mean, q)


@pytest.mark.parametrize(
    ("latent", "prior", "message"),
    [
        (latents.dirichlet, priors.standard_normal(), "a concentration .* of a pair"),
        (latents.normal, priors.symmetric(), "a pair .* of a concentration"),
        (latents.stick_breaking, priors.from_labels(), r"a pair \(a, b\) .* of a concentration"),
    ],
)
def test_a_prior_of_another_family_is_refused(latent, prior, message):
    network = jaxvae.dense_normal_network(4, 2, layers=1, hidden_units=4)
    with pytest.raises(ValueError, match=f"prior must have the latent's parameters, {message}"):
        bind(network, latent, prior, likelihoods.normal())
