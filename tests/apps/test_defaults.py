"""What `jaxvae train` and `vae_for` choose where nothing is said; what is said of the result."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import jaxvae
from jaxvae import latents
from jaxvae.apps import chosen, description, results, runs
from jaxvae.apps import model_parts as parts
from jaxvae.apps.advice import advice
from jaxvae.apps.options import DataOptions, Options, TrainingOptions
from jaxvae.apps.run_config import Config, Origin, of_options
from jaxvae.data.dataset import from_arrays
from jaxvae.model.reports import CollapseReport, PartReport


def data(examples=200, width=16, labels=3):
    rng = np.random.default_rng(0)
    y = None if labels is None else np.arange(examples) % labels
    return from_arrays(rng.uniform(size=(examples, width)).astype(np.float32), y, name="own")


def resolved(own, **given):
    return chosen.resolve(Options(**given), own)


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (3, {}, {"model": "joint", "prior": "labels", "latent_dim": 3, "style_dim": 2}),
        (None, {}, {"model": "normal", "prior": None, "latent_dim": 2, "style_dim": None}),
        (None, {"model": "joint"}, {"prior": "symmetric", "latent_dim": 10, "smoothness": None}),
        (3, {"model": "dirichlet"}, {"latent_dim": 3, "smoothness": None, "style_dim": None}),
        (3, {"objective": "original"}, {"model": "dirichlet", "layers": 4, "hidden_units": 128}),
        (3, {"objective": "original"}, {"hold_out": 0.0, "patience": None, "epochs": 60}),
        (3, {"network": "convolutional"}, {"layers": None, "hidden_units": 256}),
        (3, {"style_dim": 5, "smoothness": 0.1}, {"style_dim": 5, "smoothness": 0.1}),
    ],
)
def test_the_model_follows_the_data(labels, given, expected):
    own = resolved(data(labels=labels), **given)
    assert {name: getattr(own, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("width", "style_dim", "weight", "hidden_units"),
    [(4, 2, 1.0, 256), (64, 8, 1.0, 256), (300, 32, 300 / 64, 512), (784, 32, 12.25, 512)],
)
def test_widths_follow_the_values_of_an_example(width, style_dim, weight, hidden_units):
    own = resolved(data(width=width))
    assert (own.style_dim, own.category_kl_weight) == (style_dim, weight)
    assert own.hidden_units == hidden_units


@pytest.mark.parametrize(
    ("examples", "given", "expected"),
    [
        (60, {}, (0.0, None, 60)),  # a tenth of the training examples would be too few
        (200, {}, (0.1, 134, 1334)),  # of 180, 162 are trained on, by three updates an epoch
        (200, {"batch_size": 1}, (0.1, 20, 200)),
        (200, {"epochs": 3}, (0.1, 134, 3)),
        (200, {"hold_out": 0.0}, (0.0, None, 60)),
        (60, {"patience": 5}, (0.1, 5, 4000)),
        (200, {"patience": 5}, (0.1, 5, 1334)),
    ],
)
def test_training_ends_early_where_enough_is_held_out(examples, given, expected):
    own = resolved(data(examples=examples), **given)
    assert (own.hold_out, own.patience, own.epochs) == expected


def test_of_many_examples_two_thousand_are_held_out():
    own = resolved(data(examples=50_000, width=2))
    assert own.hold_out * 45_000 == pytest.approx(2000)


def test_averaging_is_over_about_an_epoch():
    assert resolved(data(), batch_size=1).average == pytest.approx(1 - 1 / 162)
    assert resolved(data()).average == 0.9
    assert resolved(data(), average=0.0).average == 0.0
    assert resolved(data(), objective="original").average is None


def half_labelled(known, examples=200):
    own = data(examples=examples)
    count = len(own.y_train)
    y = np.where(np.arange(count) < known, own.y_train, -1).astype(np.int32)
    return own._replace(y_train=y)


@pytest.mark.parametrize(
    ("known", "given", "expected"),
    [
        (18, {}, 9.0),  # of 180: the other 162 count as much together
        (120, {}, 1.0),  # never less than an example without a label
        (180, {}, None),
        (18, {"label_weight": 2.0}, 2.0),
        (18, {"model": "dirichlet"}, 9.0),
        (18, {"prior": "symmetric"}, None),  # no label is used
        (18, {"model": "normal"}, None),
    ],
)
def test_few_labels_weigh_as_much_as_the_rest(known, given, expected):
    assert resolved(half_labelled(known), **given).label_weight == expected


@pytest.mark.parametrize("known", [18, 180])
def test_each_example_is_trained_on_by_its_weight(known):
    own = half_labelled(known)
    options = resolved(own, hold_out=0.1)
    config = of_options(chosen.describe(options, own), options, own)
    for part in runs.hold_out(config, own):
        weight = None if known == 180 else np.where(part.y < 0, 1, 9).tolist()
        assert (None if part.weight is None else part.weight.tolist()) == weight


@pytest.mark.parametrize(
    ("known", "value", "words"),
    [
        (180, 2.0, "label_weight must be left out where no label that the prior is made from is"),
        (18, 0.0, "label_weight must be"),
        (18, float("nan"), "label_weight must be"),
    ],
)
def test_a_label_weight_without_effect_or_out_of_range_is_refused(known, value, words):
    with pytest.raises(ValueError, match=words):
        resolved(half_labelled(known), label_weight=value)


def likelihood(own, **given):
    return chosen.describe(resolved(own, **given), own).likelihood


def test_few_examples_keep_a_learned_scale_large():
    rng, width = np.random.default_rng(0), 4
    x = rng.normal(5.0, 3.0, size=(200, width)).astype(np.float32)
    few = from_arrays(x, name="few")
    share = 160 / (160 + 180)  # of 200 examples 20 are for the test
    assert likelihood(few).minimum == pytest.approx(share, rel=1e-3)  # of standardised columns
    assert likelihood(few).scale == pytest.approx(1.25 * share, rel=1e-3)
    own = likelihood(few, scale="none")  # in the units of the data
    assert own.minimum == pytest.approx(share * np.std(few.x_train - few.x_train.mean(axis=0)))
    gaps = x.copy()
    gaps[::3, 0] = np.nan
    masked = likelihood(from_arrays(gaps, name="gaps", missing="mask"), missing="mask", data="a")
    assert masked.minimum == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize(
    ("examples", "given", "expected"),
    [
        (1200, {}, parts.NormalLikelihood()),
        (200, {"likelihood_scale": 0.2}, parts.NormalLikelihood(scale=0.2, learned=False)),
        (200, {"objective": "original"}, parts.UNIT),
        (200, {"likelihood": "bernoulli"}, parts.Bernoulli()),
    ],
)
def test_the_least_scale_is_for_few_examples_and_learned_scales(examples, given, expected):
    assert likelihood(data(examples=examples, labels=None), **given) == expected


def test_examples_that_are_all_alike_keep_the_usual_least_scale():
    alike = from_arrays(np.ones((50, 3), np.float32), name="alike")
    assert likelihood(alike, model="normal") == parts.NormalLikelihood()


def test_the_joint_model_is_its_composition():
    own = resolved(data())
    vae = description.build(chosen.describe(own, data()))
    assert dict(vae.parts.latent.parts).keys() == {"category", "style"}
    assert vae.parts.network.latent_shape == (("category", (3,)), ("style", (2,)))
    assert jaxvae.vae_for(data()) == vae


def test_vae_for_takes_the_options_of_the_model():
    own = data()
    vae = jaxvae.vae_for(own, model="normal", latent_dim=4, layers=1, hidden_units=8)
    assert vae.parts.network.latent_shape == (4,)
    assert vae == jaxvae.vae_for(own, model="normal", latent_dim=4, layers=1, hidden_units=8)
    x = own.x_train.copy()
    x[0, 0] = np.nan
    masked = from_arrays(x, own.y_train, name="gaps", missing="mask")
    assert jaxvae.vae_for(masked).parts.latent == vae_parts(own).latent


def vae_parts(own):
    return jaxvae.vae_for(own).parts


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"epochs": 3}, "options must be among activation, .*, got epochs"),
        ({"model": "gauss"}, "model must be one of 'joint', .*, got 'gauss'"),
        ({"latent_dim": 2}, "latent_dim must be at least 3, the number of labels, got 2"),
        ({"latent_dim": "a"}, "latent_dim must be an integer, got 'a'"),
        ({"style_dim": 0}, "style_dim must be at least 1, got 0"),
        ({"model": "normal", "style_dim": 2}, "style_dim must be left out except with"),
        ({"model": "dirichlet", "category_kl_weight": 2.0}, "category_kl_weight must be left out"),
        ({"smoothness": -1.0}, "smoothness must be finite and above 0, got -1.0"),
        ({"objective": "original", "model": "joint"}, "objective must be another for a joint"),
    ],
)
def test_vae_for_refuses(given, error):
    with pytest.raises((ValueError, TypeError), match=error):
        jaxvae.vae_for(data(), **given)


def test_vae_for_refuses_what_is_no_data_set():
    with pytest.raises(TypeError, match=r"data must be a jaxvae\.Dataset"):
        jaxvae.vae_for(np.zeros((3, 4)))


BOTH = latents.product(category=latents.dirichlet, style=latents.normal)
NORMAL = description.Description(
    latent=parts.NormalLatent(), prior=parts.StandardNormal(), data_shape=(4,), latent_dim=8
)


@pytest.mark.parametrize(
    ("latent", "reports", "said"),
    [
        (latents.normal, {"z": (8, 8, None)}, []),
        (latents.normal, {"z": (8, 4, None)}, []),
        (latents.normal, {"z": (8, 0, None)}, ["has collapsed", "--kl-weight", "--hidden-units"]),
        (latents.normal, {"z": (8, 3, None)}, ["Only 3 of 8 dimensions", "--latent-dim", "--kl-w"]),
        (latents.dirichlet, {"z": (10, 2, 10)}, []),
        (
            latents.dirichlet,
            {"z": (10, 2, 4)},
            ["Only 4 of 10 categories", "--latent-dim", "--prior-concentration"],
        ),
        (BOTH, {"category": (10, 5, 10), "style": (8, 8, None)}, []),
        (
            BOTH,
            {"category": (10, 0, 1), "style": (8, 8, None)},
            ["The category has collapsed", "--style-dim", "--model dirichlet"],
        ),
        (
            BOTH,
            {"category": (10, 5, 10), "style": (8, 2, None)},
            ["Only 2 of 8 dimensions of the style", "--style-dim", "--kl-weight"],
        ),
    ],
)
def test_a_latent_that_is_not_used_is_told_with_two_things_to_try(latent, reports, said):
    made = {
        name: PartReport(k, active, 1.0, None, use) for name, (k, active, use) in reports.items()
    }
    sentences = advice(CollapseReport(made, 0.5, ()), latent, NORMAL)
    assert len(sentences) == bool(said)
    assert all(words in sentences[0] for words in said)


@pytest.mark.parametrize(
    ("short", "kl", "said", "unsaid"),
    [
        (None, 0.01, "The latent has collapsed", "--epochs"),
        (1, 0.01, "no examples apart yet, after 1 epoch. Try more --epochs first, or", "collapsed"),
        (3, 76.9, "after 3 epochs. Its KL divergence is 76.9 nats", "--kl-weight"),
        (None, 76.9, "Its KL divergence is 76.9 nats, so it is no collapse.", "--kl-weight"),
    ],
)
def test_a_latent_is_said_to_have_collapsed_at_the_prior_and_after_training(
    short, kl, said, unsaid
):
    report = CollapseReport({"z": PartReport(8, 0, kl, None, None)}, 0.5, ())
    (sentence,) = advice(report, latents.normal, NORMAL, short=short)
    assert said in sentence
    assert unsaid not in sentence


def test_after_a_short_training_more_epochs_come_first():
    few = CollapseReport({"z": PartReport(8, 3, 1.0, None, None)}, 0.5, ())
    (sentence,) = advice(few, latents.normal, NORMAL, short=2)
    assert sentence.endswith("active. Try more --epochs first, or a smaller --latent-dim.")
    use = CollapseReport({"z": PartReport(10, 2, 1.0, None, 4)}, 0.5, ())
    (sentence,) = advice(use, latents.dirichlet, NORMAL, short=2)
    assert sentence.endswith("in use. Try more --epochs first, or a smaller --latent-dim.")


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "short"),
    [(3, 1000, 64, 3), (20, 1000, 64, None), (3, 10**6, 64, None), (None, 1000, 64, None)],
)
def test_what_is_a_short_training(epochs, examples, batch, short):
    training = TrainingOptions(epochs=epochs, batch_size=batch)
    origin = Origin(name="x", train_examples=examples, fingerprint="")
    config = Config(model=NORMAL, data=DataOptions(), training=training, origin=origin)
    assert results._short(SimpleNamespace(config=config)) == short


def test_a_given_scale_is_the_first_suspect():
    model = dataclasses.replace(NORMAL, likelihood=parts.UNIT)
    report = CollapseReport({"z": PartReport(8, 0, 0.0, None, None)}, 0.0, ())
    assert "Try to leave --likelihood-scale out" in advice(report, latents.normal, model)[0]
