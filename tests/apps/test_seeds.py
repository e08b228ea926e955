"""`jaxvae train --seeds`: runs of their own, early stopping for each, and what is done with all."""

import json
import re

import numpy as np
import pytest

from jaxvae.apps import cli, experiments, gallery, results_table, runs
from jaxvae.training import run_folder

SMALL = ["--model", "normal", "--layers", "1", "--hidden-units", "16", "--batch-size", "256"]


def train(out, *options):
    return cli.main(["train", "--out", str(out), *SMALL, *options])


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Three of them on two devices, which end at different epochs."""
    folder = tmp_path_factory.mktemp("runs") / "all"
    options = ["--seeds", "3", "--seed", "4", "--devices", "2", "--patience", "2"]
    assert train(folder, *options, "--learning-rate", "0.1", "--epochs", "60") == 0
    return folder


def test_each_run_ends_where_early_stopping_ends_it(seeds):
    folders = run_folder.seeds_in(seeds)
    assert [path.name for path in folders] == ["seed-4", "seed-5", "seed-6"]
    ends = []
    for path in folders:
        losses = [json.loads(line)["validation_loss"]
                  for line in (path / "metrics.jsonl").read_text().splitlines()]  # fmt: skip
        ends.append(len(losses))
        assert len(losses) - 1 - np.argmin(losses) == 2
        assert summary(path)["epochs"] == len(losses)
        assert summary(path)["best_epoch"] == np.argmin(losses) + 1
        assert runs.open_run(path).config.training.hold_out == 0.1
    assert len({*ends}) > 1
    assert max(ends) < 60
    assert (seeds / "figures" / "loss.png").is_file()


def test_a_seed_is_the_run_that_it_would_be_alone(seeds, tmp_path, monkeypatch):
    """To rounding; the same examples are held out."""
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    options = ["--seed", "5", "--patience", "2", "--learning-rate", "0.1", "--epochs", "2"]
    assert train(tmp_path / "one", *options) == 0
    assert summary(seeds / "seed-5")["seed"] == 5
    for name in ("loss", "validation_loss"):
        alone, together = (
            [json.loads(line)[name] for line in (path / "metrics.jsonl").read_text().splitlines()]
            for path in (tmp_path / "one", seeds / "seed-5")
        )
        assert together[:2] == pytest.approx(alone, rel=1e-4)


def test_the_summary_has_means_and_standard_deviations(seeds):
    spread = summary(seeds)
    losses = [summary(path)["test_loss"] for path in run_folder.seeds_in(seeds)]
    assert spread["test_loss_mean"] == pytest.approx(np.mean(losses))
    assert spread["test_loss_std"] == pytest.approx(np.std(losses, ddof=1))


def test_evaluate_prints_means_and_standard_deviations(seeds, capsys):
    assert cli.main(["evaluate", str(seeds)]) == 0
    printed, spread = capsys.readouterr().out, summary(seeds)
    assert printed.startswith("3 runs: seed-4, seed-5, seed-6\n")
    rows = dict(re.findall(r"^  (\S.*?)  +(\S+ +\S+)(?: .*)?$", printed, re.MULTILINE))
    for label, name in (
        ("loss (negative ELBO)", "test_loss"),
        ("KL divergence", "test_kl"),
        ("reconstruction error (RMSE)", "test_rmse"),
    ):
        mean, deviation = map(float, rows[label].split())
        assert mean == pytest.approx(spread[f"{name}_mean"], abs=1e-4)
        assert deviation == pytest.approx(spread[f"{name}_std"], abs=1e-4)


def test_figures_draws_each_run_and_the_curves_of_all(seeds, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(gallery, "draw", lambda run: drawn.append(run.folder.name))
    (seeds / "figures" / "loss.png").unlink()
    assert cli.main(["figures", str(seeds), "--quiet"]) == 0
    assert drawn == ["seed-4", "seed-5", "seed-6"]
    assert (seeds / "figures" / "loss.png").is_file()
    assert capsys.readouterr().out.split() == [
        str(path / "figures") for path in run_folder.seeds_in(seeds)
    ]


@pytest.mark.parametrize(
    "command", [["generate"], ["interpolate", "--examples", "0", "1"]], ids=str
)
def test_what_needs_one_run_says_so(seeds, capsys, command):
    name, *rest = command
    assert cli.main([name, str(seeds), *rest]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run must be one run" in error
    assert f"take one of them, as {seeds / 'seed-4'}" in error


def test_the_curves_have_the_epochs_that_all_have(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(gallery, "draw_seeds", lambda folder, vae, own: seen.extend(own))
    experiments.draw_seeds(tmp_path, None, [[1, 2, 3], [4, 5], [6, 7, 8, 9]])
    assert seen == [[1, 2], [4, 5], [6, 7]]


def test_what_a_run_of_seeds_has_not(tmp_path, capsys):
    for option in (["--distributed", "auto"], ["--checkpoint-every", "2"]):
        assert train(tmp_path / "a", "--seeds", "2", *option) == 1
        assert "seeds must be 1 with" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def numbers(loss, **more):
    own = {"test_loss": loss, "test_nelbo": loss, "test_reconstruction": loss, "test_kl": loss}
    own |= {"test_rmse": abs(loss), "baseline_rmse": abs(loss), "test_accuracy": 0.5}
    for part, kind in (("category", "in_use"), ("style", "active")):
        own |= {f"{part}_dimensions": 10, f"{part}_kl": loss, f"{part}_{kind}": 9}
    return own | {"notes": []} | more


@pytest.mark.parametrize("loss", [1.0, -1e5, 1e12, 3e-9])
@pytest.mark.parametrize("count", [1, 8])
def test_a_table_is_aligned_and_has_80_columns(capsys, loss, count):
    results_table.show(*[numbers(loss)] * count)
    _, *rows = capsys.readouterr().out.splitlines()
    assert max(map(len, rows)) <= 80
    label = len("active dimensions of the style")  # the longest
    for stop in (2 + label + 2 + 11, 2 + label + 2 * (2 + 11))[: min(count, 2)]:
        assert all(row[stop - 1] != " " and row[stop : stop + 1] in ("", " ") for row in rows)
    names = [row[2 : 2 + label].strip() for row in rows]
    assert names[3:5] == ["KL divergence of the category", "KL divergence of the style"]
    assert names[-2:] == ["categories in use", "active dimensions of the style"]


def test_a_loss_that_is_no_bound_has_a_row_of_its_own(capsys):
    results_table.show(numbers(1.0, test_nelbo=2.0))
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "  loss                                 1.0000 nats",
        "  negative ELBO                        2.0000 nats",
    ]
    results_table.show(numbers(1.0, test_nelbo=None, test_rmse=None, test_accuracy=None))
    printed = capsys.readouterr().out
    assert "  loss, in the original's units" in printed
    assert not {"nats", "RMSE", "accuracy"} & {*re.findall(r"\w+", printed)}


def test_notes_name_the_run_where_there_are_several(capsys):
    results_table.show_notes({"a": {"notes": ["Try more."]}, "b": {"notes": []}})
    results_table.show_notes({"a": {"notes": ["Try more."]}})
    results_table.show_notes({"a": {}})
    assert capsys.readouterr().out == "a: Try more.\nTry more.\n"
