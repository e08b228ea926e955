"""`jaxvae compare`: its tables and pictures, and what it says where losses cannot be compared.

No model is trained: a run is what its files say.
"""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxvae import figures
from jaxvae.apps import chosen, cli, compare, compared, results
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import of_options, read_config, write_config
from jaxvae.data import datasets
from jaxvae.training import whole_files

FIRST_RUNS = Path(__file__).parents[1] / "data" / "runs_0.1"
SMALL = {"layers": 1, "hidden_units": 8}
NAN = float("nan")
TABLE = datasets.from_arrays(
    np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2, name="a table"
)


@pytest.fixture
def write(tmp_path, digits):
    """Write the folder of a run that came to these figures."""

    def write(name, *, data=digits, losses=(3.0, 2.0, 2.5), finished=True, more=(), **options):
        if data is not digits:
            options["data"] = Path("table.npy")
        own = chosen.resolve(Options(**SMALL | options), data)
        config = of_options(chosen.describe(own, data), own, data)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_config(folder / "config.json", config)
        lines = [
            json.dumps({"epoch": epoch, "loss": loss + 1, "reconstruction": loss, "kl": 1.0,
                        "validation_loss": loss, "seconds": 0.25}) + "\n"
            for epoch, loss in enumerate(losses)
        ]  # fmt: skip
        (folder / "metrics.jsonl").write_text("".join(lines))
        summary = {"interrupted": False, "epochs": len(losses), "test_loss": 2.0,
                   "test_nelbo": 2.0, "test_rmse": 0.125, "baseline_rmse": 0.25, "test_kl": 1.5,
                   "test_accuracy": None, "z_dimensions": 2, "z_active": 1, "z_kl": 1.5,
                   "z_in_use": None, "notes": [], **dict(more)}  # fmt: skip
        if finished:
            whole_files.write_json(folder / "summary.json", summary)
        return folder

    return write


def compared_by(capsys, out, *folders, options=()):
    """What the command prints."""
    arguments = ["compare", *map(str, folders), "--out", str(out), *options]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= max(80, len(str(out)) + 8)  # a path is not broken
    return printed


def rows(printed):
    """The cells of each run by the name of the column."""
    found = {}
    header = []
    for line in printed.splitlines():
        cells = line.split()
        if line.startswith("run "):
            header = cells[1:]
        elif header and len(cells) == len(header) + 1:
            found.setdefault(cells[0], {}).update(zip(header, cells[1:], strict=True))
        else:
            header = []
    return found


def test_the_table(write, tmp_path, capsys):
    runs = [
        write("narrow", model="normal", latent_dim=2),
        write("wide", model="normal", latent_dim=4, more={"test_loss": 1.0, "test_nelbo": 1.0}),
    ]
    printed = compared_by(capsys, tmp_path / "a.png", *runs)
    found = rows(printed)
    wanted = {"loss": "2.0000", "held_out_loss": "2.0000", "rmse": "0.1250", "kl": "1.50",
              "mean_rmse": "0.2500", "active": "1", "epochs": "3", "seconds": "0.8",
              "--latent-dim": "2"}  # fmt: skip
    assert found["narrow"] == wanted
    assert found["wide"] == wanted | {"loss": "1.0000", "--latent-dim": "4"}
    assert "cannot be compared" not in printed
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_parts_of_a_joint_latent(write, tmp_path, capsys):
    more = {"category_dimensions": 10, "category_active": 9, "category_kl": 2.0,
            "category_in_use": 10, "style_dimensions": 8, "style_active": 7, "style_kl": 0.5,
            "style_in_use": None, "test_accuracy": 0.5}  # fmt: skip
    folder = write("joint")
    summary = json.loads((folder / "summary.json").read_text())
    plain = {name: value for name, value in summary.items() if not name.startswith("z_")}
    whole_files.write_json(folder / "summary.json", plain | more)
    printed = compared_by(capsys, tmp_path / "a.png", folder)
    for text in (" 2.00 + 0.50 ", " 9 + 7 ", "0.5000", "are those of category + style."):
        assert text in f"{printed} "
    assert printed.splitlines()[5].split()[4:6] == ["10", "3"]


def test_several_seeds_are_a_mean_and_a_deviation(write, tmp_path, capsys):
    for seed, loss in enumerate((1.0, 2.0, 6.0)):
        write(f"three/seed-{seed}", model="normal", seed=seed, more={"test_loss": loss})
    table = tmp_path / "runs.csv"
    printed = compared_by(
        capsys, tmp_path / "a.png", tmp_path / "three", options=["--csv", str(table)]
    )
    deviation = np.std([1, 2, 6], ddof=1)
    assert f"3.0000 ± {deviation:.4f}" in printed
    assert "0.1250 ±" not in printed  # alike in all
    with table.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["run"], row["seeds"]) == ("three", "3")
    assert float(row["test_loss"]) == 3
    assert float(row["test_loss_std"]) == pytest.approx(deviation)
    assert Path(row["folder"]) == tmp_path / "three"


def test_a_config_of_before_is_read(write):
    """It also holds how many examples there are to test on, and no dispersion."""
    path = write("run", model="normal") / "config.json"
    config, fields = read_config(path), json.loads(path.read_text())
    fields["origin"]["test_examples"] = 360
    assert fields["origin"].pop("dispersion") == 1
    path.write_text(json.dumps(fields))
    assert read_config(path) == config
    fields["origin"]["other"] = 1
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="must hold options that"):
        read_config(path)


def test_a_run_that_was_stopped_is_listed(write, tmp_path, capsys):
    whole, part = write("whole", model="normal"), write("part", model="normal", finished=False)
    with (part / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')  # a process was killed as it wrote
    (part / "checkpoints").mkdir()
    printed = compared_by(capsys, tmp_path / "a.png", whole, part)
    found = rows(printed)
    assert (found["part"]["loss"], found["part"]["epochs"]) == ("-", "3")
    assert found["part"]["held_out_loss"] == "2.0000"
    text = " ".join(printed.split())
    assert "part has no summary.json: it was stopped, or it is still running" in text
    assert f"jaxvae train --resume {part}" in text
    assert "whole has no" not in text


@pytest.mark.parametrize(
    ("losses", "patience", "loss", "kept"),
    [
        ([NAN, 3.0, 2.0, 4.0], 5, 2.0, 3),
        ([3.0, NAN, 2.0, 4.0], 5, 2.0, 3),
        ([3.0, 2.0, 4.0, NAN], 5, 2.0, 2),
        ([3.0, 2.0, 4.0], None, 4.0, 3),
        ([NAN, NAN], 5, NAN, 2),  # then those of the last epoch are kept
        ([None, None], None, None, 2),
    ],
)
def test_a_held_out_loss_that_is_no_number_is_not_the_lowest(losses, patience, loss, kept):
    records = [{"validation_loss": own} for own in losses]
    found = compared.held_out_loss(records, patience)
    assert found == loss or np.isnan([found, loss]).all()
    training = SimpleNamespace(training=SimpleNamespace(patience=patience))
    history = SimpleNamespace(epochs=[SimpleNamespace(**own) for own in records])
    assert results._kept_epoch(SimpleNamespace(config=training), history) == kept


def test_a_run_that_is_named_twice_is_shown_once(write, tmp_path, capsys):
    """A warning of Matplotlib's would be an error here."""
    one = write("one", model="normal")
    printed = compared_by(capsys, tmp_path / "a.png", one, one)
    assert printed.startswith("A run that is named more than once is shown once.\n")
    assert printed.count("\none ") == 2  # a row in each of the two tables
    assert (tmp_path / "a.png").is_file()


def test_nothing_to_draw(write, tmp_path, capsys):
    folder = write("part", model="normal", finished=False, losses=())
    assert cli.main(["compare", str(folder), "--out", str(tmp_path / "a.png")]) == 0
    assert "There is no picture" in capsys.readouterr().out
    assert not (tmp_path / "a.png").exists()


NORMAL = {"model": "normal"}
ORIGINAL = NORMAL | {"objective": "original"}


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        pytest.param(NORMAL, NORMAL | {"latent_dim": 3}, None, id="width"),
        pytest.param(NORMAL, NORMAL | {"likelihood_scale": 0.5}, None, id="scale"),
        pytest.param(
            NORMAL, NORMAL | {"data": TABLE},
            "on different data (digits, a table): neither their losses nor their errors", id="data",
        ),
        pytest.param(
            NORMAL, NORMAL | {"likelihood": "bernoulli"},
            "The likelihoods differ (normal, bernoulli): their losses cannot", id="likelihood",
        ),
        pytest.param(
            NORMAL, ORIGINAL,
            "(nats, those of the original normal VAE): they cannot", id="unit",
        ),
        pytest.param(
            NORMAL, NORMAL | {"kl_weight": 2.0},
            "weigh the KL differently: compare nelbo", id="weight",
        ),
        pytest.param({}, {"category_kl_weight": 3.0}, "weigh the KL differently", id="category"),
        pytest.param(
            ORIGINAL, ORIGINAL | {"kl_weight": 2.0},
            "weigh the KL differently: they cannot be compared", id="original_weight",
        ),
        pytest.param(
            NORMAL | {"data": TABLE}, NORMAL | {"data": TABLE, "scale": "none"},
            "on different scales", id="transform",
        ),
        pytest.param(NORMAL, {"model": "dirichlet"}, "The prior of b is told", id="labels"),
        pytest.param(
            NORMAL, {"model": "dirichlet", "prior": "symmetric"}, None, id="no_labels"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(write, a, b, said):
    entries = []
    for name, own in (("a", a), ("b", b)):
        own = dict(own)
        data = own.pop("data", None)
        entries += compared.read(write(name, **own, **({} if data is None else {"data": data})))
    warnings = compared.warnings(entries)
    assert bool(warnings) == (said is not None)
    if said is not None:
        (warning,) = warnings
        assert said in warning
    assert compared.warnings(entries[:1]) == []


def test_the_panels_hold_what_can_be_compared(write):
    def panels(*runs):
        return compare.panels([entry for run in runs for entry in compared.read(run)])

    plain, wide = write("a", **NORMAL), write("b", **NORMAL, latent_dim=3)
    curves, shown, marks = panels(plain, wide)
    assert {name: [*own] for name, own in curves.items()} == {"held-out loss (nats)": ["a", "b"]}
    assert curves["held-out loss (nats)"]["a"] == [[3.0, 2.0, 2.5]]
    assert [*shown] == ["test loss (nats)", "test RMSE", "test KL"]
    assert marks == {"test RMSE": ("the mean example", 0.25)}
    curves, shown, _ = panels(plain, write("weight", **NORMAL, kl_weight=2.0))
    assert curves == {"training nelbo (nats)": {"a": [[4.0, 3.0, 3.5]],
                                                "weight": [[4.0, 3.0, 3.5]]}}  # fmt: skip
    assert next(iter(shown)) == "test nelbo (nats)"
    curves, shown, marks = panels(plain, write("other", **NORMAL, data=TABLE))
    assert [*curves] == ["digits: held-out loss (nats)", "a table: held-out loss (nats)"]
    assert [*shown] == ["test KL"]


def test_the_options_that_differ(write):
    runs = [write("a"), write("b", kl_weight=2.0, epochs=7), write("c", model="normal")]
    found = compared.differing([entry for run in runs for entry in compared.read(run)])
    assert found["kl_weight"] == [1.0, 2.0, 1.0]
    assert found["model"] == ["joint", "joint", "normal"]
    assert found["epochs"][1] == 7
    assert "style_dim" not in found  # which only a joint latent has
    assert "batch_size" not in found


def test_runs_of_the_first_version(tmp_path, capsys):
    folders = [FIRST_RUNS / "normal", FIRST_RUNS / "dirichlet"]
    found = rows(compared_by(capsys, tmp_path / "a.png", *folders))
    wanted = json.loads((folders[0] / "summary.json").read_text())["test_loss"]
    assert float(found["normal"]["loss"]) == pytest.approx(wanted, abs=0.01)
    assert found["dirichlet"]["--model"] == "dirichlet"


def test_runs_of_one_name_are_told_apart(write, tmp_path, capsys):
    runs = [write("one/run", **NORMAL), write("two/run", **NORMAL), write("other", **NORMAL)]
    assert [*rows(compared_by(capsys, tmp_path / "a.png", *runs))] == [
        "one/run",
        "two/run",
        "other",
    ]


def test_files_are_not_replaced_unasked(write, tmp_path, capsys):
    folder, table = write("a", **NORMAL), tmp_path / "a.csv"
    table.write_text("mine")
    arguments = ["compare", str(folder), "--out", str(tmp_path / "a.png"), "--csv", str(table)]
    assert cli.main(arguments) == 1
    assert table.read_text() == "mine"
    capsys.readouterr()
    assert cli.main([*arguments, "--force", "--quiet"]) == 0
    assert table.read_text().startswith("run,")
    assert capsys.readouterr().out.split() == [str(table), str(tmp_path / "a.png")]


def test_an_option_and_a_figure_of_one_name_are_two_columns(write, tmp_path, capsys):
    """Of runs that differ in --epochs, how many each was given and how many it was trained."""
    folders = [
        write(f"run {given}", **NORMAL, epochs=given, losses=[1.0] * trained)
        for given, trained in ((5, 4), (9, 6))
    ]
    table = tmp_path / "a.csv"
    compared_by(capsys, tmp_path / "a.png", *folders, options=["--csv", str(table)])
    with table.open() as file:
        rows_of_file = list(csv.DictReader(file))
    assert [(row["--epochs"], float(row["epochs"])) for row in rows_of_file] == [("5", 4), ("9", 6)]


def test_an_error_names_the_option_that_it_is_of(write, tmp_path, capsys):
    arguments = ["compare", str(write("a", **NORMAL)), "--csv", str(tmp_path / "a.txt")]
    assert cli.main(arguments) == 1
    assert "csv must end in .csv, got" in capsys.readouterr().err


def test_no_runs(tmp_path, capsys):
    assert cli.main(["compare", str(tmp_path)]) == 1
    assert f"runs must be folders that `jaxvae train` wrote, got {tmp_path}" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert cli.main(["compare"]) == 1
    assert "runs must be at least one folder" in " ".join(capsys.readouterr().err.split())


def test_a_table_that_is_too_wide_goes_on_below():
    columns = {f"column_{i}": [f"{i}" * 20, "1"] for i in range(5)}
    lines = compare.table(["one", "two"], columns)
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("run") for line in lines) == 2
    assert all(cells[0] in "\n".join(lines) for cells in columns.values())


def test_the_picture_of_runs():
    curves = {"loss": {"a": [3.0, 2.0], "b": [[3.0, 1.0, 0.5], [2.0, 1.5]]}}
    shown = {"RMSE": {"a": 0.5, "b": [1.0, 2.0]}, "KL": {"b": 1.0}}
    marks = {"RMSE": ("the mean", 2.5)}
    figure = figures.run_comparison(curves, shown, names=["b", "a"], marks=marks)
    loss, rmse, kl = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [
        [3.0, 2.0], [3.0, 1.0, 0.5], [2.0, 1.5]
    ]  # fmt: skip
    assert loss.lines[1].get_color() == loss.lines[2].get_color() != loss.lines[0].get_color()
    assert [label.get_text() for label in rmse.get_yticklabels()] == ["b", "a"]
    (bar,) = rmse.containers
    (ends,) = bar[2][0].get_segments()
    deviation = np.std([1, 2], ddof=1)
    np.testing.assert_allclose(ends[:, 0], [1.5 - deviation, 1.5 + deviation])
    assert rmse.get_xlabel() == "dashed: the mean"
    assert len(kl.lines) == 1


def test_the_picture_of_a_sweep():
    panels = {
        "loss": {"held out": [[3.0, 5.0], [1.0, 2.0], [np.nan, np.nan]]},
        "KL": {"t": [1, 2, 3]},
    }
    figure = figures.sweep_curves([1, 2, 16], panels, option="width", best=(1, "held out"))
    loss, kl = figure.axes
    (bar,) = loss.containers
    np.testing.assert_allclose(bar[0].get_xydata(), [[1, 4], [2, 1.5]])
    ring = loss.lines[-1]
    assert (ring.get_label(), ring.get_xydata().tolist()) == ("best", [[2.0, 1.5]])
    assert (kl.get_xscale(), kl.get_xlabel()) == ("log", "width")
    assert figures.sweep_curves([1, 2], {"KL": {"t": [1, 2]}}, option="width").axes[
        0
    ].get_xscale() == ("linear")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.run_comparison({}, {}), "curves or figures must hold a run"),
        (
            lambda: figures.run_comparison({"a": {"x": [1.0, np.nan]}}, {}),
            "curves must hold finite",
        ),
        (lambda: figures.run_comparison({}, {"a": {"x": np.inf}}), "figures must hold finite"),
        (lambda: figures.run_comparison({}, {"a": {"x": 1.0}}, names=["y"]), "names must hold"),
        (lambda: figures.sweep_curves([2, 1], {"a": {"x": [1, 2]}}, option="o"), "values must be"),
        (lambda: figures.sweep_curves([1, 2], {}, option="o"), "panels must hold at least"),
        (lambda: figures.sweep_curves([1, 2], {"a": {"x": [1]}}, option="o"), "panels must hold f"),
        (
            lambda: figures.sweep_curves([1], {"a": {"x": [1]}}, option="o", best=(0, "y")),
            "best must be a place in values and a curve of the first panel, x; got",
        ),
    ],
    ids=["nothing", "nan", "inf", "names", "order", "panels", "length", "best"],
)
def test_pictures_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
