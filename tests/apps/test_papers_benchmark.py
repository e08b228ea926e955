"""The benchmark of papers: its schedule, its tables, and that a long run goes on where it was."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import papers
import report


def test_the_schedule_is_that_of_burda_et_al():
    rate, epochs = papers.rates(1.0, 3000)
    assert epochs == 3280
    ends = np.cumsum([3**i for i in range(8)])
    for i, end in enumerate(ends):
        np.testing.assert_allclose(rate(end * 3000 - 1), 1e-3 * 10 ** (-i / 7), rtol=1e-5)
    assert papers.rates(0.1, 3000)[1] == 330  # a stage has at least one epoch


def test_tables_name_what_was_published_beside_the_full_schedule_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    one = {"what": "burda", "data": "mnist", "k": 1, "share": 1.0, "nll": 86.5, "active": 19,
           "epochs": 3280, "seconds": 7200.0, "nll_seconds": 420.0}  # fmt: skip
    runs = [
        {**one, "seed": 0}, {**one, "seed": 1, "nll": 86.9},
        {**one, "seed": 0, "share": 0.1, "epochs": 330}, {**one, "seed": 0, "data": "fashion"},
        {"what": "flax", "data": "mnist", "k": 1, "seed": 0, "nelbo_10": 104.0, "nelbo_30": 101.5,
         "active": 20},
    ]  # fmt: skip
    papers.write(runs)
    written = json.loads((tmp_path / "papers.json").read_text())
    assert written["runs"] == runs
    assert set(written["tables"]) == {"burda", "flax"}
    rows = written["tables"]["burda"]["rows"]
    assert rows[0] == [
        "MNIST", 1, "3,280", 2, 86.76, "86.70 ± 0.28", 19, "19.0 ± 0.0", "2.0", "7.0",
    ]  # fmt: skip
    assert [row[4] for row in rows[1:]] == ["-", "-"]
    assert "| MNIST | 30 | 101.0 | 101.50 | 1 | 20.0 |" in (tmp_path / "papers.md").read_text()


@pytest.mark.slow
def test_a_long_run_goes_on_where_it_was(monkeypatch, tmp_path):
    """The same numbers, whether it was stopped or not."""
    rng = np.random.default_rng(0)
    images = rng.random((200, 36), np.float32), rng.random((40, 36), np.float32)
    monkeypatch.setattr(papers, "EVERY", 1)
    chosen = Namespace(share=0.0, draws=64, states=None)
    expected = papers.burda("mnist", images, 2, 0, chosen)
    kept = Namespace(share=0.0, draws=64, states=tmp_path)
    saves, save = [], papers.save

    def stopped(*arguments):
        save(*arguments)
        saves.append(arguments)
        if len(saves) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(papers, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        papers.burda("mnist", images, 2, 0, kept)
    found = papers.burda("mnist", images, 2, 0, kept)
    assert len(saves) == 8
    assert found["nll"] == pytest.approx(expected["nll"], rel=1e-6)
    assert jax.tree.leaves(saves[-1][2].step)[0] == 8 * 10
