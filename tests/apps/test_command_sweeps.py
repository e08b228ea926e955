"""Sweeps: which options may have several values, how their runs are trained, which is the best."""

import contextlib
import functools
import json
import signal

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxvae.apps import chosen, cli, experiments, runs, sweep_results, sweep_training, sweeps
from jaxvae.apps.description import build
from jaxvae.apps.figures import comparisons
from jaxvae.apps.option_effects import FACE
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import write_config
from jaxvae.data.batches import Batch
from jaxvae.model.objectives import Terms

SMALL = ["--layers", "1", "--hidden-units", "16", "--batch-size", "256", "--epochs", "2"]
NORMAL = ["--model", "normal", *SMALL]


def train(out, *options):
    return cli.main(["train", "--out", str(out), *options])


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def losses(folder, name="loss"):
    return [json.loads(line)[name] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "names", "members"),
    [
        ("--epochs 3", None, None),
        ("--channels 8 16 --leave-out a b --image-size 8 9", None, None),
        ("--latent-dim 2 4", ("latent_dim",), ["--latent-dim 2", "--latent-dim 4"]),
        ("--latent_dim 2 4 --model normal", ("latent_dim",),
         ["--model normal --latent-dim 2", "--model normal --latent-dim 4"]),
        ("--kl-weight 1 2 --epochs 3 4", ("kl_weight", "epochs"),
         ["--kl-weight 1 --epochs 3", "--kl-weight 1 --epochs 4",
          "--kl-weight 2 --epochs 3", "--kl-weight 2 --epochs 4"]),
        ("--kl-weight -1 1e-3 --quiet", ("kl_weight",),
         ["--quiet --kl-weight -1", "--quiet --kl-weight 1e-3"]),
        ("--latent-dim 2 x", ("latent_dim",), ["--latent-dim 2", "--latent-dim x"]),
    ],
)  # fmt: skip
def test_which_options_have_several_values(arguments, names, members):
    found = sweeps.expand(arguments.split())
    wanted = None if names is None else (names, [member.split() for member in members])
    assert found == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seed 1 2", "seed must be one number, got 1 2: --seeds N trains N seeds"),
        ("--hold-out 0.1 0.2", "hold_out must be one number, got 0.1 0.2: the runs"),
        ("--epochs 1 2 --layers 1 2 --latent-dim 2 3", "at most 2 options may have several values"),
        ("--epochs 1 2 --epochs 3 4", "epochs must be given once, got"),
        ("--epochs 1 2 --resume a", "resume must be left out of a sweep, got a"),
        ("--epochs 1 2 --checkpoint-every 2", "checkpoint_every must be left out of a sweep"),
        ("--epochs 1 0", "epochs must be at least 1, got 0"),
        ("--epochs 1 1", "the values of a sweep must differ, got epochs-1 more than once"),
        ("--epochs 1 2 --seeds 51", "a sweep must have at most 100 runs, got 102"),
        ("--latent-dim 10 2", "latent_dim must be at least 10, the number of labels, got 2"),
        ("--latent-dim 10 None", "latent_dim must be numbers where it has several values"),
        ("--style-dim 2 4 --model normal", "style_dim must be left out except with --model joint"),
        ("--learning-rate 0.1 -1", "learning_rate must be finite and above 0, got -1.0"),
    ],
)
def test_refused_before_training(tmp_path, capsys, arguments, message):
    assert train(tmp_path / "run", *arguments.split()) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_value_that_is_no_number_is_named(tmp_path, capsys):
    assert train(tmp_path / "run", "--latent-dim", "10", "x") == 2
    told = capsys.readouterr().err
    assert told == "jaxvae: error: --latent-dim must be a whole number, got x\n"


def refuse(*args, **options):
    raise AssertionError("something was trained")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two KL weights, trained by one program."""
    folder = tmp_path_factory.mktemp("sweeps") / "weights"
    assert train(folder, *NORMAL, "--kl-weight", "0.5", "8") == 0
    return folder


def test_a_member_is_a_run_of_its_own(weights, capsys):
    assert sorted(path.name for path in weights.iterdir()) == [
        "figures", "kl_weight-0.5", "kl_weight-8.0", "summary.json"
    ]  # fmt: skip
    run = runs.open_run(weights / "kl_weight-8.0")
    assert run.config.model.objective.kl_weight == 8
    assert run.config.training.seeds == 1
    assert cli.main(["evaluate", str(weights / "kl_weight-0.5")]) == 0
    assert "nats" in capsys.readouterr().out
    assert (weights / "figures" / "sweep.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", [".", "kl_weight-8.0"])
def test_resume_says_how_a_sweep_goes_on(weights, capsys, name):
    assert cli.main(["train", "--resume", str(weights / name)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"the command of the sweep with --out {weights} goes on with it" in error


def test_a_member_is_the_run_that_it_would_be_alone(weights, tmp_path):
    """To rounding: the program of both holds the weight as a value."""
    assert train(tmp_path / "one", *NORMAL, "--kl-weight", "8") == 0
    for name in ("loss", "validation_loss"):
        together = losses(weights / "kl_weight-8.0", name)
        assert together == pytest.approx(losses(tmp_path / "one", name), rel=1e-4)
        assert together != pytest.approx(losses(weights / "kl_weight-0.5", name), rel=1e-3)


def test_the_best_has_the_lowest_negative_elbo_on_held_out_examples(weights):
    """The losses weigh the KL differently, so that they cannot choose."""
    found = summary(weights)
    assert found["sweep"] == {"kl_weight": [0.5, 8.0]}
    assert (found["finished"], found["measure"], found["failed"]) == (True, "held_out_nelbo", {})
    measured = {name: own["held_out_nelbo"] for name, own in found["members"].items()}
    assert found["best"] == min(measured, key=measured.get)
    member = summary(weights / "kl_weight-8.0")
    assert member["held_out_nelbo"] == measured["kl_weight-8.0"]
    assert found["members"]["kl_weight-8.0"]["test_loss"] == member["test_loss"]
    # The parameters that are kept are those of the lowest loss, of which the KL is a part.
    held_out = found["members"]["kl_weight-8.0"]["held_out_loss"]
    assert held_out == pytest.approx(min(losses(weights / "kl_weight-8.0", "validation_loss")))
    assert measured["kl_weight-8.0"] < held_out


def test_a_finished_run_is_not_trained_again(weights, capsys, monkeypatch):
    before = (weights / "kl_weight-8.0" / "params.safetensors").read_bytes()
    monkeypatch.setattr(experiments, "fit", refuse)
    monkeypatch.setattr(experiments, "fit_many", refuse)
    assert train(weights, *NORMAL, "--kl-weight", "0.5", "8") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("Finished before:") == 2
    assert f"The best is {summary(weights)['best']} (*): it has the lowest negative ELBO" in printed
    assert (weights / "kl_weight-8.0" / "params.safetensors").read_bytes() == before


def test_a_folder_with_other_options_is_refused(weights, capsys):
    options = [*NORMAL, "--kl-weight", "0.5", "8", "--batch-size", "128"]
    assert train(weights, *options) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{weights}/kl_weight-0.5 has other options: batch_size" in told
    assert train(weights, *NORMAL) == 1
    assert "out must be a new or empty folder" in " ".join(capsys.readouterr().err.split())


def test_one_run_of_a_sweep_is_asked_for(weights, capsys):
    assert cli.main(["evaluate", str(weights)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"which holds 2: take one of them, as {weights}/kl_weight-0.5" in told


def test_compare_lists_the_runs_of_a_sweep(weights, tmp_path, capsys):
    assert cli.main(["compare", str(weights), "--out", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr().out
    assert "\nkl_weight-0.5 " in printed
    assert "\nkl_weight-8.0 " in printed
    assert "weigh the KL differently: compare nelbo" in " ".join(printed.split())


@pytest.mark.slow
def test_a_member_that_blows_up_is_left_out(tmp_path, capsys):
    """And the others are trained without it."""
    options = ["--learning-rate", "1e-3", "1e30", "2e-3", "--seeds", "2"]
    assert train(tmp_path / "rates", *NORMAL, *options) == 0
    found = summary(tmp_path / "rates")
    assert (found["seeds"], found["measure"]) == (2, "held_out_loss")
    ((bad, what),) = found["failed"].items()
    assert bad == "learning_rate-1e+30"
    assert what.startswith("step ")
    assert "reconstruction is nan" in what
    good = {name: own for name, own in found["members"].items() if name != bad}
    assert [*good] == ["learning_rate-0.001", "learning_rate-0.002"]
    assert found["best"] == min(good, key=lambda name: good[name]["held_out_loss"])
    for name, own in good.items():
        each = [min(losses(tmp_path / "rates" / name / f"seed-{s}", "validation_loss"))
                for s in (0, 1)]  # fmt: skip
        assert own["held_out_loss"] == pytest.approx(np.mean(each))
        assert own["held_out_loss_std"] == pytest.approx(np.std(each, ddof=1))
    rate = runs.open_run(tmp_path / "rates" / "learning_rate-0.002" / "seed-1")
    assert (rate.config.training.learning_rate, rate.config.training.seed) == (0.002, 1)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Training at once: learning_rate-0.001/seed-0, learning_rate-0.001/" in printed
    assert f"{bad} failed: step" in printed
    # As without the one that blew up.
    assert train(tmp_path / "two", *NORMAL, "--learning-rate", "1e-3", "2e-3") == 0
    alone, together = (
        losses(path) for path in (tmp_path / "two" / "learning_rate-0.002",
                                  tmp_path / "rates" / "learning_rate-0.002" / "seed-0")
    )  # fmt: skip
    assert together == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
def test_a_sweep_that_is_stopped_goes_on(tmp_path, capsys, monkeypatch):
    options = [*NORMAL, "--latent-dim", "1", "2"]

    @contextlib.contextmanager
    def at_once():
        yield lambda: signal.SIGINT

    with monkeypatch.context() as patch:
        patch.setattr(experiments, "_interruptible", at_once)
        assert train(tmp_path / "run", *options) == 130
    assert "To go on: the same command with" in " ".join(capsys.readouterr().out.split())
    assert not summary(tmp_path / "run")["finished"]
    assert cli.main(["compare", str(tmp_path / "run"), "--out", str(tmp_path / "a.png")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "latent_dim-1 has no summary.json" in told
    assert "latent_dim-2 has not begun." in told
    assert train(tmp_path / "run", *options) == 0
    assert "Going on after epoch 1." in capsys.readouterr().out
    found = summary(tmp_path / "run")
    assert found["finished"]
    assert [own["epochs"] for own in found["members"].values()] == [2, 2]


def results_of(folder, options, held_out):
    """The results of a sweep whose runs were not trained: their held-out losses are these."""
    names, arguments = sweeps.expand([*NORMAL, *options.split()])
    given = tuple(cli.tyro.cli(cli.Train, args=own) for own in arguments)
    data = chosen.load_data(given[0])
    sweep = sweeps.Sweep(names, given, lambda *_: "")
    members = [sweep._member(own, data) for own in given]
    for one, loss in zip(sweep_training.runs_of(folder, members), held_out, strict=True):
        one.folder.mkdir(parents=True)
        write_config(one.folder / "config.json", one.config)
        if loss is None:
            continue
        record = {"validation_loss": loss, "loss": 1.0, "reconstruction": 1.0, "kl": 0.0}
        (one.folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        figures = {"test_loss": -loss, "test_nelbo": -loss, "test_rmse": 0.1, "test_kl": 2.0}
        figures |= {"baseline_rmse": 0.3, "held_out_nelbo": loss, "interrupted": False}
        (one.folder / "summary.json").write_text(json.dumps(figures))
    results = sweep_results.Results(folder, names, members)
    results.finish(data)
    return results


@pytest.mark.parametrize(
    ("options", "held_out", "best", "said"),
    [
        ("--latent-dim 2 3 4", [3.0, 1.0, 2.0], "latent_dim-3", ["the lowest loss", "1.0000 nats"]),
        ("--latent-dim 2 3", [3.0, 1.0], "latent_dim-3", ["3 is the largest latent_dim of the"]),
        ("--latent-dim 2 3", [1.0, 3.0], "latent_dim-2", ["2 is the smallest latent_dim of the"]),
        ("--latent-dim 2 3", [None, 3.0], "latent_dim-3", ["latent_dim-2 has no summary.json"]),
        ("--latent-dim 2 3 --layers 1 2", [4.0, 3.0, 1.0, 2.0], "latent_dim-3_layers-1", []),
        ("--latent-dim 2 3 4 --seeds 2", [4.0, 4.1, 1.0, 1.4, 1.3, 1.5], "latent_dim-3",
         ["Within one standard deviation of it: latent_dim-4."]),
        # A mean of one seed does not stand beside a mean of two.
        ("--latent-dim 2 3 --seeds 2", [4.0, 4.1, 1.0, None], "latent_dim-2", []),
        ("--kl-weight 1 2 4", [3.0, 1.0, 2.0], "kl_weight-2.0", ["the lowest negative ELBO"]),
        ("--latent-dim 2 3 --hold-out 0", [1.0, 2.0], None, ["no training examples were held out"]),
        ("--latent-dim 2 3", [None, None], None, ["as none has finished"]),
        ("--kl-weight 1 2 --objective original --hold-out 0.1", [1.0, 2.0], None,
         ["No run is marked as the best: the losses of the runs cannot be compared"]),
    ],
    ids=["middle", "largest", "smallest", "stopped", "grid", "seeds", "fewer_seeds", "kl_weight",
         "no_hold_out", "none", "original"],
)  # fmt: skip
def test_the_best(tmp_path, capsys, options, held_out, best, said):
    """By the held-out examples alone: the test loss here says the contrary."""
    results_of(tmp_path / "sweep", options, held_out)
    printed = " ".join(capsys.readouterr().out.split())
    found = summary(tmp_path / "sweep")
    assert found["best"] == best
    assert (f"The best is {best} (*)" in printed) == (best is not None)
    for text in said:
        assert text in printed
    drawn = any(loss is not None for loss in held_out)
    assert (tmp_path / "sweep" / "figures" / "sweep.png").exists() == drawn


def test_the_picture_of_a_grid(tmp_path, monkeypatch):
    """The option with more values is the axis, the other one the legend."""
    drawn = {}
    monkeypatch.setattr(
        comparisons, "sweep_curves", lambda *a, **o: drawn.update(o, given=a) or Figure()
    )
    results_of(tmp_path, "--layers 1 2 --latent-dim 4 2 3", [6.0, 5.0, 4.0, 1.0, 2.0, 3.0])
    values, panels = drawn["given"]
    assert (values, drawn["option"], drawn["legend"]) == ([2, 3, 4], "latent_dim", "layers")
    loss = panels["held-out loss (nats)"]
    assert {name: curve[:, 0].tolist() for name, curve in loss.items()} == {
        "1": [5.0, 4.0, 6.0], "2": [2.0, 3.0, 1.0]
    }  # fmt: skip
    assert drawn["best"] == (2, "2")
    assert drawn["marks"] == {"test RMSE": ("the mean example", 0.3)}


def test_a_picture_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    class Page:
        def savefig(self, path, **_):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    picture = tmp_path / "figures" / "sweep.png"
    picture.parent.mkdir()
    picture.write_bytes(b"before")
    monkeypatch.setattr(comparisons, "sweep_curves", lambda *_, **__: Page())
    with pytest.raises(OSError, match="No space left on device"):
        results_of(tmp_path, "--latent-dim 2 3", [1.0, 2.0])
    assert [path.read_bytes() for path in picture.parent.iterdir()] == [b"before"]


MODEL = {"prior_concentration": {"model": "dirichlet", "prior": "symmetric"},
         "smoothness": {"model": "dirichlet"}, "total_concentration": {"model": "dirichlet"},
         "category_kl_weight": {"model": "joint"}}  # fmt: skip


@pytest.mark.parametrize(
    "option", [name for name in sweep_training.TOGETHER if name != sweep_training.RATE]
)
def test_what_is_a_value_in_the_program(option, digits):
    """A model of a traced number is the model of the number."""
    made = []
    for value in (0.5, 2.0):
        own = Options(
            layers=1, hidden_units=8, **MODEL.get(option, {"model": "normal"}), **{option: value}
        )
        made.append(chosen.describe(chosen.resolve(own, digits), digits))
    first, second = made
    make = sweep_training._Make(first, (option,))
    assert make == sweep_training._Make(first, (option,)) != sweep_training._Make(second, (option,))
    batch = Batch(digits.x_train[:8], digits.y_train[:8])
    params = build(first).init(jax.random.key(0), batch.x)

    def measured(vae):
        """What the option changes, with no more to compile than that."""
        if FACE[option][0] == "objective":
            ones = np.ones((1, 8), np.float32)
            each = dict.fromkeys(("category", "style") if "category" in option else "z", ones)
            closed = dict.fromkeys(each, ones[0])
            return vae.parts.objective.loss(Terms(ones, each, each, closed), None)[0][0]
        loss, terms = vae.loss(params, jax.random.key(1), batch)
        return terms.kl.mean() if FACE[option][0] == "prior" else loss

    program = jax.jit(lambda value: measured(make(**{option: value})))
    found = [program(value) for value in (0.5, 2.0)]
    assert found[0] != found[1]
    wanted = [jax.jit(functools.partial(measured, build(model)))() for model in made]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_a_sweep_that_holds_nothing_out_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep_training, "train", lambda *_, **__: 2)
    for share, where in (
        ("0", "No training example is held out, so that none is marked as the best."),
        ("0.1", "They are compared on 144 training examples held out."),
    ):
        out = tmp_path / share
        assert train(out, *NORMAL, "--kl-weight", "0.5", "8", "--hold-out", share) == 130
        printed = " ".join(capsys.readouterr().out.split())
        assert f"2 runs. {where}" in printed
