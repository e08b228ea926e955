"""The last phase of a run of topics on the command line."""

import json

import jax
import numpy as np
import pytest

from jaxvae.apps import chosen, cli, runs, topic_runs
from jaxvae.apps.option_effects import check_effect
from jaxvae.apps.options import Options, check
from jaxvae.apps.topics import finishing
from jaxvae.data.batches import Batch
from jaxvae.topics import TopicModel, planted
from jaxvae.training.history import NonFiniteStepError

LONG = planted(documents=150, topics=3, words=40, length=300, random_state=3)
SHORT = planted(documents=150, topics=3, words=40, length=3, random_state=3)
MODEL = ["--network", "topics", "--latent-dim", "3", "--hidden-units", "12", "--layers", "1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, own in (("long", LONG), ("short", SHORT)):
        np.savez(folder / f"{name}.npz", data=own.counts.toarray())
    return folder


def train(files, out, *options, name="long"):
    given = ["--data", files / f"{name}.npz", "--out", out, *MODEL, *options]
    return cli.main(["train", *map(str, given)])


def params_of(folder):
    return runs.open_run(folder).params


def alike(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


@pytest.fixture(scope="module")
def without(files, tmp_path_factory):
    """A run that was told to have no such phase."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train(files, out, "--epochs", 60, "--final-rounds", 0) == 0
    return out


def test_a_run_ends_with_it(files, without, tmp_path, capsys):
    assert train(files, tmp_path / "run", "--epochs", 60, "--final-rounds", 2) == 0
    printed = capsys.readouterr().out
    assert "The decoder learns from each document's own posterior, in 2 rounds." in printed
    run, before = runs.open_run(tmp_path / "run"), params_of(without)
    alike(run.params["encoder"], before["encoder"], rtol=0)
    expected = finishing.finished(
        jax.random.key(0), run.vae, before, Batch(topic_runs.csr(run.data.x_train)),
        rounds=2, batch_size=run.config.training.batch_size, words=0.1, dispersion=1.0,
    )  # fmt: skip
    alike(run.params, expected, rtol=1e-5, atol=1e-6)
    each = [
        json.loads((path / "summary.json").read_text())["test_perplexity"]
        for path in (tmp_path / "run", without)
    ]
    assert each[0] < each[1]


def test_each_of_several_seeds_has_it(files, tmp_path):
    options = ["--epochs", 20, "--final-rounds", 1]
    assert train(files, tmp_path / "both", *options, "--seeds", 2) == 0
    assert train(files, tmp_path / "one", *options, "--seed", 1) == 0
    both = [params_of(tmp_path / "both" / f"seed-{seed}") for seed in (0, 1)]
    alike(both[1], params_of(tmp_path / "one"), rtol=2e-3, atol=2e-4)
    assert np.abs(both[0]["decoder"]["topics"] - both[1]["decoder"]["topics"]).max() > 0.01


@pytest.mark.parametrize(
    ("name", "options", "rounds"),
    [
        ("long", {}, 4),
        ("short", {}, 0),
        ("long", {"epochs": 3}, 0),  # who says how long a run is gets no more
        ("long", {"epochs": 3, "final_rounds": 2}, 2),
        ("short", {"final_rounds": 2}, 2),
    ],
)
def test_how_many_rounds(files, without, monkeypatch, name, options, rounds):
    """As many as `TopicModel` has of the same documents."""
    found = []
    monkeypatch.setattr(
        finishing,
        "finished",
        lambda key, vae, params, documents, **given: found.append(given["rounds"]) or params,
    )
    given = Options(data=files / f"{name}.npz", network="topics", latent_dim=3, **options)
    data, run = chosen.load_data(given), runs.open_run(without)
    own = chosen.resolve(given, data)
    check_effect(own)
    check(own)
    config = runs.Config(model=run.config.model, data=run.config.data, training=own)
    topic_runs.finished(config, run.vae, run.params, Batch(data.x_train))
    own = {"max_iter": options.get("epochs"), "final_rounds": options.get("final_rounds")}
    TopicModel(3, hidden_units=12, random_state=0, **own).fit(data.x_train)
    assert found == [rounds, rounds] if rounds else not found


def test_a_phase_that_fails_leaves_what_was_learned(files, without, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise NonFiniteStepError("step 3", 3, None, None)

    monkeypatch.setattr(finishing, "finished", broken)
    assert train(files, tmp_path / "run", "--epochs", 60, "--final-rounds", 2) == 1
    alike(params_of(tmp_path / "run"), params_of(without), rtol=0)
    monkeypatch.undo()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0  # and the phase comes again
    capsys.readouterr()
    topics = [params_of(path)["decoder"]["topics"] for path in (tmp_path / "run", without)]
    assert np.abs(topics[0] - topics[1]).max() > 0.01


def test_elsewhere_it_is_refused(files, tmp_path, capsys):
    assert train(files, tmp_path / "run", "--final-rounds", -1) == 1
    assert "final_rounds must be at least 0, got -1" in capsys.readouterr().err
    assert cli.main(["train", "--final-rounds", "2", "--out", str(tmp_path / "run")]) == 1
    assert "final_rounds must be left out except with --network topics" in capsys.readouterr().err
