"""The benchmarks' harness: its tables, its verdicts, and a run of jaxvae alone on little data."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import compare
import gpu
import gpu_parts
import growth
import inputs
import report
import timing
import workers
from competitors import COMPETITORS, Case, floor, of_case, stepwise

SMALL = Case("dirichlet", 10, 32, layers=1, hidden_units=16)


def result(latent="dirichlet", rows=60_000):
    """What `run_case` gives, with times that are easy to divide."""
    losses = {
        "floor, SGD": [[None]],
        "jaxvae": [[0.3, 0.10], [0.3, 0.12]],
        "jaxvae.compat": [[0.3, 0.11]],
        "PyTorch, eager": [[0.3, 0.115]],
        "TensorFlow, epoch as a graph": [[0.3, 0.9]],
    }
    return {
        "case": Case(latent, 10, 64)._asdict(),
        "rows": rows,
        "losses": losses,
        "learns": {name: compare.learns(name, losses) for name in losses},
        "seconds": {
            "floor, SGD": [1.0, 2.0, 1.0],
            "jaxvae": [1.5, 3.0, 1.6],
            "jaxvae.compat": [0.75, 1.5, 0.8],
            "PyTorch, eager": [3.0, 6.0, 8.0],
            "TensorFlow, epoch as a graph": [6.0, 6.0, 6.0],
        },
        "missing": {"NumPyro SVI": "ModuleNotFoundError: No module named 'numpyro'"},
    }


def test_timers_take_turns_in_alternated_order():
    order = []

    def timer(name):
        return lambda: order.append(name) or float(len(order))

    seconds = timing.in_turns({name: timer(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert seconds == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}
    # The median of the ratios, which a slow round leaves alone; not the ratio of the medians.
    assert timing.ratio([2.0, 30.0, 3.0], [1.0, 10.0, 3.0]) == 2.0


def test_a_competitor_that_learns_something_else_is_told_from_one_that_agrees():
    assert result()["learns"] == {
        "floor, SGD": None,
        "jaxvae": True,
        "jaxvae.compat": None,  # its twin was not run
        "PyTorch, eager": True,
        "TensorFlow, epoch as a graph": False,
    }
    assert compare.learns("jaxvae", {"jaxvae": [[float("nan")]]}) is False


def test_the_table():
    lines = compare.table([result(rows=30_000)]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[3] == ["dirichlet", "64", "jaxvae", "3.20", "1.50", "1.00", "0.11", "yes"]
    assert cells[5][3:6] == ["12.00", "3.00", "2.00"]
    assert cells[6][-1] == "**no**"
    assert "No module named 'numpyro'" in cells[7][3]


def test_every_reference_is_a_competitor_that_runs_in_the_same_cases():
    for latent in ("dirichlet", "normal"):
        names = {c.name for c in of_case(Case(latent, 2, 64))}
        wanted = {c.reference for c in of_case(Case(latent, 2, 64))} - {None}
        assert wanted | {c.base for c in COMPETITORS if latent in c.latents} <= names


def test_the_floor_counts_the_products_of_the_step_and_moves_all_its_kernels():
    case = Case("normal", 2, 64)
    trunk = 784 * 128 + 3 * 128 * 128
    forward = trunk + 2 * 128 * 2 + 2 * 128 + 3 * 128 * 128 + 128 * 784
    assert floor.flops(case) == 2 * 64 * (3 * forward - 784 * 128)
    x = np.random.default_rng(0).random((70, 784), np.float32)
    batches = floor.gather(x, 32)
    assert batches.shape == (3, 32, 784)
    np.testing.assert_array_equal(batches.reshape(-1, 784)[:70], x)
    small = SMALL._replace(latent="normal", latent_dim=2)
    before = floor.kernels(small, floor.KEY)
    run = floor.floor_epoch(floor.optax.sgd(0.1))
    after, _ = run(floor.kernels(small, floor.KEY), floor.optax.sgd(0.1).init(before), batches)
    for name, kernel in before.items():
        assert np.isfinite(after[name]).all()
        assert not np.array_equal(kernel, after[name]), name


def test_a_fit_that_only_prints_is_held_after_each_epoch():
    class Model:
        trained = 0

        def fit(self, x, batch_size, epochs):
            for epoch in range(epochs):
                self.trained += 1
                print("Error 9.00", end="\r")
                print(f"epoch {epoch} - {self.trained:.2f}")
                if self.trained == 3:
                    raise ValueError("it failed")

    model = Model()
    epoch = stepwise.epochs_of_original(model, Case("normal", 2, 64), None, None)
    assert model.trained == 0
    assert [epoch(), epoch()] == [1.0, 2.0]
    assert model.trained == 2
    assert epoch() == 3.0
    with pytest.raises(ValueError, match="it failed"):
        epoch()


def test_a_worker_says_what_went_wrong_and_goes_on():
    told = {"name": "jaxvae", "case": SMALL._asdict(), "seed": 0, "data": "nowhere"}
    with workers.process() as worker:
        for _ in range(2):
            with pytest.raises(workers.WorkerError, match=r"FileNotFoundError.*x\.npy"):
                worker.ask("prepare", **told)
        worker.popen.kill()
        worker.popen.wait()  # now the request finds a closed pipe, and stays in the buffer
        with pytest.raises(workers.WorkerError, match="ended with -9"):
            worker.ask("prepare", **told)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux has /proc")
def test_an_idle_worker_is_stopped():
    with workers.process() as worker:
        assert worker.ask("memory")["mib"] > 10
        for _ in range(1000):
            stat = Path(f"/proc/{worker.popen.pid}/stat").read_text()
            if (state := stat.rpartition(")")[2].split()[0]) == "T":
                break
            time.sleep(0.01)
        assert state == "T"


@pytest.mark.slow
def test_a_run_of_jaxvae_alone(monkeypatch, tmp_path):
    x = np.random.default_rng(0).random((320, 784), np.float32)
    y = np.arange(320) % 10
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    data = type("Data", (), {"x_train": x, "y_train": y})
    monkeypatch.setattr(compare.datasets, "load_mnist", lambda: data)
    arguments = ["--quick", "--rows", "320", "--rounds", "2", "--only", "floor, SGD", "jaxvae"]
    assert compare.main(arguments) == 0
    written = json.loads((tmp_path / "compare.json").read_text())
    assert {case["case"]["latent"] for case in written["cases"]} == {"dirichlet", "normal"}
    for case in written["cases"]:
        assert set(case["seconds"]) == {"floor, SGD", "jaxvae"}
        assert all(s > 0 for seconds in case["seconds"].values() for s in seconds)
        assert case["learns"] == {"floor, SGD": None, "jaxvae": True}
        assert not case["missing"]
    assert "x floor" in (tmp_path / "compare.md").read_text()
    # A case that is not measured again stays; one of another machine does not.
    again = ["--batch-sizes", "32", *arguments[1:], "--only", "floor, SGD"]
    assert compare.main(again) == 0
    both = json.loads((tmp_path / "compare.json").read_text())
    assert both["cases"][2:] == written["cases"]
    assert [case["case"]["batch_size"] for case in both["cases"]] == [32, 32, 64, 64]
    (tmp_path / "compare.json").write_text(json.dumps({**both, "machine": {"cores": 0}}))
    assert compare.kept_cases() == {}
    assert (tmp_path / "compare.png").stat().st_size > 10_000


@pytest.mark.slow
def test_growth_measures_a_point_and_draws():
    point = growth.of_case(SMALL, target=0.001, rounds=2)
    assert len(point["jaxvae"]) == len(point["floor"]) == 2
    assert "batch size" in growth.table({"batch_size": {32: point}})


@pytest.mark.slow
def test_the_gpu_script_finds_the_sampler_right_on_this_device():
    assert gpu.checks(20_000)["right"]


def test_the_gpu_script_names_the_limit_that_binds():
    seconds = {"launches": [1.0], "floor": [2.0], "jaxvae, float32": [4.0]}
    device = {"bytes_a_second": 1e12, "operations_a_second": 1e15}
    lines = gpu.rows_of_table(Case("dirichlet", 10, 64), seconds, 6_400, device)
    assert [line[2] for line in lines] == ["floor", "jaxvae, float32"]
    assert lines[1][3:7] == ["1,600", "40000.0", "2.00", "25.0%"]
    assert lines[1][-1] == "launches"


def test_a_part_of_the_gpu_script_is_held_against_its_first_call():
    found = gpu_parts.measure(gpu_parts.marginal_nll, gpu_parts.TINY, rounds=2)
    ((part, what, _, step, ratio),) = gpu_parts.rows_of_table("NLL", found)
    assert (part, what, step, ratio) == ("NLL", "20 draws", "-", "1.00")
    known = {"seconds": {"a": [2.0], "b": [1.0]}, "examples": 3000, "steps": 10}
    assert gpu_parts.rows_of_table("K", known)[1] == ["K", "b", "3,000", "100,000.0", "0.50"]


def test_the_table_of_inputs_compares_with_pandas():
    other = {"read_seconds": [1.0, 2.0], "seconds": [4.0, 8.0], "read_mib": [9.0] * 2}
    own = {name: [2 * value for value in values] for name, values in other.items()}
    measured = {"load": own | {"mib": [30.0, 30.0]}, "pandas": other | {"mib": [20.0, 20.0]}}
    times = {"seconds": 2.0, "mib": 1.5, "read_seconds": 2.0, "read_mib": 2.0}
    assert inputs.ratios(measured) == times
    text = inputs.tables(
        {"tables": {"CSV": measured}, "pictures": {"200, load": own | other | {"mib": [5.0]}}}
    )
    assert "| CSV | load | 3.00 | 12.00 | 18 | 30 | 2.00 | 2.00 | 1.50 |" in text
    assert "| 200, load | 1.50 | 6.00 | 9 | 5 |" in text


@pytest.mark.slow
def test_inputs_reads_and_trains(tmp_path):
    path = inputs.table(tmp_path, 1200)["CSV"]
    folder = inputs.pictures(tmp_path / "pictures", 30, (8, 8, 3))
    for reader, source in (("load", path), ("pandas", path), ("stream_images", folder)):
        measured = inputs.one(reader, source)
        assert measured["seconds"] > measured["read_seconds"] > 0, reader
        assert measured["mib"] >= measured["read_mib"], reader
    (x, y), (other, labels) = inputs.read_load(path), inputs.read_pandas(path)
    assert x.shape == other.shape == (1080, inputs.COLUMNS)
    assert set(y) == set(labels) == set(range(10))
