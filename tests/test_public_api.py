"""The promised names, their signatures and their docstrings."""

import inspect
import re

import pytest

import jaxvae
from jaxvae import (
    _checks,
    checkpoints,
    cli,
    compat,
    datasets,
    distributions,
    ensembles,
    estimators,
    evaluation,
    experiments,
    figures,
    gallery,
    models,
    networks,
    objectives,
    parallel,
    revival,
    runs,
    steps,
    streaming,
    training,
)

PROMISED = {
    "sample_normal": "(key, loc, scale)",
    "sample_log_gamma": "(key, concentration, *, method)",
    "log_gamma_grad": "(concentration, log_x)",
    "sample_dirichlet": "(key, concentration, *, method)",
    "kl_normal": "(loc, scale, *, prior_variance)",
    "kl_dirichlet": "(concentration, prior_concentration)",
    "normal_vae": "(network, *, prior_variance, likelihood, objective, kl_weight)",
    "dirichlet_vae": "(network, *, prior, likelihood, objective, kl_weight)",
    "init_state": "(key, vae, optimizer, x)",
    "make_train_step": "(vae, optimizer, *, axis_name)",
    "make_train_epoch": "(vae, optimizer, *, batch_size, skip_non_finite)",
    "pmap_train_step": "(vae, optimizer, *, devices)",
    "pmap_train_epoch": "(vae, optimizer, *, batch_size, devices)",
    "fit": (
        "(key, vae, x, y, *, batch_size, epochs, optimizer, state, devices, validation, patience, "
        "on_non_finite, checkpoint_dir, checkpoint_every, keep, progress, on_epoch)"
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
    "Network": ("init", "encode", "decode"),
    "VAE": ("init", "encode", "decode", "loss", "sample_prior", "check_data"),
    "Batch": ("x", "y", "weight", "position"),
    "LossTerms": ("reconstruction", "kl"),
    "TrainState": ("step", "params", "opt_state"),
}
PUBLIC = [getattr(jaxvae, name) for name in jaxvae.__all__ if name[0] != "_"]
MODULES = (
    checkpoints,
    compat,
    datasets,
    distributions,
    ensembles,
    estimators,
    evaluation,
    experiments,
    figures,
    gallery,
    models,
    networks,
    objectives,
    parallel,
    revival,
    runs,
    steps,
    streaming,
    training,
)
FUNCTIONS = [
    function
    for module in MODULES
    for name, function in vars(module).items()
    if inspect.isfunction(function) and name[0] != "_" and function.__module__ == module.__name__
]


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


def test_every_public_class_is_documented():
    for thing in PUBLIC:
        if inspect.isclass(thing):
            assert thing.__doc__
            for field in getattr(thing, "_fields", ()):
                assert f"{field}:" in thing.__doc__ or f"{field}," in thing.__doc__, (thing, field)


def test_modules_say_what_they_do():
    for module in (jaxvae, _checks, cli, *MODULES):
        assert module.__doc__
