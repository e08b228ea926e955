"""The description of a model: to JSON and back, what is refused, and the model that it builds."""

import dataclasses
import json
import pickle
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import Batch, latents, likelihoods, objectives, priors, transforms
from jaxvae.apps import chosen, description, option_effects, options
from jaxvae.apps import model_parts as parts
from jaxvae.apps.description import Description, build, from_json, to_json, to_plain

# Every kind of each part, its options away from their defaults.
LATENTS = [
    parts.NormalLatent(),
    parts.LogisticNormalLatent(),
    parts.DirichletLatent(gradient="gamma", head="relu", concentration_floor=0.2),
]
JOINT = parts.JointLatent(
    style_dim=2,
    gradient="gamma",
    concentration_floor=0.2,
    category_gain=2.0,
    centre_rate=3.0,
)
PRIORS = {
    parts.StandardNormal(variance=2.0): parts.NormalLatent(),
    parts.FromLabels(smoothness=0.3, frequencies="learned", missing=True): parts.DirichletLatent(),
    parts.FromLabels(total_concentration=5.0, frequencies=(1.0, 2.0, 1.0)): parts.DirichletLatent(),
    parts.Symmetric(concentration=0.5): parts.DirichletLatent(),
    parts.Mixture(components=3, of="members"): parts.LogisticNormalLatent(),
}
LIKELIHOODS = [
    parts.NormalLikelihood(scale=0.5, per_dimension=True, minimum=0.01),
    parts.Bernoulli(),
    parts.Poisson(),
    parts.NegativeBinomial(dispersion=2.0, per_dimension=False),
    parts.Multinomial(),
    parts.DirichletMultinomial(total_concentration=5.0, learned=False),
    parts.Categorical(categories=4),
]
OBJECTIVES = [
    parts.Elbo(kl_weight=0.5, free_bits=0.1, draws=2, gradient="stl"),
    parts.Iwae(draws=3, gradient="dreg"),
    parts.Original(kl_weight=0.5),
]
NETWORKS = [
    parts.Dense(layers=1, hidden_units=8, activation="tanh"),
    parts.Convolutional(channels=(3,), hidden_units=8),
]
TRANSFORMS = [parts.Identity(), parts.DividedBy(number=4.0)]
SMALL = parts.Dense(layers=1, hidden_units=8)


def of(latent=None, prior=None, **values):
    """A small description, by default of a Normal."""
    common = {"network": SMALL, "data_shape": (4, 4), "latent_dim": 3}
    return Description(
        latent=latent or parts.NormalLatent(),
        prior=prior or parts.StandardNormal(),
        **common | values,
    )


def original(latent, prior):
    return of(latent, prior, objective=parts.Original(kl_weight=0.5), likelihood=parts.UNIT)


DESCRIPTIONS = [
    *(of(latent, parts.StandardNormal(variance=2.0)) for latent in LATENTS[:2]),
    of(LATENTS[2], parts.Symmetric()),
    *(of(latent, prior) for prior, latent in PRIORS.items()),
    *(of(likelihood=likelihood) for likelihood in LIKELIHOODS),
    *(of(objective=objective) for objective in OBJECTIVES[:2]),
    original(parts.NormalLatent(), parts.StandardNormal(variance=3.0)),
    original(LATENTS[2], parts.FromLabels()),
    *(of(network=network) for network in NETWORKS),
    of(parts.DirichletLatent(), parts.Symmetric(), network=NETWORKS[1], data_shape=(4, 4, 2)),
    *(of(transform=transform) for transform in TRANSFORMS),
    of(
        parts.DirichletLatent(),
        parts.Learned(concentration=0.1),
        likelihood=parts.Multinomial(),
        network=parts.Topics(decoder="mixture", layers=1, hidden_units=8, dropout=0.1),
        data_shape=(16,),
    ),
    of(
        JOINT,
        parts.FromLabels(smoothness=0.02),
        latent_dim=5,
        objective=parts.Elbo(kl_weight=0.5, category_kl_weight=3.0),
    ),
    of(JOINT, parts.Symmetric(), latent_dim=5, network=NETWORKS[1], data_shape=(4, 4, 2)),
    of(data_shape=(16,), label_names=("a", "b"), column_names=tuple("abcdefghijklmnop")),
]


def name(value):
    made = [getattr(value, part) for part in parts.KINDS]
    return " ".join(parts.kind(part) for part in made)


def test_every_kind_is_described_here():
    seen = {type(getattr(each, part)) for each in DESCRIPTIONS for part in parts.KINDS}
    assert seen == {made for kinds in parts.KINDS.values() for made in kinds.values()}


@pytest.mark.parametrize("each", DESCRIPTIONS, ids=name)
def test_to_json_and_back_and_built(each):
    """The same description, the same model; and a model that computes."""
    text = json.dumps(to_json(each), allow_nan=False)
    again = from_json(json.loads(text))
    assert again == each
    assert hash(again) == hash(each)
    vae = build(each)
    assert vae == build(again)  # so nothing compiles twice
    assert pickle.loads(pickle.dumps(vae)) == vae
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (5, *each.data_shape)), jnp.float32)
    batch = Batch(x, y=jnp.array([0, 1, 2, 0, 1]))
    params = vae.init(jax.random.key(0), x)
    loss, _ = vae.loss(params, jax.random.key(1), batch)
    assert np.isfinite(loss)
    z = vae.sample_prior(params, jax.random.key(2), batch)
    assert sum(leaf.shape[-1] for leaf in jax.tree.leaves(z)) == each.latent_dim
    decoded = vae.decode(params, z)
    assert decoded.shape[: x.ndim] == x.shape


@pytest.mark.parametrize(
    ("each", "vae"),
    [
        (
            of(likelihood=LIKELIHOODS[0], objective=OBJECTIVES[0], transform=TRANSFORMS[1]),
            lambda: jaxvae.bind(
                jaxvae.dense_normal_network((4, 4), 3, layers=1, hidden_units=8),
                latents.normal,
                priors.standard_normal(),
                likelihoods.normal(0.5, learned=True, per_dimension=True, minimum=0.01),
                objectives.elbo(0.5, 0.1, 2, "stl"),
                transform=transforms.divided_by(4.0),
            ),
        ),
        (
            of(LATENTS[2], parts.FromLabels(smoothness=0.3), objective=OBJECTIVES[1]),
            lambda: jaxvae.bind(
                jaxvae.dense_dirichlet_network(
                    (4, 4), 3, layers=1, hidden_units=8, head="relu", concentration_floor=0.2
                ),
                build(of(LATENTS[2], parts.Symmetric())).parts.latent,
                priors.from_labels(smoothness=0.3, missing=None),
                likelihoods.normal(np.exp(-1).item(), learned=True),
                objectives.iwae(3, "dreg"),
            ),
        ),
    ],
    ids=["normal", "dirichlet"],
)
def test_it_builds_what_bind_makes_of_the_same_parts(each, vae):
    """Each option reaches its constructor."""
    assert build(each).parts == vae().parts
    assert build(dataclasses.replace(each, latent_dim=2)).parts != vae().parts


@pytest.mark.parametrize("model", ["normal", "dirichlet"])
def test_by_name_it_is_the_ready_made_model(model):
    if model == "normal":
        each = of(data_shape=(64,))
        vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 3, layers=1, hidden_units=8))
    else:
        each = of(parts.DirichletLatent(), parts.FromLabels(), data_shape=(64,))
        network = jaxvae.dense_dirichlet_network(64, 3, layers=1, hidden_units=8)
        vae = jaxvae.dirichlet_vae(network, prior=priors.from_labels(missing=None))
    assert build(each).parts == vae.parts


def squashed(x):
    return x / (1 + jnp.abs(x))


JSON = to_json(of(parts.DirichletLatent(), parts.Symmetric()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 3}, "a model must have the fields .* got depth"),
        ({"format": 2}, "format must be 1, got 2"),
        ({"format": None}, "format must be 1, got None"),
        ({"latent": {"kind": "gauss"}}, "latent must be of the kinds normal, .* got 'gauss'"),
        ({"latent": "normal", "prior": 3}, "prior must be of the kinds .* got 3"),
        ({"prior": {"concentration": 1.0}}, "prior must be of the kinds .* got None"),
        ({"prior": {"kind": ["symmetric"]}}, r"prior must be of the kinds .* got \['symmetric'\]"),
        (
            {"prior": {"kind": "symmetric", "variance": 1.0}},
            "prior must have the fields concentration, got variance",
        ),
        (
            {"likelihood": {"kind": "categorical"}},
            "likelihood must have the fields categories; categories is missing",
        ),
        ({"network": {"kind": "recurrent"}}, "network must be of the kinds dense, convolutional"),
    ],
)
def test_what_is_unknown_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        from_json(JSON | values)


@pytest.mark.parametrize("field", ["latent", "prior", "data_shape", "latent_dim"])
def test_what_is_missing_is_refused_by_name(field):
    with pytest.raises(ValueError, match=f"{field} is missing"):
        from_json({name: value for name, value in JSON.items() if name != field})


@pytest.mark.parametrize("value", [[], "normal", None])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ValueError, match="a model must be described by an object, got"):
        from_json(value)


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (of(latent_dim=0), "latent_dim must be at least 1, got 0"),
        (of(prior=parts.StandardNormal(variance=-1.0)), "variance must be finite and above 0"),
        (of(likelihood=parts.NormalLikelihood(scale=0.0)), "scale must be finite and above 0"),
        (of(objective=parts.Iwae(draws=0)), "draws must be at least 1, got 0"),
        (of(network=parts.Dense(layers=0)), "layers must be at least 1, got 0"),
        (of(network=parts.Dense(activation="swoosh")), "activation must be one of"),
        (
            of(network=NETWORKS[1], likelihood=parts.Categorical(categories=4)),
            r"network must be dense where \(4, 4, 4\) is decoded for an example \(4, 4\)",
        ),
        (of(objective=parts.Original()), "likelihood must be normal with the original objective"),
        (
            dataclasses.replace(
                original(parts.NormalLatent(), parts.StandardNormal()), transform=TRANSFORMS[1]
            ),
            "transform must be identity with the original objective",
        ),
        (original(parts.NormalLatent(), parts.Symmetric()), "prior must have a variance with"),
        (
            original(parts.LogisticNormalLatent(), parts.StandardNormal()),
            "objective must be another for a logistic Normal",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(each, message):
    with pytest.raises(ValueError, match=message):
        build(each)


def test_values_of_ones_own_build_and_are_written_by_what_made_them():
    own = of(likelihood=likelihoods.normal(0.5), network=parts.Dense(layers=1, activation=squashed))
    assert build(own).parts.likelihood == likelihoods.normal(0.5)
    assert from_json(pickle.loads(pickle.dumps(to_plain(own)))) == own
    assert parts.kind(own.likelihood) == "custom"
    with pytest.raises(TypeError, match=r"network\.activation must be registered to be saved"):
        to_json(own)
    named = dataclasses.replace(own, network=parts.Dense(layers=1, activation=jax.nn.mish))
    written = json.loads(json.dumps(to_json(named), allow_nan=False))
    assert from_json(written) == named
    assert written["likelihood"]["make"] == "likelihoods.normal"
    assert written["network"]["activation"] == {"name": "jax.nn.mish"}


def dense(**options):
    return jaxvae.dense_dirichlet_network(16, 3, layers=1, hidden_units=8, **options)


MADE = {
    "bind": lambda: jaxvae.bind(
        dense(), latents.dirichlet, priors.symmetric(0.5), likelihoods.poisson(), objectives.elbo(),
        transform=transforms.divided_by(2.0),
    ),
    "dirichlet_vae": lambda: jaxvae.dirichlet_vae(dense()),
    "normal_vae": lambda: jaxvae.normal_vae(jaxvae.dense_normal_network(16, 2, layers=1)),
    "original normal_vae": lambda: jaxvae.normal_vae(
        jaxvae.dense_normal_network(16, 2, layers=1), objective="original", prior_variance=3,
        kl_weight=0.5,
    ),
    "original dirichlet_vae": lambda: jaxvae.dirichlet_vae(
        dense(), objective="original", gradient="gamma"
    ),
    "original dirichlet_vae, a prior": lambda: jaxvae.dirichlet_vae(
        dense(), objective="original", prior=priors.symmetric(2.0)
    ),
    "product": lambda: jaxvae.bind(
        jaxvae.networks.dense_network(
            16, {"a": jaxvae.networks.NormalHead(2), "b": jaxvae.networks.DirichletHead(3)}
        ),
        latents.product(a=latents.normal, b=latents.dirichlet),
        priors.product(a=priors.standard_normal(), b=priors.symmetric()),
        likelihoods.normal(learned=True),
    ),
}  # fmt: skip
WIDTHS = {"normal_vae": 2, "original normal_vae": 2, "product": 5}


@pytest.mark.parametrize("model", MADE)
def test_a_model_that_is_made_is_described(model):
    """Its parts as values; those of an original objective by their kinds."""
    vae = MADE[model]()
    each = description.of(vae, data_shape=(16,), label_names=("a", "b", "c"), image_shape=(4, 4))
    assert each.latent_dim == WIDTHS.get(model, 3)
    again = from_json(json.loads(json.dumps(to_json(each), allow_nan=False)))
    assert again == each
    assert hash(again) == hash(each)
    assert from_json(pickle.loads(pickle.dumps(to_plain(each)))) == each
    assert build(again).parts == vae.parts
    if model != "bind":
        return
    assert build(again) == vae  # so that nothing compiles twice


def test_the_width_of_z_is_found_where_the_network_does_not_say_it():
    flax = jaxvae.networks
    network = jaxvae.flax_network(
        flax.Encoder(flax.LogitsHead(3), flax.MLP(1, 8, jax.nn.relu)),
        flax.Decoder(16, flax.MLP(1, 8, jax.nn.relu)),
    )
    prior = priors.mixture(latents.concrete(0.5), 2, of="members")
    vae = jaxvae.bind(network, latents.concrete(0.5), prior, likelihoods.bernoulli())
    assert description.of(vae, data_shape=(16,)).latent_dim == 3


def test_a_model_with_a_function_of_its_own_is_not_described():
    vae = MADE["bind"]()._replace(decode=squashed)
    with pytest.raises(ValueError, match=r"vae must be as jaxvae\.bind, .* made it"):
        description.of(vae, data_shape=(16,))


def test_a_value_is_no_latent_of_a_network_by_its_kind():
    with pytest.raises(ValueError, match="network must be a value where the latent is one"):
        build(of(latent=latents.normal))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent": {"name": "jax.nn.relu"}}, "latent must be a value of jaxvae"),
        ({"latent": {"name": "latents.gauss"}}, "latent: name must be public in jaxvae"),
        ({"prior": {"make": "os.system", "with": {}}}, "prior: name must be public in jaxvae"),
        (
            {"prior": {"make": "priors.symmetric", "with": {"concentration": -1.0}}},
            "prior: priors.symmetric: concentration must be finite",
        ),
    ],
)
def test_a_value_that_is_unknown_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        from_json(JSON | values)


def test_the_version_is_kept_and_no_part_of_the_model():
    old = from_json(JSON | {"jaxvae": "0.1.5"})
    assert old.jaxvae == "0.1.5"
    assert to_json(old)["jaxvae"] == "0.1.5"
    assert JSON["jaxvae"] == jaxvae.__version__
    assert old == from_json(JSON)


def test_every_option_of_the_model_is_a_field_of_a_part():
    """The choices aside, by which the parts are chosen."""
    choices = {"model", "objective", "likelihood", "network", "prior", "latent_dim"}
    names = {field.name for field in dataclasses.fields(options.ModelOptions)}
    assert names == choices | set(option_effects.FACE)
    for part, field in option_effects.FACE.values():
        assert any(field in option_effects.fields_of(part, kind) for kind in parts.KINDS[part])


def test_the_choices_of_the_command_line_have_kinds():
    hints = typing.get_type_hints(options.ModelOptions)
    for option, kinds in (
        ("model", set(option_effects.PRIORS)),
        ("likelihood", set(parts.BY_NAME)),
        ("network", set(parts.KINDS["network"])),
        ("objective", {"elbo", "original"}),
    ):
        part = "latent" if option == "model" else option
        named = {name for name in literals(hints[option]) if name is not None}
        assert named == kinds <= set(parts.KINDS[part])


def literals(hint):
    """The values of a Literal, of a union's parts too."""
    each = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return each
    return [value for one in each for value in literals(one)]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"network": "convolutional", "layers": 2},
            "layers .* except with --network dense or topics, got 2",
        ),
        ({"network": "dense", "dropout": 0.1}, "dropout .* except with --network topics, got 0.1"),
        ({"channels": (4,)}, "channels must be left out except with --network convolutional"),
        (
            {"model": "logistic_normal", "head": "relu"},
            "head must be left out except with --model dirichlet, got relu",
        ),
        (
            {"model": "logistic_normal", "prior": "labels"},
            "prior must be left out except with --model joint or dirichlet, got labels",
        ),
        (
            {"model": "dirichlet", "prior_variance": 2.0},
            "prior_variance must be left out except with --model normal or logistic_normal, got 2",
        ),
    ],
)
def test_an_option_without_effect_is_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        option_effects.check_effect(options.Options(**chosen))


def test_options_reach_the_description(digits):
    own = options.Options(
        model="dirichlet", network="convolutional", channels=(4, 8), hidden_units=16,
        activation="tanh", head="relu",
        concentration_floor=0.3, smoothness=0.7, total_concentration=4.0, kl_weight=0.5,
        likelihood="bernoulli",
    )  # fmt: skip
    option_effects.check_effect(own)
    made = chosen.describe(chosen.resolve(own, digits), digits)
    assert made == Description(
        latent=parts.DirichletLatent(head="relu", concentration_floor=0.3),
        prior=parts.FromLabels(smoothness=0.7, total_concentration=4.0),
        likelihood=parts.Bernoulli(),
        objective=parts.Elbo(kl_weight=0.5),
        network=parts.Convolutional(channels=(4, 8), hidden_units=16, activation="tanh"),
        data_shape=(8, 8),
        latent_dim=10,
        label_names=tuple("0123456789"),
        image_shape=(8, 8),
        image_range=(0.0, 1.0),
        data_kind="images",
    )
    wide = chosen.resolve(options.Options(model="normal", prior_variance=3.0), digits)
    made = chosen.describe(wide, digits)
    assert (made.prior, made.latent_dim) == (parts.StandardNormal(variance=3.0), 2)
    assert made.likelihood == parts.NormalLikelihood() != parts.UNIT
    assert description.likelihood_of(made) != likelihoods.normal(1.0)
