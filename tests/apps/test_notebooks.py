"""The notebooks: each text form runs as a script and says what it should; each pair agrees."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import no_devices_said

FOLDER = Path(__file__).parents[2] / "notebooks"
# What a text form must have found, by the names of its variables, on the quick setting.
FACTS = {
    "1_original_demo": [
        "normal_losses[-1] < 2.5 < normal_losses[0]",
        "dirichlet_losses[-1] < 0.2 < dirichlet_losses[0]",
        "test_accuracy > 0.93",
    ],
    "2_functional_core": [
        "iw_losses[-1] < iw_losses[0] - 1",
        "bounds[64] < bounds[8] < bounds[1]",
        "(abs(estimate - exact) < 6 * error).all()",
        "losses[-1] < losses[0]",
        "max(scan_distance, library_distance) < 1e-4",
    ],
    "3_your_data": [
        "bit_equal",
        "last.kl > 0.5",
        "int(state.step) == 20 * 26",
        "latent_score > 0.8",
        "category_score > 0.9",
        "np.load('new.npy').shape == (30, 8, 8)",
    ],
    "4_devices_and_seeds": [
        "len(jax.devices()) == 4",
        "all(abs(losses(h) - losses(runs[1][1])).max() < 1e-3 for _, h in runs.values())",
        "other_key_apart > 0.1",
        "stream_losses[-1] < stream_losses[0] - 1",
        "stream_apart < 1e-3",
        "min(accuracies) > 0.8",
        "member_apart == 0",
    ],
    "5_topics": [
        "model_perplexity < 0.6 * baseline_perplexity",
        "stability > 0.7",
        "alike.min() > 0.8",
        "seeded.topic_names_[:2] == ['first', 'second']",
        "found.nearest_neighbour_accuracy > 0.6 > 0.4 > shuffled.nearest_neighbour_accuracy",
        "(lower <= mixtures).all() and (mixtures <= upper).all()",
    ],
}
# Runs a script as a program, and says which of the facts do not hold of its variables.
RUNNER = """
import runpy, sys
names = runpy.run_path(sys.argv[1], run_name="__main__")
wrong = [fact for fact in sys.argv[2:] if not eval(fact, names)]
sys.exit(f"not so: {wrong}" if wrong else 0)
"""

spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def committed(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def test_each_text_form_has_its_notebook():
    texts = sorted(path.stem for path in FOLDER.glob("[0-9]_*.py"))
    assert texts == sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(FACTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_runs_and_finds_what_it_says(name, tmp_path):
    env = no_devices_said() | {
        "JAXVAE_QUICK": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(FOLDER.parent),
    }
    command = [sys.executable, "-c", RUNNER, FOLDER / f"{name}.py", *FACTS[name]]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert not done.stderr, "a notebook that warns shows it"


@pytest.mark.parametrize("name", FACTS)
def test_the_notebook_is_that_of_its_text_form(name):
    notebook = committed(name)
    assert build.cells_of(notebook) == build.read_cells(FOLDER / f"{name}.py")
    counts = [c["execution_count"] for c in notebook["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "executed once, from top to bottom"


@pytest.mark.parametrize("name", FACTS)
def test_its_outputs_are_small_and_hold_nothing_foreign(name):
    notebook = committed(name)
    assert build.faults(notebook) == []
    assert any(cell.get("outputs") for cell in notebook["cells"])
    assert (FOLDER / f"{name}.ipynb").stat().st_size < build.LIMIT


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []},
        {"output_type": "stream", "name": "stderr", "text": ["a warning"]},
        {"output_type": "stream", "name": "stdout", "text": ["saved in /home/me/runs"]},
        {"output_type": "stream", "name": "stdout", "text": [" 50%|#####     | 5/10"]},
        {"output_type": "execute_result", "data": {"text/plain": ["PosixPath('/tmp/x')"]}},
    ],
)
def test_a_fault_is_found(output):
    assert len(build.faults({"cells": [{"cell_type": "code", "outputs": [output]}]})) == 1


def test_a_text_form_is_read_cell_by_cell(tmp_path):
    path = tmp_path / "text.py"
    path.write_text("# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\n# %matplotlib inline\n1 + 1\n")
    assert build.read_cells(path) == [
        ("markdown", "# Title\n\nText."),
        ("code", "%matplotlib inline\n1 + 1"),
    ]
