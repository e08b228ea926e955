"""`jaxvae train --seeds`: runs of their own, early stopping for each, and what is done with all."""

import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxvae.apps import cli, experiments, gallery, results_table, runs
from jaxvae.apps import seeds as seeds_module
from jaxvae.apps.run_config import read_config
from jaxvae.training import run_folder
from jaxvae.training.averaging import averaged_params
from jaxvae.training.saves import load_state

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


def test_figures_of_a_run_that_was_killed_as_it_wrote(seeds, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(seeds / "seed-4", folder, ignore=shutil.ignore_patterns("figures"))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert cli.main(["figures", str(folder), "--quiet"]) == 0
    assert (folder / "figures" / "loss.png").is_file()
    capsys.readouterr()


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
    assert train(tmp_path / "a", "--seeds", "2", "--distributed", "auto") == 1
    assert "seeds must be 1 with distributed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def records(folder):
    """The lines of a run but for what is measured of time."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timed = {"seconds", "images_per_second"}
    return [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]


def same_runs(one, other):
    """Whether two folders of seeds hold the same parameters and lines, to the bit."""
    for path in run_folder.seeds_in(one):
        again = other / path.name
        assert records(again) == records(path)
        mine, theirs = (load_file(own / "params.safetensors") for own in (path, again))
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
        ends = ("epochs", "best_epoch", "test_loss", "interrupted")
        assert [summary(again)[name] for name in ends] == [summary(path)[name] for name in ends]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Two seeds as they were trained at once, and as a process left them that was ended midway."""
    folder = tmp_path_factory.mktemp("stopped")
    options = ["--seeds", "2", "--seed", "4", "--patience", "2", "--learning-rate", "0.1"]
    options += ["--epochs", "40", "--checkpoint-every", "1"]
    assert train(folder / "whole", *options) == 0
    ends = [len(records(path)) for path in run_folder.seeds_in(folder / "whole")]
    assert ends[0] != ends[1]
    add, longest = seeds_module.Lines.add, max(ends)

    def killed(self, latest):
        first = add(self, latest)
        if max(record.epoch for record in latest) == longest - 2:  # one has ended
            raise KeyboardInterrupt
        return first

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds_module.Lines, "add", killed)
        assert train(folder / "part", *options) == 130
    return folder


def test_a_seed_is_read_from_what_was_saved_of_all(stopped):
    part = stopped / "part"
    assert not list(part.rglob("params.safetensors"))
    run = runs.open_run(part / "seed-5")
    states = load_state(
        part / "checkpoints", run.vae, runs.optimizer(run.config), np.zeros((1, 64))
    )
    mine = jax.tree.leaves(run.params)
    all_ = jax.tree.leaves(averaged_params(states))
    assert all(np.array_equal(own, both[1]) for own, both in zip(mine, all_, strict=True))


@pytest.mark.parametrize("command", [["generate"], ["evaluate"]], ids=str)
def test_a_checkpoint_of_several_seeds_is_not_one_run(stopped, capsys, command):
    path = next((stopped / "part" / "checkpoints").iterdir())
    assert cli.main([*command, str(path)]) == 1
    assert "a checkpoint of several seeds" in capsys.readouterr().err


def test_seeds_that_were_killed_go_on_to_the_same_bits(stopped, tmp_path, capsys):
    shutil.copytree(stopped / "part", tmp_path / "part")
    assert cli.main(["train", "--resume", str(tmp_path / "part" / "seed-4")]) == 1
    assert f"resume must be {tmp_path / 'part'}" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(tmp_path / "part")]) == 0
    same_runs(stopped / "whole", tmp_path / "part")
    assert (
        summary(tmp_path / "part")["test_loss_mean"] == summary(stopped / "whole")["test_loss_mean"]
    )


def test_seeds_of_which_nothing_is_saved_begin_again(tmp_path, capsys):
    """They were killed in their first epoch."""
    assert train(tmp_path / "whole", "--seeds", "2", "--epochs", "1") == 0
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(tmp_path / "whole" / "seeds.json", part)
    for command in ("evaluate", "generate"):
        assert cli.main([command, str(part)]) == 1
        assert f"jaxvae train --resume {part}" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(part)]) == 0
    same_runs(tmp_path / "whole", part)
    # Of an older version, which saved no checkpoints.
    (part / "seeds.json").unlink()
    assert cli.main(["train", "--resume", str(part)]) == 1
    assert "whose seeds were trained without" in capsys.readouterr().err


def test_ctrl_c_ends_seeds_after_the_epoch(tmp_path, capsys, monkeypatch):
    """And they go on as if they had never stopped; `compare` and `figures` still see seeds."""
    options = ["--seeds", "2", "--epochs", "3", "--hold-out", "0"]
    assert train(tmp_path / "whole", *options) == 0
    add, part = seeds_module.Lines.add, tmp_path / "part"

    def stop(self, latest):
        first = add(self, latest)
        if first:
            os.kill(os.getpid(), signal.SIGINT)
        return first

    with monkeypatch.context() as patch:
        patch.setattr(seeds_module.Lines, "add", stop)
        assert train(part, *options) == 130
    printed = capsys.readouterr().out
    assert "Interrupted after epoch 1. To go on:" in printed
    assert f"jaxvae train --resume {part}" in printed
    assert summary(part)["interrupted"]
    assert cli.main(["compare", str(part), "--out", str(tmp_path / "a.png")]) == 0
    assert "part seed-0 was stopped after 1 epochs" in capsys.readouterr().out
    assert cli.main(["train", "--resume", str(part)]) == 0
    same_runs(tmp_path / "whole", part)
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(part)]) == 0
    assert "Nothing was trained: the runs have all their 3 epochs." in capsys.readouterr().out
    assert cli.main(["train", "--resume", str(part), "--epochs", "4"]) == 0
    config = read_config(part / "seeds.json")
    assert (config.training.epochs, config.training.seeds) == (4, 2)
    assert [len(records(path)) for path in run_folder.seeds_in(part)] == [4, 4]
    assert read_config(part / "seed-1" / "config.json").training.epochs == 4
    assert (part / "summary.json").exists()

    def killed(self, latest):
        if not add(self, latest):
            raise KeyboardInterrupt  # in the second epoch since they went on
        return True

    monkeypatch.setattr(seeds_module.Lines, "add", killed)
    assert cli.main(["train", "--resume", str(part), "--epochs", "6"]) == 130
    assert not list(part.rglob("summary.json"))  # it was of parameters that are no more


def test_early_stopping_has_the_last_word(stopped, tmp_path, capsys):
    """Nothing is trained without a word; more patience goes on."""
    folder = tmp_path / "one"
    options = ["--seed", "5", "--patience", "2", "--learning-rate", "0.1", "--epochs", "40"]
    assert train(folder, *options) == 0
    done, before = len(records(folder)), (folder / "config.json").read_text()
    capsys.readouterr()
    resume = ["train", "--resume", str(folder)]
    assert cli.main(resume) == 0
    printed = " ".join(capsys.readouterr().out.split())
    why = f"early stopping ended the run after epoch {done}, as 2 epochs brought no lower loss"
    assert f"Nothing was trained: {why}" in printed
    assert "Going on" not in printed
    for epochs, message in (
        (400, f"epochs must be left out, got 400: {why} on the held-out examples. --patience"),
        (done - 1, f"epochs must be at least the {done} that the run has already, got {done - 1}"),
    ):
        assert cli.main([*resume, "--epochs", str(epochs)]) == 1
        assert message in capsys.readouterr().err
    assert (folder / "config.json").read_text() == before
    assert cli.main([*resume, "--patience", str(done + 1), "--epochs", str(done + 2)]) == 0
    training = read_config(folder / "config.json").training
    assert (len(records(folder)), training.epochs, training.patience) == (
        done + 2,
        done + 2,
        done + 1,
    )
    assert train(tmp_path / "none", "--hold-out", "0", "--epochs", "1") == 0
    assert cli.main(["train", "--resume", str(tmp_path / "none"), "--patience", "3"]) == 1
    assert "patience must be left out, as the run has no early stopping" in capsys.readouterr().err


def test_a_run_that_was_killed_after_its_last_epoch_is_finished(tmp_path):
    options = ["--hold-out", "0", "--epochs", "2"]
    assert train(tmp_path / "run", *options) == 0
    (tmp_path / "run" / "summary.json").unlink()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert summary(tmp_path / "run")["epochs"] == 2


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
