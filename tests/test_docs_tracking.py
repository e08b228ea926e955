"""The snippets of docs/tracking.md run, each against a stand-in for its tracker that takes what the
real one takes.
"""

import contextlib
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jaxvae.apps.results import line
from jaxvae.training.history import EpochRecord

PAGE = Path(__file__).parents[1] / "docs" / "tracking.md"
NAMES = {"loss", "reconstruction", "kl", "validation_loss"}
SETUP, *SNIPPETS, OF_A_RUN = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def tensorboard(seen):
    class SummaryWriter:
        def __init__(self, logdir):
            self.logdir = logdir

        def __enter__(self):
            return self

        def __exit__(self, *error):
            seen.closed = True

        def add_scalar(self, tag, scalar_value, global_step):
            seen.numbers.setdefault(global_step, {})[tag] = float(scalar_value)

    return {"SummaryWriter": SummaryWriter}


def wandb(seen):
    class Run:
        def log(self, data, step):
            seen.numbers[step] = data

    @contextlib.contextmanager
    def init(project, config):
        yield Run()
        seen.closed = True

    return {"init": init}


def mlflow(seen):
    @contextlib.contextmanager
    def start_run():
        yield
        seen.closed = True

    def log_metrics(metrics, step):
        seen.numbers[step] = metrics

    return {"start_run": start_run, "log_metrics": log_metrics, "log_params": seen.params.update}


@pytest.fixture(scope="module")
def names():
    """What the first snippet defines."""
    defined = {}
    exec(SETUP, defined)
    return defined


@pytest.mark.parametrize(
    ("place", "module", "stand_in"),
    [(0, "tensorboardX", tensorboard), (1, "wandb", wandb), (2, "mlflow", mlflow)],
    ids=["tensorboardX", "wandb", "mlflow"],
)
def test_a_tracker_gets_the_numbers_of_each_epoch(names, monkeypatch, place, module, stand_in):
    seen = types.SimpleNamespace(numbers={}, params={}, closed=False)
    package = types.ModuleType(module)
    vars(package).update(stand_in(seen))
    monkeypatch.setitem(sys.modules, module, package)
    assert len(SNIPPETS) == 3
    exec(SNIPPETS[place], dict(names))
    assert sorted(seen.numbers) == [0, 1]
    assert all(set(of_epoch) >= NAMES for of_epoch in seen.numbers.values())
    assert all(np.isfinite(list(of_epoch.values())).all() for of_epoch in seen.numbers.values())
    assert seen.numbers[1]["loss"] < seen.numbers[0]["loss"]
    assert seen.closed


def test_what_is_missing_is_not_logged(names):
    record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 9.0, np.ones(2, np.float32), more={"kl_style": 0.5})
    assert names["numbers"](record) == {
        "loss": 4.0,
        "reconstruction": 3.0,
        "kl": 1.0,
        "kl_style": 0.5,
    }


def test_the_lines_of_a_run_are_read(monkeypatch, tmp_path, capsys):
    record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 9.0, np.ones(2, np.float32), validation_loss=5.0)
    Path(tmp_path, "runs/mine").mkdir(parents=True)
    Path(tmp_path, "runs/mine/metrics.jsonl").write_text(line(record))
    monkeypatch.chdir(tmp_path)
    exec(OF_A_RUN, {})
    assert capsys.readouterr().out == "0 4.0 5.0\n"
