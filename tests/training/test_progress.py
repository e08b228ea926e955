"""What is shown while a model is trained: its columns, its rows, its last sentences."""

import contextlib
import io
import math
import os
import re

import numpy as np
import pytest

from jaxvae.history import EpochRecord, Progress
from jaxvae.training import progress

STEPS = np.zeros(2, np.float32)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True

    def frames(self):
        """What stood on each line at some time."""
        return [frame for line in self.getvalue().split("\n") for frame in line.split("\r")]

    def left(self):
        """What stands there at the end."""
        lines = []
        for line in self.getvalue().split("\n"):
            cells = ""
            for frame in line.split("\r"):
                cells = frame + cells[len(frame) :]
            lines.append(cells.rstrip())
        return [line for line in lines if line]


@contextlib.contextmanager
def on(stream):
    """Makes stdout and stderr a stream."""
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def terminal():
    return Terminal()


def record(epoch, *, loss=4.0, held_out=None, rate=2874.0, skipped=0):
    return EpochRecord(epoch, loss, 3.0, 1.0, 0.5, rate, STEPS, skipped, held_out)


def shown(stream, epochs, *rows, **options):
    """Shows the rows, each the records of the runs in an epoch."""
    with on(stream), Progress(epochs, enabled=True, **options) as show:
        show.compiling()
        show.compiled(3.21)
        for row in rows:
            show.epoch(*row)


NUMBERS = [(-29.6, -580.5), (123456.789, 654321.0), (-1e9, -1e12), (3e-7, math.nan)]
RUNS = {"one": 1, "eight": 8}


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
@pytest.mark.parametrize("members", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("epochs", [3, 200, 10_000])
@pytest.mark.parametrize("kind", ["log", "terminal"])
def test_no_line_is_wider_than_a_terminal(kind, epochs, members, numbers, request, monkeypatch):
    """Whatever the numbers are: large losses, millions of examples a second, skipped steps."""
    stream = request.getfixturevalue(kind)
    monkeypatch.setattr(progress, "SILENCE", 0.0)  # a row for each epoch
    monkeypatch.setattr(progress, "tqdm", Eager)
    loss, held_out = numbers
    ends = [record(e, loss=loss, held_out=held_out, rate=1e6, skipped=1234)
            for e in (0, epochs - 2, epochs - 1)]  # fmt: skip
    shown(stream, epochs, *[[end] * members for end in ends], patience=20)
    frames = stream.frames() if kind == "terminal" else stream.getvalue().split("\n")
    assert max(map(len, frames)) <= 80
    (last,) = [frame for frame in frames if f"{epochs}/{epochs} " in frame]
    if kind == "terminal":
        assert last.rstrip().endswith(" 0:00 left")
        assert "| loss " in last
        assert "█" * progress.BAR in last


@pytest.mark.parametrize(("columns", "widest"), [(50, 49), (0, 79), (200, 79)])
def test_the_line_fits_the_terminal(terminal, monkeypatch, columns, widest):
    """One of unknown size has 80 columns; on a wide one the line stays short."""
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr(terminal, "fileno", lambda: 1)
    monkeypatch.setattr(progress.os, "get_terminal_size", lambda number: size)
    monkeypatch.setattr(progress, "tqdm", Eager)
    shown(terminal, 3, *[[record(e, held_out=4.0)] for e in range(3)], patience=5)
    live = [frame for frame in terminal.frames() if frame.startswith("epoch ")]
    assert max(map(len, live)) == widest
    assert " left" in live[-1]


def test_the_table_of_a_log_is_aligned(log):
    """Each number ends where its column's name ends."""
    rows = [[record(e, loss=10.0**e, held_out=-(10.0**e))] for e in range(3)]
    shown(log, 3, *rows)
    compiling, compiled, header, *table, end = log.getvalue().splitlines()
    assert (compiling, compiled) == ("Compiling ...", "Compiled in 3.2 s.")
    names = ["epoch", "loss", "held out", "reconstruction", "KL", "examples/s"]
    assert header.replace("held out", "held_out").split() == [n.replace(" ", "_") for n in names]
    stops = [header.index(name) + len(name) for name in names]
    for line in table:
        assert len(line) == len(header)
        assert all(line[stop - 1] != " " and line[stop : stop + 1] in ("", " ") for stop in stops)
    assert table[1].split() == ["2/3", "10.0000", "-10.0000", "3.0000", "1.0000", "2,874"]
    assert end.endswith(" examples/s: loss 100.0000, held out -100.000.")


@pytest.mark.parametrize(
    ("epochs", "rows"),
    [
        (1, [1]),
        (20, list(range(1, 21))),
        (60, [1, *range(5, 61, 5)]),
        (200, [1, *range(10, 201, 10)]),
        (1234, [1, *range(100, 1201, 100), 1234]),
    ],
)
def test_a_log_has_a_few_rows_on_a_fixed_grid(log, epochs, rows):
    shown(log, epochs, *[[record(e)] for e in range(epochs)])
    lines = [line for line in log.getvalue().splitlines() if f"/{epochs} " in line]
    assert [int(line.split("/")[0]) for line in lines] == rows


def test_a_long_silence_ends_with_a_row(log, monkeypatch):
    clock = iter(range(0, 10**6, 25))  # seconds: an epoch takes about a minute
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(clock)))
    shown(log, 200, *[[record(e)] for e in range(9)])
    lines = [line for line in log.getvalue().splitlines() if "/200 " in line]
    assert 3 < len(lines) < 9


def test_one_line_is_rewritten_on_a_terminal(terminal, monkeypatch):
    rows = [[record(e, loss=5.0 - e, held_out=[5.0, 3.0, 4.0][e])] for e in range(3)]
    monkeypatch.setattr(progress, "tqdm", Eager)
    shown(terminal, 3, *rows, patience=5)
    assert any("compiling ..." in frame for frame in terminal.frames())
    (live,) = [frame for frame in terminal.frames() if frame.startswith("epoch 3/3 |")]
    assert live.rstrip().endswith("| loss 3.0000 held out 4.0000 best 2 2,874/s 0:00 left")
    assert "█" in live
    first, second = terminal.left()
    assert first.startswith("3 epochs in ")
    assert second == "The parameters are those of epoch 2, where the held-out loss is lowest."


class Eager(progress.tqdm):
    """Draws at each update: the tests' epochs take no time."""

    def __init__(self, *args, **options):
        super().__init__(*args, mininterval=0, **options)


def held_out(losses):
    return [record(e, held_out=loss) for e, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "epochs", "patience", "sentence"),
    [
        (
            [5.0, 3.0, 4.0, 4.0],
            9,
            2,
            "Stopped after epoch 4: no lower held-out loss in 2 epochs; the parameters are those "
            "of epoch 2.",
        ),
        ([5.0, 3.0, 2.0], 9, 2, "Stopped after epoch 3 of 9; the parameters are those of epoch 3."),
        ([5.0, 3.0, 2.0], 9, None, "Stopped after epoch 3 of 9."),
        ([5.0, 3.0], 2, 2, "The held-out loss is lowest after the last epoch: more epochs may "
                           "lower it."),
        ([3.0, 5.0], 2, 2, "The parameters are those of epoch 1, where the held-out loss is "
                           "lowest."),
        ([3.0, 5.0], 2, None, ""),
        ([float("nan"), 3.0, 5.0], 3, 5, "The parameters are those of epoch 2, where the held-out "
                                         "loss is lowest."),
    ],
    ids=["patience", "on_epoch", "on_epoch alone", "last is best", "other is best", "all", "nan"],
)  # fmt: skip
def test_why_it_ended_and_whose_parameters_they_are(log, losses, epochs, patience, sentence):
    shown(log, epochs, *[[r] for r in held_out(losses)], patience=patience)
    said = " ".join(log.getvalue().partition(" examples/s: ")[2].split())
    assert said.partition(".0000. ")[2] == sentence or (not sentence and said.endswith(".0000."))


def test_the_speed_in_the_end_is_of_all_the_time(log, monkeypatch):
    """So that it agrees with the seconds beside it, whatever went by between the epochs."""
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("jaxvae.training.progress.time.perf_counter", lambda: float(next(clock)))
    shown(log, 2, *[[record(e, loss=1.0)] for e in range(2)])
    end = log.getvalue().splitlines()[-1]
    seconds, speed = re.search(r"in ([\d.]+) s at ([\d,]+) examples/s", end).groups()
    # Two epochs of half a second at 2,874 examples a second.
    assert float(speed.replace(",", "")) == pytest.approx(2874 / float(seconds), abs=0.5)


def test_runs_that_end_one_after_the_other(log):
    """The means are of the latest record of each; the speed is of those that still train."""
    first, second = held_out([1.0, 2.0, 2.0]), held_out([3.0, 2.0, 4.0, 6.0])
    rows = [*zip(first, second, strict=False), (first[2], second[3])]
    shown(log, 9, *rows, patience=2)
    header, *table = log.getvalue().splitlines()[2:6]
    assert header.split() == ["epoch", "mean", "loss", "std", "mean", "held", "out", "std",
                              "examples/s"]  # fmt: skip
    assert table[0].split() == ["1/9", "4.0000", "0.0000", "2.0000", "1.4142", "5,748"]
    said = " ".join(log.getvalue().split())
    assert "4/9 4.0000 0.0000 4.0000 2.8284 2,874" in said
    assert said.endswith(
        "Stopped after epochs 3 to 4: no lower held-out loss in 2 epochs; each run's parameters "
        "are those of its best epoch, 1 to 2."
    )


def test_going_on_with_a_run(log):
    """Best epochs count that lie before; the time is of those since."""
    with on(log), Progress(4, enabled=True, patience=5) as show:
        show.restored(held_out([1.0, 5.0]))
        show.compiled(1.0)
        for later in held_out([1.0, 5.0, 6.0, 7.0])[2:]:
            show.epoch(later)
    said = log.getvalue()
    assert said.startswith("Going on after epoch 2.\n")
    assert "Epochs 3 to 4 in " in said
    assert "The parameters are those of epoch 1, where" in said


def test_going_on_with_runs_of_which_one_has_ended(log):
    with on(log), Progress(9, enabled=True, patience=2) as show:
        ended = held_out([3.0, 4.0, 4.0])
        show.restored(ended, held_out([5.0, 4.0, 3.0, 2.0]))
        for later in held_out([5.0, 4.0, 3.0, 2.0, 6.0, 7.0])[4:]:
            show.epoch(ended[-1], later)
    assert log.getvalue().startswith("Going on after epoch 4.\n")
    assert "Epochs 5 to 6 in " in log.getvalue()
    assert "of its best epoch, 1 to 4." in " ".join(log.getvalue().split())


def test_skipped_steps_are_said(log):
    shown(log, 40, *[[record(e, skipped=e == 2)] for e in range(4)])
    lines = log.getvalue().splitlines()
    (line,) = [i for i, text in enumerate(lines) if "1 step was skipped" in text]
    assert lines[line - 1].split()[0] == "4/40"


def test_an_error_is_followed_by_no_summary(log):
    def fails():
        with on(log), Progress(9, enabled=True) as show:
            show.epoch(record(0))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fails()
    assert "1/9" in log.getvalue()
    assert "epochs in" not in log.getvalue()


def test_nothing_is_shown_unasked(log):
    with on(log), Progress(2, enabled=False) as show:
        show.note("a note")
        show.compiling()
        show.epoch(record(0))
    assert log.getvalue() == ""
