"""Runs that the first version wrote, in tests/data/runs_0.1: all that is done with a run works."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import results_of
from jaxvae import estimators, likelihoods
from jaxvae.apps import cli, results, runs
from jaxvae.apps import model_parts as parts

FOLDER = Path(__file__).parents[1] / "data" / "runs_0.1"


@pytest.fixture(params=["normal", "dirichlet"])
def name(request):
    return request.param


@pytest.fixture
def first(name, tmp_path):
    """A copy of one of them."""
    return Path(shutil.copytree(FOLDER / name, tmp_path / "run"))


def read(path):
    return json.loads(path.read_text())


def test_it_evaluates_to_what_its_summary_says(name, capsys):
    folder = FOLDER / name
    summary = read(folder / "summary.json")
    found = results.test_metrics(runs.open_run(folder))
    for result in ("test_loss", "test_reconstruction", "test_kl", "test_accuracy"):
        wanted = summary[result]
        assert found[result] == (None if wanted is None else pytest.approx(wanted, rel=1e-6))
    assert cli.main(["evaluate", str(folder)]) == 0
    shown = results_of(capsys.readouterr().out)
    (loss,) = [value for name, value in shown.items() if name.startswith("loss")]
    assert loss == pytest.approx(summary["test_loss"], abs=1e-4)


def test_its_likelihood_has_unit_variance(name):
    run = runs.open_run(FOLDER / name)
    assert run.config.model.likelihood == parts.UNIT
    assert run.vae.parts.likelihood == likelihoods.normal(1.0)
    assert "likelihood" not in run.params
    assert run.config.training.average == {"normal": None, "dirichlet": 0.9}[name]
    assert run.config.training.hold_out == 0.1


def test_its_checkpoints_are_read(name):
    last = sorted((FOLDER / name / "checkpoints").iterdir())[-1]
    a, b = (runs.open_run(path).params for path in (FOLDER / name, last))
    np.testing.assert_array_equal(
        a["decoder"]["decoded"]["kernel"], b["decoder"]["decoded"]["kernel"]
    )


def test_figures_generate_encode_interpolate(name, first, tmp_path, digits):
    assert cli.main(["figures", str(first)]) == 0
    drawn = {path.name for path in (first / "figures").iterdir()}
    assert {"latent.png", "reconstructions.png", "generated.png", "loss.png"} <= drawn
    assert ("corners.png" in drawn) == (name == "dirichlet")
    np.save(tmp_path / "x.npy", digits.x_test[:5])
    commands = {
        "generate": ["--count", "4"],
        "interpolate": ["--examples", "0", "1"],
        "encode": [str(tmp_path / "x.npy")],
    }
    for command, options in commands.items():
        out = ["--out", str(tmp_path / f"{command}.npz")]
        assert cli.main([command, str(first), *options, *out]) == 0
    with np.load(tmp_path / "encode.npz") as arrays:
        assert (
            set(arrays)
            == {
                "normal": {"id", "loc", "scale"},
                "dirichlet": {"id", "category", "name", "mean", "concentration"},
            }[name]
        )
    with np.load(tmp_path / "generate.npz") as arrays:
        assert arrays["x"].shape == (4, 8, 8)


def test_it_goes_on(first):
    """Two epochs more, of the same model: the first two stay as they are."""
    before = (first / "metrics.jsonl").read_text()
    assert cli.main(["train", "--resume", str(first), "--epochs", "4"]) == 0
    lines = (first / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert [json.loads(line)["loss"] for line in lines[:2]] == [
        json.loads(line)["loss"] for line in before.splitlines()
    ]
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses == sorted(losses, reverse=True)
    run, summary = runs.open_run(first), read(first / "summary.json")
    assert run.config.model.likelihood == parts.UNIT  # the new config.json says so
    assert read(first / "config.json")["model"]["likelihood"]["scale"] == 1.0
    assert summary["epochs"] == run.config.training.epochs == 4


@pytest.fixture(scope="module")
def values():
    return pickle.loads((FOLDER / "values.pkl").read_bytes())


@pytest.mark.filterwarnings("ignore:Trying to unpickle")
def test_a_pickled_estimator_of_the_first_version(values):
    estimator, x = values["estimator"], values["estimator_x"]
    np.testing.assert_allclose(estimator.transform(x), values["estimator_transformed"], rtol=1e-5)
    assert estimator._model.likelihood == parts.UNIT
    assert np.isfinite(estimator.score(x))
    again = pickle.loads(pickle.dumps(estimator))
    assert again._model == estimator._model
    np.testing.assert_array_equal(again.transform(x), estimator.transform(x))
    # It goes on with the likelihood that it had, which by name is another now.
    with pytest.raises(ValueError, match="likelihood must stay what it was where training goes on"):
        again.partial_fit(x)
    losses = list(again.loss_curve_)
    again.set_params(likelihood=likelihoods.normal(1.0)).partial_fit(x)
    assert again.loss_curve_[:-1] == losses


@pytest.mark.parametrize("prior", ["normal", "symmetric", "labels"])
def test_each_model_that_it_pickled(prior):
    """Its class makes a description of the values; the name is what pickles call."""
    options = (0.25, 6.0) if prior == "labels" else (0.5,)
    made = estimators._Model(12, 3, prior, options, 2, 8, "tanh", "bernoulli", 0.5)
    wanted = {
        "normal": (parts.NormalLatent(), parts.StandardNormal(variance=0.5)),
        "symmetric": (parts.DirichletLatent(), parts.Symmetric(concentration=0.5)),
        "labels": (
            parts.DirichletLatent(),
            parts.FromLabels(smoothness=0.25, total_concentration=6.0),
        ),
    }
    assert (made.latent, made.prior) == wanted[prior]
    assert made.network == parts.Dense(layers=2, hidden_units=8, activation="tanh")
    assert (made.likelihood, made.objective) == (parts.Bernoulli(), parts.Elbo(kl_weight=0.5))
    assert (made.data_shape, made.latent_dim, made.jaxvae) == ((12,), 3, "0.1.0")
