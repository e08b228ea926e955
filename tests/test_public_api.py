"""The promised names, their signatures and their docstrings."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import jax
import pytest

import jaxvae
from jaxvae import compat
from jaxvae.numerics import checks

PROMISED = {
    "sample_normal": "(key, loc, scale)",
    "sample_log_gamma": "(key, concentration, *, method)",
    "log_gamma_grad": "(concentration, log_x)",
    "sample_dirichlet": "(key, concentration, *, method, gradient)",
    "sample_log_dirichlet": "(key, concentration, *, method, gradient)",
    "kl_normal": "(loc, scale, *, prior_variance)",
    "kl_dirichlet": "(concentration, prior_concentration)",
    "bind": "(network, latent, prior, likelihood, objective, *, transform)",
    "normal_vae": (
        "(network, *, prior_variance, prior, likelihood, objective, kl_weight, transform)"
    ),
    "dirichlet_vae": "(network, *, prior, likelihood, objective, kl_weight, gradient, transform)",
    "init_state": "(key, vae, optimizer, x)",
    "make_train_step": "(vae, optimizer, *, axis_name)",
    "make_train_epoch": "(vae, optimizer, *, batch_size, skip_non_finite)",
    "pmap_train_step": "(vae, optimizer, *, devices)",
    "pmap_train_epoch": "(vae, optimizer, *, batch_size, devices)",
    "fit": (
        "(key, vae, x, y, *, weight, condition, mask, batch_size, epochs, optimizer, state, "
        "devices, validation, patience, on_non_finite, checkpoints, checkpoint_dir, "
        "checkpoint_every, keep, metrics, keep_compiled, progress, on_epoch)"
    ),
    "fit_many": (
        "(keys, make, x, y, *, weight, condition, mask, batch_size, epochs, optimizer, "
        "hyperparams, state, devices, validation, patience, on_non_finite, checkpoints, "
        "checkpoint_dir, checkpoint_every, keep, metrics, keep_compiled, progress, on_epoch)"
    ),
}
COMPAT = {
    "VAE": "(encoder, decoder, C)",
    "DIRICHLET_VAE": (
        "(encoder, decoder, smoothness, categories, alpha_smoothing, label_smoothing)"
    ),
    "dense_encoder_decoder": "(data_dim, latent_dim, layers, hidden_units, activation)",
    "dense_encoder_decoder_dirichlet": "(data_dim, latent_dim, layers, hidden_units, activation)",
    "set_weights": "(model, source, *, prefix)",
    "get_weights": "(model)",
}
FIELDS = {
    "Network": ("init", "encode", "decode", "latent_shape"),
    "VAE": ("init", "encode", "decode", "terms", "loss", "sample_prior", "check_data", "parts"),
    "Batch": ("x", "y", "weight", "position", "condition", "mask"),
    "LossTerms": ("reconstruction", "kl", "more", "statistics"),
    "TrainState": ("step", "params", "opt_state"),
}
PUBLIC = [
    value
    for name in jaxvae.__all__
    if inspect.isfunction(value := getattr(jaxvae, name)) or inspect.isclass(value)
]
ROOT = Path(jaxvae.__file__).parent
MODULES = [
    importlib.import_module("jaxvae." + path.relative_to(ROOT).as_posix()[:-3].replace("/", "."))
    for path in sorted(ROOT.glob("*/**/*.py"))
    if path.parent.name != "numerics" or path.name == "distributions.py"  # the rest is private
    if path.name not in ("__init__.py", "keras.py")
]


def public_in(module):
    """The public functions and classes that a module defines."""
    return [
        value
        for name, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and name[0] != "_"
        and value.__module__ == module.__name__
    ]


FUNCTIONS = [
    value for module in MODULES for value in public_in(module) if inspect.isfunction(value)
]


# What is documented whole: all that these modules name. Of the others, what `jaxvae` exports.
PUBLIC_MODULES = [
    importlib.import_module(f"jaxvae.{name}")
    for name in (
        "checkpoints",
        "compat",
        "datasets",
        "estimators",
        "evaluation",
        "figures",
        "latents",
        "likelihoods",
        "models",
        "networks",
        "objectives",
        "priors",
        "revival",
        "saved_models",
        "streaming",
        "transforms",
    )
]


def named_by(module):
    """The functions and classes that a public module names."""
    return [
        value
        for name in module.__all__
        if name[0] != "_"
        if inspect.isfunction(value := getattr(module, name)) or inspect.isclass(value)
    ]


DOCUMENTED = {
    f"{module.__name__}.{thing.__qualname__}": thing
    for module in (jaxvae, *PUBLIC_MODULES)
    for thing in named_by(module)
}
# What computes, trains or loads something that others have published.
SOURCED = (
    *(
        name
        for name, thing in DOCUMENTED.items()
        if thing.__module__.startswith("jaxvae.numerics.")
    ),
    *(name for name in DOCUMENTED if re.match(r"jaxvae\.objectives\.(original|.*nll)", name)),
    "jaxvae.average_params",
    "jaxvae.compat.DIRICHLET_VAE",
    "jaxvae.compat.VAE",
    "jaxvae.compat.dense_encoder_decoder",
    "jaxvae.compat.dense_encoder_decoder_dirichlet",
    "jaxvae.datasets.load_digits",
    "jaxvae.datasets.load_mnist",
    "jaxvae.datasets.read_idx",
    "jaxvae.evaluate",
    "jaxvae.dirichlet_vae",
    "jaxvae.label_prior",
    "jaxvae.normal_vae",
    "jaxvae.symmetric_prior",
    *(f"jaxvae.latents.{name}" for name in ("concrete", "dirichlet_with")),
    *(f"jaxvae.objectives.{name}" for name in ("elbo", "iwae", "log_weight")),
    *(
        f"jaxvae.priors.{name}"
        for name in ("from_labels", "learned", "mixture", "standard_normal", "symmetric")
    ),
    "jaxvae.bind",
    "jaxvae.collapse_report",
    "jaxvae.likelihoods.dirichlet_multinomial",
    "jaxvae.likelihoods.negative_binomial",
    "jaxvae.likelihoods.normal",
    "jaxvae.marginal_nll",
    "jaxvae.dense_dirichlet_network",
    "jaxvae.dense_normal_network",
    "jaxvae.revive_dead_categories",
)
ARRAY = re.compile(r"(?!.*Callable).*\b(Array|ndarray)\b")


def names(function):
    """The signature without annotations and defaults."""
    parameters = inspect.signature(function).parameters.values()
    bare = [p.replace(annotation=p.empty, default=p.empty) for p in parameters]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize("name", PROMISED)
def test_promised_signature(name):
    assert names(getattr(jaxvae, name)) == PROMISED[name]


@pytest.mark.parametrize("name", COMPAT)
def test_signature_of_the_original(name):
    assert names(getattr(compat, name)) == COMPAT[name]


@pytest.mark.parametrize("name", FIELDS)
def test_promised_fields(name):
    assert getattr(jaxvae, name)._fields == FIELDS[name]


def test_all_is_sorted_and_complete():
    assert all(hasattr(jaxvae, name) for name in jaxvae.__all__)
    assert len(set(jaxvae.__all__)) == len(jaxvae.__all__)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_no_seed_and_no_default_key(function):
    """Keys come first, are called `key`, and have no default; nothing takes an int seed.

    Nothing but `compat.set_seed`: the original had no keys.
    """
    if function is compat.set_seed:
        return
    parameters = inspect.signature(function).parameters
    assert "seed" not in parameters
    assert "rng" not in parameters
    if "key" in parameters:
        assert next(iter(parameters)) == "key"
        assert parameters["key"].default is inspect.Parameter.empty


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_docstring_names_every_argument(function):
    text = inspect.getdoc(function) or ""
    for name in inspect.signature(function).parameters:
        assert re.search(rf"\b{name}\b", text), f"{name} is not in the docstring"
    assert (
        "Returns:" in text
        or "Yields:" in text
        or inspect.signature(function).return_annotation is None
    )


def section(text, title):
    """What stands under a title of a docstring, or None."""
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n|\n)*)", f"{text}\n", flags=re.MULTILINE)
    return found and textwrap.dedent(found[1])


def entry(text, name):
    """What a section says of one of its names."""
    found = re.search(rf"^(?:\w+, )*\**{name}(?:, \w+)*: (.*\n(?:[ ]+.*\n)*)", text, re.MULTILINE)
    return found and found[1]


def can_raise(function, seen=()):
    """Whether a function raises, checks an argument, or calls a helper of its module that does."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    if any(isinstance(node, ast.Raise) for node in nodes) or any(
        name.startswith(("checks.", "arguments.")) for name in called
    ):
        return True
    beside = vars(inspect.getmodule(function))
    helpers = {beside.get(name) for name in called if name[0] == "_"} - {function, *seen}
    return any(
        can_raise(helper, (function, *seen)) for helper in helpers if inspect.isfunction(helper)
    )


def lacks(thing):
    """What the docstring of a public function or class lacks."""
    text = inspect.getdoc(thing) or ""
    if not re.search(r"^Example:\n(?:.*\n)*? +>>> ", text, flags=re.MULTILINE):
        yield "an example that runs"
    if inspect.isclass(thing):
        made = vars(thing).get("__init__")
        written = made and str(ROOT) in made.__code__.co_filename
        if written and can_raise(made) and not section(text, "Raises"):
            yield "Raises"
        return
    signature = inspect.signature(thing)
    arguments = section(text, "Args") or ""
    for name, parameter in signature.parameters.items():
        said = entry(arguments, name)
        if said is None:
            yield f"{name} among its Args"
        # A key has no shape to state; an array's is written in brackets.
        elif name != "key" and ARRAY.match(str(parameter.annotation)) and "[" not in said:
            yield f"the shape of {name}"
    if signature.return_annotation is not None:
        returned = section(text, "Returns") or section(text, "Yields")
        if not returned:
            yield "Returns"
    if can_raise(thing) and not section(text, "Raises"):
        yield "Raises"


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_docstring_is_whole(name):
    assert list(lacks(DOCUMENTED[name])) == []


@pytest.mark.parametrize("name", SOURCED)
def test_docstring_names_its_source(name):
    assert re.search(r"^Source: \S", inspect.getdoc(DOCUMENTED[name]), flags=re.MULTILINE)


def test_what_a_docstring_lacks_is_found():
    def bare(key, x: jax.Array, y: jax.Array) -> jax.Array:
        """A line.

        Args:
          x: examples.
        """
        raise ValueError(x)

    assert list(lacks(bare)) == [
        "an example that runs",
        "key among its Args",
        "the shape of x",
        "y among its Args",
        "Returns",
        "Raises",
    ]


def test_the_api_reference_has_every_public_name():
    folder = Path(__file__).parents[1] / "docs" / "api"
    text = "".join(page.read_text() for page in folder.glob("*.md"))
    shown = set(re.findall(r"^\.\. auto\w+:: jaxvae\.(\w+)$", text, flags=re.MULTILINE))
    whole = set(re.findall(r"^\.\. automodule:: (\S+)\n   :members:", text, flags=re.MULTILINE))
    left_out = {
        name for line in re.findall(r":exclude-members: (.*)", text) for name in line.split(", ")
    }
    assert whole >= {module.__name__ for module in PUBLIC_MODULES}
    assert shown >= left_out
    behind = {name for door in whole for name in importlib.import_module(door).__all__}
    assert shown | behind >= {thing.__name__ for thing in PUBLIC}


def test_every_public_class_is_documented():
    for thing in DOCUMENTED.values():
        if inspect.isclass(thing):
            assert thing.__doc__
            for field in getattr(thing, "_fields", ()):
                assert f"{field}:" in thing.__doc__ or f"{field}," in thing.__doc__, (thing, field)


def test_modules_say_what_they_do():
    for module in (jaxvae, checks, *MODULES):
        assert module.__doc__
