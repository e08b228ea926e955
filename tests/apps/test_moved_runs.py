"""A run is used anywhere: moved, without its data, by a fresh process; and damage is found."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxvae
from jaxvae.apps import cli, results, runs
from jaxvae.apps.saved_models import DamagedModelError
from jaxvae.training import manifest, run_folder

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(60, 5)) * [1, 1e3, 0.01, 20, 5] + [0, 1e4, 0, -300, 5]).astype(np.float32)
Y = [("cat", "dog", "owl")[k % 3] for k in range(60)]
# What is done with a run that needs none of its data; OUT is a folder.
COMMANDS = (
    "encode RUN FILE --out OUT/z.npz",
    "generate RUN --count 7 --category owl --out OUT/made.npz",
    "generate RUN --count 7 --out OUT/all.npy",
    "interpolate RUN --categories cat owl --out OUT/way.npz",
    "interpolate RUN --categories cat owl --out OUT/way.gif",
    "figures RUN",
    "export RUN --platforms cpu --out OUT/model.zip",
)
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
run, file, out, commands = json.loads(sys.argv[1])
from jaxvae.apps import cli
for command in commands:
    words = {"RUN": run, "FILE": file}
    each = [words.get(word, word.replace("OUT", out)) for word in command.split()]
    assert cli.main(each) == 0, command
import jax, jaxvae
model = jaxvae.load(run)
with np.load(file) as arrays:
    x = arrays["x"]
np.savez(
    Path(out, "loaded.npz"), **model.encode(x), again=model.reconstruct(x),
    categories=model.categories(x), made=model.generate(4, key=jax.random.key(3), category="dog"),
)
"""


def use(run, file, out):
    """All of the commands, and the library, in one process that knows nothing else."""
    out.mkdir()
    arguments = json.dumps([str(run), str(file), str(out), COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments],
        capture_output=True,
        text=True,
        cwd=out,
        env=os.environ,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table, in units of its own, with labels by name."""
    folder = tmp_path_factory.mktemp("own")
    table = pd.DataFrame(X, columns=list("abcde")).assign(species=Y)
    table.to_csv(folder / "table.csv", index=False)
    np.savez(folder / "file.npz", x=X[:9])
    options = ["--epochs", "2", "--layers", "1", "--hidden-units", "8", "--label", "species"]
    command = ["train", "--data", str(folder / "table.csv"), "--out", str(folder / "run")]
    assert cli.main([*command, *options]) == 0
    return folder / "run"


def test_elsewhere_and_without_its_data(run, tmp_path):
    """Copied, its data deleted: each file of numbers has the same bytes as at home."""
    drawn = {path.name for path in (run / "figures").iterdir()}
    use(run, run.parent / "file.npz", tmp_path / "home")
    assert {path.name for path in (run / "figures").iterdir()} == drawn
    moved = tmp_path / "another" / "place"
    shutil.copytree(run, moved)
    shutil.rmtree(moved / "figures")
    shutil.rmtree(moved / run_folder.CHECKPOINTS)
    shutil.copy(run.parent / "file.npz", tmp_path / "file.npz")
    gone = run.parent.with_name("gone")
    run.parent.rename(gone)
    try:
        said = use(moved, tmp_path / "file.npz", tmp_path / "away")
    finally:
        gone.rename(run.parent)
    assert "without the run's data, so latent.png and what shows examples are left out" in said
    left = {path.name for path in (moved / "figures").iterdir()}
    shown = {"category.png", "style.png", "reconstructions.png", "styles.png", "ternary.png"}
    assert left == drawn - shown
    assert left >= {"generated.png", "corners.png", "blend.png", "loss.png", "walk.gif"}
    for path in (moved / "figures").iterdir():
        with Image.open(path) as picture:
            picture.load()
    names = sorted(path.name for path in (tmp_path / "home").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "away").iterdir())
    assert len(names) == 7
    for name in names:
        home, away = ((tmp_path / part / name) for part in ("home", "away"))
        if name.endswith(".npz"):
            with np.load(home) as a, np.load(away) as b:
                assert list(a) == list(b)
                for array in a:
                    assert a[array].tobytes() == b[array].tobytes(), (name, array)
        else:
            assert home.read_bytes() == away.read_bytes(), name
    with np.load(tmp_path / "away" / "loaded.npz") as arrays:
        assert set(arrays["categories"]) <= {"cat", "dog", "owl"}
        assert np.abs(arrays["made"][:, 1] - 1e4).max() < 6e3  # in the user's units
        with np.load(tmp_path / "away" / "z.npz") as encoded:
            for field, part in (("category_mean", "category"), ("style_loc", "style")):
                np.testing.assert_allclose(encoded[field], arrays[part], rtol=1e-4, atol=1e-6)


def test_what_needs_the_data_says_so(run, tmp_path, capsys):
    """In one line, with the option that says where they are now."""
    moved = shutil.copytree(run, tmp_path / "moved")
    table = (run.parent / "table.csv").rename(tmp_path / "elsewhere.csv")
    try:
        for command in (["evaluate"], ["interpolate", "--examples", "0", "1"]):
            own = [command[0], str(moved), *command[1:]]
            assert cli.main(own) == 1
            error = capsys.readouterr().err
            assert "--data says where the run's data lie now" in error
            assert error.count("\n") == 1
        out = ["--out", str(tmp_path / "way.npy")]
        assert cli.main([*own, "--data", str(table), *out]) == 0
        assert cli.main(["evaluate", str(moved), "--data", str(table)]) == 0
    finally:
        table.rename(run.parent / "table.csv")


def flipped(path, bit):
    """The file with one of its bits the other way."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


FILES = (run_folder.CONFIG, run_folder.PARAMS, manifest.MANIFEST)


def test_one_bit(run, tmp_path):
    """A hundred times, anywhere in the three files: found each time, and the file is named."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "checkpoints"))
    runs.open_run(folder)
    whole = {name: (folder / name).read_bytes() for name in FILES}
    rng = np.random.default_rng(1)
    for k in range(100):
        name = FILES[k % 3]
        bit = int(rng.integers(8 * len(whole[name])))
        flipped(folder / name, bit)
        # What is not JSON any more, or not a model, is so before its digest is looked at.
        with pytest.raises(ValueError, match=r"\S") as caught:
            runs.open_run(folder)
        assert name in str(caught.value), (name, bit)
        assert str(folder) in str(caught.value)
        if name != run_folder.CONFIG:
            assert isinstance(caught.value, DamagedModelError)
        with pytest.raises(ValueError, match=name):
            jaxvae.load(folder)
        (folder / name).write_bytes(whole[name])
    runs.open_run(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_or_gone(run, tmp_path, name, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "checkpoints"))
    content = (folder / name).read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], b""):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=name):
            runs.open_run(folder)
    (folder / name).unlink()
    command = ["generate", str(folder), "--out", str(tmp_path / "x.npy")]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(folder) in error
    if name != run_folder.PARAMS:  # without it the run's checkpoints stand for it
        assert name in error


def test_another_runs_parameters(run, tmp_path):
    """Whole in themselves, but not those that this run was finished with."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "checkpoints"))
    model = jaxvae.load(run)
    other = jax.tree.map(lambda leaf: np.asarray(leaf) + 1, model.params)
    runs.whole_files.save_params(folder / run_folder.PARAMS, other)
    with pytest.raises(DamagedModelError, match=r"params\.safetensors was changed"):
        runs.open_run(folder)
    runs.finish(folder, other)
    opened = runs.open_run(folder)
    jax.tree.map(np.testing.assert_array_equal, opened.params, other)


def test_paths_in_a_run_are_absolute(tmp_path, monkeypatch):
    """A run is opened from any working directory, though its data were named from one."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    np.save(tmp_path / "here" / "x.npy", X)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("jaxvae.apps.gallery.draw", lambda run: None)
    options = ["--epochs", "1", "--layers", "1", "--hidden-units", "8", "--model", "normal"]
    assert cli.main(["train", "--data", "x.npy", "--out", "run", *options]) == 0
    monkeypatch.chdir(tmp_path / "there")
    opened = runs.open_run(Path("../here/run"))
    np.testing.assert_array_equal(opened.data.x_test, X[9::10])
    assert opened.config.origin.name == "x"


def test_the_commands_take_a_saved_model(tmp_path, capsys):
    """What needs no data works as of a run; what does asks for them."""
    frame = pd.DataFrame(X, columns=list("abcde")).assign(species=Y)
    data = jaxvae.datasets.from_arrays(frame, "species", name="animals")
    vae = jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(5, 3, layers=1, hidden_units=8),
        transform=jaxvae.transforms.fitted(data),
    )
    params = vae.init(jax.random.key(0), data.x_train[:1])
    folder = jaxvae.save(tmp_path / "saved", vae, params, data=data)
    frame.to_csv(tmp_path / "animals.csv", index=False)
    for command, out in (
        (f"encode {folder} {tmp_path / 'animals.csv'}", "z.csv"),
        (f"generate {folder} --category owl --count 3", "made.csv"),
        (f"interpolate {folder} --categories cat owl", "way.csv"),
    ):
        assert cli.main([*command.split(), "--out", str(tmp_path / out)]) == 0
    made = pd.read_csv(tmp_path / "made.csv")
    assert list(made) == list("abcde")
    assert len(made) == 3
    z = pd.read_csv(tmp_path / "z.csv")
    np.testing.assert_allclose(
        z[["mean_0", "mean_1", "mean_2"]], jaxvae.load(folder).encode(X), rtol=1e-4, atol=1e-5
    )
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder)]) == 1
    assert "data must be given for a saved model" in capsys.readouterr().err
    options = ["--data", str(tmp_path / "animals.csv"), "--other-data"]
    assert cli.main(["evaluate", str(folder), *options]) == 1
    error = capsys.readouterr().err
    assert "animals.csv: it must hold labels in a column that is called label, labels," in error
    frame.rename(columns={"species": "label"}).to_csv(tmp_path / "animals.csv", index=False)
    assert cli.main(["evaluate", str(folder), *options]) == 0


def test_a_run_goes_on_with_data_that_were_moved(tmp_path, capsys):
    """The same content is enough, and is found again afterwards; another is refused."""
    np.savez(tmp_path / "a.npz", x=X)
    command = ["train", "--data", str(tmp_path / "a.npz"), "--out", str(tmp_path / "run")]
    small = ["--layers", "1", "--hidden-units", "8", "--model", "normal"]
    assert cli.main([*command, *small, "--epochs", "1"]) == 0
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    resume = ["train", "--resume", str(tmp_path / "run"), "--epochs", "2"]
    assert cli.main(resume) == 1
    assert "--data says where the run's data lie now" in capsys.readouterr().err
    np.savez(tmp_path / "c.npz", x=X + 1)
    assert cli.main([*resume, "--data", str(tmp_path / "c.npz")]) == 1
    assert "data must be what the run was trained on" in capsys.readouterr().err
    assert cli.main([*resume, "--data", str(tmp_path / "b.npz")]) == 0
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


def test_missing_values_reach_neither_error_nor_picture(tmp_path, monkeypatch):
    """What was not seen is no value: the error of a masked run does not depend on what lies there,
    and a loaded model takes NaN.
    """
    holes = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    np.savez(tmp_path / "x.npz", x=holes, y=np.array(Y))
    command = ["train", "--data", str(tmp_path / "x.npz"), "--out", str(tmp_path / "run")]
    options = ["--missing", "mask", "--layers", "1", "--hidden-units", "8", "--epochs", "1"]
    assert cli.main([*command, *options]) == 0
    opened = runs.open_run(tmp_path / "run")
    before = results.test_metrics(opened)
    data = opened.data
    filled = data._replace(x_test=np.where(data.mask_test, data.x_test, np.float32(7e5)))
    again = results.test_metrics(
        runs.Run(opened.folder, opened.config, opened.vae, opened.params, filled)
    )
    assert again == before
    model = jaxvae.load(tmp_path / "run")
    for own in model.encode(holes.astype(np.float32)).values():
        assert np.isfinite(own).all()
    with pytest.raises(ValueError, match="x must be finite"):
        model._replace(description=dataclasses.replace(model.description, masked=False)).encode(
            holes.astype(np.float32)
        )


def test_counts_with_missing_values(tmp_path, capsys):
    """A multinomial's total is of all values: by default it is another likelihood then."""
    counts = RNG.negative_binomial(0.3, 0.3, (60, 8)).astype(float)
    counts[3, 2] = np.nan
    np.savez(tmp_path / "x.npz", x=counts)
    command = ["train", "--data", str(tmp_path / "x.npz"), "--missing", "mask", "--epochs", "1"]
    small = ["--layers", "1", "--hidden-units", "8", "--kind", "counts"]
    refused = [*small, "--likelihood", "multinomial", "--out", str(tmp_path / "no")]
    assert cli.main([*command, *refused]) == 1
    assert "likelihood must be another with missing values" in capsys.readouterr().err
    assert cli.main([*command, *small, "--out", str(tmp_path / "run")]) == 0
    model = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert model["likelihood"]["kind"] == "negative_binomial"
