"""Values as JSON and back: all public ones, what is refused, and that a file runs no code."""

import functools
import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import latents, likelihoods, models, networks, objectives, priors, transforms
from jaxvae.model import public_names
from jaxvae.model.portable import from_json, to_json

SMALL = {"layers": 1, "hidden_units": 8}
BOTH = latents.product(category=latents.dirichlet, style=latents.normal)
HEADS = {"style": networks.NormalHead(2), "category": networks.DirichletHead(3, 0.2)}
TRUNK = networks.MLP(1, 8, nn.relu)
VALUES = {
    # latents
    "normal": latents.normal,
    "logistic_normal": latents.logistic_normal,
    "dirichlet": latents.dirichlet,
    "dirichlet_with": latents.dirichlet_with("gamma"),
    "stick_breaking": latents.stick_breaking,
    "concrete": latents.concrete(0.3),
    "product of latents": BOTH,
    # priors
    "standard_normal": priors.standard_normal(2.0),
    "symmetric": priors.symmetric(np.float32(0.1)),
    "from_labels": priors.from_labels(missing=True),
    "from_labels, learned": priors.from_labels(smoothness=0.1, frequencies="learned", missing=None),
    "from_labels, frequencies": priors.from_labels(frequencies=np.array([0.1, 0.2, 0.7])),
    "from_labels, a list": priors.from_labels(frequencies=[1, 2.0, 3]),
    "learned": priors.learned(priors.standard_normal()),
    "mixture": priors.mixture(latents.logistic_normal, 3, of="members"),
    "in_family": priors.in_family(latents.normal, jax.nn.relu),
    "product of priors": priors.product(
        category=priors.from_labels(),
        style=priors.learned(priors.standard_normal(3)),
        other=priors.mixture(latents.concrete(jnp.float32(0.1))),
    ),
    "label_prior": jaxvae.label_prior(smoothness=0.25),
    "symmetric_prior": jaxvae.symmetric_prior(2.0),
    "DirichletPrior": models.DirichletPrior(jnp.maximum, True),
    # likelihoods
    "likelihoods.normal": likelihoods.normal(0.1, learned=True, per_dimension=True, minimum=1e-4),
    "bernoulli": likelihoods.bernoulli(),
    "poisson": likelihoods.poisson(),
    "poisson of totals": likelihoods.poisson(totals=True),
    "negative_binomial": likelihoods.negative_binomial(0.7, learned=False, per_dimension=False),
    "negative_binomial of totals": likelihoods.negative_binomial(totals=True),
    "multinomial": likelihoods.multinomial("probabilities"),
    "dirichlet_multinomial": likelihoods.dirichlet_multinomial(
        3.5, learned=False, of="log_probabilities"
    ),
    "categorical": likelihoods.categorical(),
    # objectives
    "elbo": objectives.elbo(0.1, 0.2, 3, "stl"),
    "elbo by part": objectives.elbo({"style": 0.5, "category": 1}),
    "iwae": objectives.iwae(5, "dreg"),
    # networks
    "dense_normal_network": jaxvae.dense_normal_network(
        [4, 4], 2, activation=jax.nn.gelu, dtype=jnp.bfloat16, **SMALL
    ),
    "dense_dirichlet_network": jaxvae.dense_dirichlet_network(
        16, 3, head="relu", concentration_floor=0.3, dtype="bfloat16", **SMALL
    ),
    "dense_network": networks.dense_network((4, 4), networks.LogitsHead(3), activation=jnp.tanh),
    "dense_network of heads": networks.dense_network(16, HEADS, **SMALL),
    "an activation with an argument": networks.dense_network(
        16, HEADS, activation=functools.partial(nn.leaky_relu, negative_slope=0.1)
    ),
    "a dtype": networks.dense_network(16, HEADS, dtype=np.dtype(jnp.bfloat16)),
    "NumPy's dtype": networks.dense_network(16, HEADS, dtype=np.float16),
    "convolutional_normal_network": networks.convolutional_normal_network(
        (8, 8, 1), 2, channels=(2, 3), hidden_units=8
    ),
    "convolutional_dirichlet_network": networks.convolutional_dirichlet_network(
        (8, 8), 3, channels=[2], activation="elu"
    ),
    "convolutional_network": networks.convolutional_network(
        (8, 8), networks.KumaraswamyHead(3), channels=(2,)
    ),
    "flax_network": jaxvae.flax_network(
        networks.Encoder(networks.NormalHead(2), TRUNK), networks.Decoder(16, TRUNK)
    ),
    "flax_network of Flax's": jaxvae.flax_network(
        nn.Sequential((nn.Dense(8, name="below"), nn.tanh, networks.NormalHead(2))),
        nn.Sequential((nn.Dense(8, dtype=jnp.bfloat16), nn.Dropout(0.5), nn.Dense(16))),
    ),
    "flax_function": networks.flax_function("encoder", networks.NormalEncoder(2, TRUNK)),
    "of_counts": networks.of_counts(jaxvae.dense_normal_network(16, 2, **SMALL)),
    "of_counts, frequencies": networks.of_counts(
        jaxvae.dense_normal_network(16, 2, **SMALL), show="frequencies"
    ),
    "of_counts, residuals": networks.of_counts(
        jaxvae.dense_normal_network(2, 2, **SMALL), show="residuals", background=np.array([0.3, 2])
    ),
    "scaled_parts": networks.scaled_parts(
        networks.dense_network(16, HEADS, **SMALL), category=5, style=0.5
    ),
    "centred": networks.centred(
        networks.dense_network(16, HEADS, **SMALL), part="style", on="category", rate=2
    ),
    **{
        f"topic_network, {decoder}": networks.topic_network(
            16, 3, decoder=decoder, hidden_units=4, background=np.arange(1, 17)
        )
        for decoder in ("hybrid", "mixture", "product")
    },
    "seeded": networks.seeded(networks.topic_network(16, 3), np.eye(3, 16, dtype=np.float32)),
    "topic modules": jaxvae.flax_network(
        networks.Encoder(networks.NormalizedDirichletHead(3, 0.1), TRUNK),
        networks.ProductDecoder(16),
    ),
    "more topic modules": networks.join(
        networks.flax_function("encoder", networks.HybridDecoder(3)),
        networks.flax_function("decoder", networks.MixtureDecoder(16)),
    ),
    "join": networks.join(
        networks.flax_function("encoder", networks.DirichletEncoder(3, TRUNK, nn.softplus, 0.1)),
        networks.flax_function(
            "decoder", networks.ConvolutionalDecoder((4, 4, 1), (2,), 8, nn.relu)
        ),
    ),
    # transforms
    "identity": transforms.identity(),
    "divided_by": transforms.divided_by(255),
    "arcsinh": transforms.arcsinh(0.1, np.array([0.3, 2.0])),
    "standardized": transforms.standardized(
        np.array([0.1, np.pi, -0.0]), jnp.array([0.1, 1e-30, 3.0])
    ),
    # models
    "bind": jaxvae.bind(
        networks.dense_network(16, HEADS, **SMALL),
        BOTH,
        priors.product(category=priors.from_labels(), style=priors.standard_normal()),
        likelihoods.multinomial(),
        objectives.elbo({"category": 2.0}),
        transform=transforms.divided_by(4.0),
    ),
    "normal_vae": jaxvae.normal_vae(jaxvae.dense_normal_network(16, 2), likelihood="bernoulli"),
    "normal_vae, original": jaxvae.normal_vae(
        jaxvae.dense_normal_network(16, 2), prior_variance=3, objective="original"
    ),
    "dirichlet_vae": jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(16, 3), prior=priors.symmetric(), kl_weight=0.5
    ),
    "dirichlet_vae, original": jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(16, 3), objective="original", gradient="gamma"
    ),
}
PLAIN = {
    "numbers": [0, -1, 2**70, 0.1, -0.0, 5e-324, True, None, "text é", [], (), {}],
    "not finite": (float("inf"), -float("inf")),
    "nested": {"a": (1, [2, (3,)]), 4: {"b": None}, (5, 6): "c"},
    "in the order of a dict": {"b": 1, "a": 2},
}
ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array([np.nan, -np.inf, -0.0, 5e-324]),
    np.array([0.1, np.nan], jnp.bfloat16),
    np.array([1.5, 2], ">f4"),
    np.zeros((0, 3), np.int8),
    np.array(True),
    np.float64(0.1),
    np.asarray(np.ones((3, 2)).T),
    jnp.array([0.1, 1e-45]),
    jnp.bfloat16(3),
    jnp.array(7, jnp.uint8),
]


def through(value):
    """What another process reads; with the keys of each object in another order."""
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


@pytest.mark.parametrize("name", VALUES)
def test_there_and_back(name):
    value = VALUES[name]
    again = through(value)
    assert type(again) is type(value)
    assert again == value
    assert hash(again) == hash(value)
    assert to_json(again) == to_json(value)


def test_every_public_constructor_and_value_is_among_them():
    written = json.dumps([to_json(value) for value in VALUES.values()])
    used = set(re.findall(r'"(?:make|name)": "([a-z]+\.[A-Za-z_]+)"', written))
    own = {
        name
        for name, thing in public_names._public().items()
        if name.partition(".")[0] in public_names.DOORS
        if not isinstance(thing, type) or issubclass(thing, nn.Module)
    }
    # Of a function of the user's; and a module that is a part of a network's.
    apart = {"likelihoods.distribution", "networks.ConvolutionalTrunk"}
    assert own - used == apart


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_there_and_back(name):
    value = PLAIN[name]
    again = through(value)
    assert repr(again) == repr(value)  # which tells -0.0 from 0, 1 from True, the order of a dict


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{type(a).__name__} {a.dtype} {a.shape}")
def test_arrays_there_and_back(array):
    again = through(array)
    assert type(again) is type(array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert np.asarray(again).tobytes() == np.asarray(array).tobytes()


def test_a_schedule_is_written_as_the_weight_that_it_stands_for():
    rise = optax.linear_schedule(0.0, 1.0, 100)
    assert through(objectives.elbo(rise, draws=2)) == objectives.elbo(1.0, draws=2)
    each = objectives.elbo({"style": rise, "category": 0.5})
    assert through(each) == objectives.elbo({"style": 1.0, "category": 0.5})
    network = jaxvae.dense_normal_network(16, 2)
    assert through(jaxvae.normal_vae(network, kl_weight=rise)) == jaxvae.normal_vae(network)


# --- what the user registers


class Own(nn.Module):
    width: int
    activation: object = nn.relu
    scale: float = 1.0

    @nn.compact
    def __call__(self, x):
        return self.activation(nn.Dense(self.width)(x)) * self.scale


def squashed(x):
    return x / (1 + jnp.abs(x))


def other(x):
    return x


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(public_names, "_registered", {})


def own_latent():
    return latents.Latent(squashed, other, support="sphere")


@pytest.mark.parametrize(
    ("register", "make", "message"),
    [
        (
            {"squashed": squashed},
            lambda: jaxvae.dense_normal_network(6, 2, activation=squashed),
            r"activation of dense_normal_network must be registered to be saved, "
            r"`jaxvae.register\(name, function\)`, or save the parameters alone, got <function squ",
        ),
        (
            {"own": Own},
            lambda: jaxvae.flax_network(Own(4, scale=0.1), networks.Decoder(16, TRUNK)),
            r"encoder of flax_network must be registered .*`jaxvae.register\(name, Own\)`",
        ),
        (
            {"own": Own, "squashed": squashed},
            lambda: jaxvae.flax_network(networks.Decoder(16, TRUNK), Own(4, squashed)),
            "decoder of flax_network must be registered",
        ),
        (
            {"make": squashed},
            lambda: likelihoods.distribution(squashed),
            "make of distribution must be registered",
        ),
        (
            {"of labels": squashed},
            lambda: priors.in_family(latents.normal, squashed),
            "parameters of in_family must be registered",
        ),
        (
            {"sample": squashed, "log_prob": other},
            own_latent,
            "sample of Latent must be registered",
        ),
        ({"sphere": own_latent()}, own_latent, "sample of Latent must be registered"),
        (
            {"slope": squashed},
            lambda: jaxvae.dense_normal_network(6, 2, activation=functools.partial(squashed)),
            "activation of dense_normal_network must be registered",
        ),
    ],
)
def test_what_is_registered_is_saved_and_else_refused_by_name(register, make, message):
    value = make()
    with pytest.raises(TypeError, match=message):
        to_json(value)
    for name, thing in register.items():
        assert jaxvae.register(name, thing) is thing
    text = json.dumps(to_json(value))
    assert from_json(json.loads(text)) == value
    public_names._registered.clear()
    with pytest.raises(
        ValueError, match=f"registered .* before the model is loaded, got '{'|'.join(register)}'"
    ):
        from_json(json.loads(text))


def test_a_name_stands_for_one_thing():
    jaxvae.register("mine", squashed)
    jaxvae.register("mine", squashed)
    with pytest.raises(ValueError, match="name must be free, got 'mine', which is <function squ"):
        jaxvae.register("mine", other)
    first, second = (lambda x: x), (lambda x: -x)
    jaxvae.register("local", first)
    with pytest.raises(ValueError, match="name must be free"):
        jaxvae.register("local", second)
    jaxvae.register("sphere", own_latent())
    jaxvae.register("sphere", own_latent())


def test_a_cell_that_is_run_again_registers_anew():
    spaces = [{"__name__": "notebook"} for _ in range(2)]
    for space in spaces:
        exec("def net(x): return x", space)
        jaxvae.register("net", space["net"])
    assert to_json(spaces[1]["net"]) == {"name": "net"}


@pytest.mark.parametrize(
    ("name", "thing", "error", "message"),
    [
        ("latents.normal", squashed, ValueError, "begins with none of latents, .* got 'latents.no"),
        ("jax.nn.relu", squashed, ValueError, "begins with none of"),
        ("", squashed, ValueError, "name must be one of your own"),
        (3, squashed, TypeError, "name must be a string, got 3"),
        ("mine", 3, TypeError, "thing must be a function, a Flax module class or a value"),
    ],
)
def test_what_cannot_be_registered(name, thing, error, message):
    with pytest.raises(error, match=message):
        jaxvae.register(name, thing)


# --- what is refused


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: latents.normal._replace(mean=jax.nn.relu), "must be as _normal made it"),
        (lambda: {"a": [object()]}, r"model\['a'\]\[0\] must be a number, a text, an array"),
        (lambda: np.array(["a"]), "model must hold numbers to be saved"),
        (lambda: np.array([None]), "model must hold numbers to be saved"),
        (lambda: jax.random.key(0), "model must hold numbers to be saved"),
        (lambda: np.array(3, "m8[s]"), "model must hold numbers to be saved"),
        (lambda: jnp.load, "model must be registered"),
        (lambda: nn.initializers.glorot_uniform(), "model must be registered"),
        (lambda: 1j, "model must be a number"),
        (lambda: b"bytes", "model must be a number"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(value, message):
    with pytest.raises(TypeError, match=message):
        to_json(value())


def test_a_value_inside_compiled_code_is_refused():
    @jax.jit
    def written(variance):
        to_json(priors.standard_normal(variance))

    with pytest.raises(TypeError, match="variance of standard_normal must be known to be saved"):
        written(1.0)


MAKE = {"make": "priors.symmetric", "with": {}}
ARRAY = to_json(np.ones(2, np.float32))


@pytest.mark.parametrize(
    "value",
    [
        *(
            {"make": name, "with": {}}
            for name in (
                "os.system", "builtins.eval", "jaxvae.fit", "jax.nn.relu", "jax.numpy.exp",
                "latents.normal", "models.VAE.__new__", "networks.MLP.apply", "flax.linen.Module",
                "priors.mixture.__globals__", "flax.linen.jit", "jax.numpy.load", "", None, 3,
                ["priors.symmetric"],
            )
        ),
        *({"name": name} for name in ("os.system", "jax.numpy.load", "jax.jit", "", None, [], {})),
        {"make": "priors.symmetric"},
        {"make": "priors.symmetric", "with": []},
        {"make": "priors.symmetric", "with": {"depth": 1}},
        {"make": "priors.symmetric", "with": {"concentration": -1}},
        {"make": "priors.mixture", "with": {"latent": MAKE}},
        {"make": "latents.product", "with": {"a": 3, "b": 4}},
        {"make": "networks.dense_network", "with": {"data_dim": 3, "head": "x"}},
        {"make": "networks.NormalHead", "with": {"latent_dim": 3, "parent": 4}},
        {"make": "models.VAE", "with": {}},
        {"make": "priors.symmetric", "with": {}, "then": 3},
        {"partial": {"name": "jax.nn.relu"}, "args": 3, "with": {}},
        {"partial": 3, "args": [], "with": {}},
        {"partial": {"name": "os.system"}, "args": ["ls"], "with": {}},
        {},
        {"__reduce__": 3},
        {"tuple": 3},
        {"dict": [[1, 2, 3]]},
        {"dict": [[[], 2]]},
        {"float": "1e400"},
        {"dtype": "O"},
        {"dtype": "S3"},
        {"dtype": "f4,f4"},
        {"dtype": 3},
        ARRAY | {"dtype": "O"},
        ARRAY | {"dtype": "float64"},
        ARRAY | {"shape": [2**62, 2**62]},
        ARRAY | {"shape": [-2, -1]},
        ARRAY | {"shape": 2},
        ARRAY | {"array": "?"},
        ARRAY | {"array": 3},
        ARRAY | {"of": "torch"},
        ARRAY | {"of": "jax", "dtype": "float64", "shape": [1]},
        object(),
    ],
)  # fmt: skip
def test_what_is_unknown_is_one_error(value):
    for place in (value, [{"dict": [["a", value]]}]):
        with pytest.raises(ValueError, match=r"\w"):
            from_json(place)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"tuple": [v]}], ids=["list", "tuple"])
def test_what_is_nested_too_deeply_is_refused(wrap):
    with pytest.raises(ValueError, match="must not be nested so deeply"):
        from_json(functools.reduce(lambda inner, _: wrap(inner), range(5000), 1))
