"""What is printed never decides over a run, whatever stdout and stderr are."""

import ast
import contextlib
import functools
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxvae
from conftest import small_vae
from jaxvae import _output, history
from jaxvae.apps import cli
from jaxvae.training import checkpoints

RECORD = history.EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0], np.float32))


class Bare:
    """Has `write` alone."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Refusing(io.StringIO):
    def write(self, text):
        raise RuntimeError("reentrant call")

    flush = isatty = write


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def unread():
    """A pipe that no one reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


STREAMS = {
    "none": lambda: None,
    "bare": Bare,
    "closed": closed,
    "refusing": Refusing,
    "object": object,
    "ascii": lambda: io.TextIOWrapper(io.BytesIO(), "ascii"),
    "unread": unread,
    "full": functools.partial(open, "/dev/full", "w"),
}


@contextlib.contextmanager
def standard_streams(kind, monkeypatch):
    """Makes stdout and stderr such streams, and closes them once they are what they were."""
    streams = [STREAMS[kind]() for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        yield streams
    for stream in streams:
        if hasattr(stream, "close") and kind != "refusing":
            stream.close()  # raises if something is still to be written


@pytest.mark.parametrize("kind", STREAMS)
def test_progress(kind, monkeypatch):
    with (
        standard_streams(kind, monkeypatch) as (stdout, _),
        history.Progress(2, enabled=True) as show,
    ):
        show.note("a note, with a plus-minus sign: ±")
        show.restored([RECORD])
        show.epoch(RECORD._replace(epoch=1))
        text = {
            "bare": lambda: stdout.text,
            "ascii": lambda: stdout.buffer.getvalue().decode("ascii"),
        }.get(kind, lambda: None)()
    if text is not None:
        assert text.count("\n") == 4
        assert "2/2       4.0000" in text


@pytest.mark.parametrize("kind", STREAMS)
def test_commands(kind, monkeypatch, tmp_path):
    lines = {
        ("--help",): 0,
        ("train", "--help"): 0,
        ("--version",): 0,
        ("evaluate",): 2,
        ("evaluate", str(tmp_path)): 1,
    }
    with standard_streams(kind, monkeypatch):
        found = {line: cli.main(line) for line in lines}
    assert found == lines


@pytest.mark.slow
def test_training(monkeypatch):
    with standard_streams("unread", monkeypatch):
        state, _ = jaxvae.fit(
            jax.random.key(0),
            small_vae("normal"),
            np.zeros((64, 64), np.float32),
            batch_size=32,
            epochs=1,
            progress=True,
        )
    assert int(state.step) == 2


def test_the_bar_is_cleared_for_a_line(monkeypatch):
    """stdout and stderr share a terminal: what wraps them must not hide that from tqdm."""

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    shared = Terminal()
    monkeypatch.setattr(sys, "stdout", shared)
    monkeypatch.setattr(sys, "stderr", shared)
    with history.Progress(2, enabled=True) as show:
        drawn = len(shared.getvalue())
        assert "epoch 0/2" in shared.getvalue()
        show.note("a line")
    between = shared.getvalue()[drawn:].partition("a line")[0]
    assert between.startswith("\r")
    assert not between.strip()


def test_a_long_line_is_wrapped_and_a_name_never_broken(capsys):
    _output.say("word " * 30)
    lines = capsys.readouterr().out.splitlines()
    assert [len(line) for line in lines] == [79, 71]
    assert lines[1].startswith("  word")
    _output.say("x" * 70 + " --style-dim 2")  # an option stays in one piece
    assert capsys.readouterr().out == "x" * 70 + "\n  --style-dim 2\n"
    table = "a" + " " * 60 + "b"
    _output.say(table)
    assert capsys.readouterr().out == f"{table}\n"
    name = "/a folder with spaces/" + "long" * 20
    _output.say("The run is in", name)
    assert capsys.readouterr().out == f"The run is in\n  {name}\n"
    _output.say("The run is in", "runs/a")
    assert capsys.readouterr().out == "The run is in runs/a\n"


def test_an_error_is_one_line_but_on_a_terminal(capsys, monkeypatch):
    message = "jaxvae: error: " + "word " * 30
    _output.say(message, error=True)
    assert capsys.readouterr().err == f"{message}\n"
    monkeypatch.setattr(_output.Outlet, "isatty", lambda self: True)
    _output.say(message, error=True)
    assert max(map(len, capsys.readouterr().err.splitlines())) <= 80


def test_quiet_leaves_errors_and_the_names_of_what_was_made(capsys):
    with _output.quiet(), _output.quiet(False):
        _output.say("a line")
        _output.say("an error", error=True)
        _output.say_made("The run is in", "runs/a")
        assert not history.Progress(1, enabled=True)._enabled
    assert capsys.readouterr() == ("runs/a\n", "an error\n")
    _output.say_made("The run is in", "runs/a")
    assert capsys.readouterr().out == "The run is in runs/a\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.0, "4.0000"), (-123.45678, "-123.457"), (123456.789, "123456.8"), (-1e7, "-1.0e+07"),
        (3e-9, "3.00e-09"), (0.0, "0.0000"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_a_number_fits_its_columns(value, text):
    assert _output.number(value, 8) == text
    assert len(text) <= 8


def test_a_warning_on_a_closed_stderr(monkeypatch, tmp_path):
    writer = checkpoints.CheckpointWriter(tmp_path)
    for step in (1, 2):
        writer.save(step, {"w": np.ones(2)}, {}, score=None)
    writer.close()
    (tmp_path / "0000000002" / checkpoints.ABOUT).write_text("{")

    def show(message, *_, **__):
        sys.stderr.write(str(message))  # as Python's own does; pytest's keeps them

    def read():
        return checkpoints.read_last(tmp_path, lambda beside: {"w": checkpoints.ANY})

    with warnings.catch_warnings(), standard_streams("closed", monkeypatch):
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        tree, _ = read()
    np.testing.assert_array_equal(tree["w"], np.ones(2))
    with pytest.raises(UserWarning, match="damaged"):  # a filter still makes an error of it
        read()


COMMAND = [sys.executable, "-m", "jaxvae"]
PROGRESS = [
    sys.executable,
    "-c",
    "import jaxvae.history as h\nwith h.Progress(1, enabled=True) as show: show.note('a line')",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ([*COMMAND, "--help"], "unread"),
        ([*COMMAND, "--help"], "full"),
        ([*COMMAND, "--help"], ">&-"),
        (PROGRESS, "unread"),
    ],
    ids=["unread", "full", "closed", "library"],
)
def test_the_end_of_the_interpreter(command, kind):
    """It writes once more what is left, and says so if it cannot."""
    if kind == ">&-":
        done = subprocess.run(
            ["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, timeout=120
        )
    else:
        with STREAMS[kind]() as stream:
            done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_whole_run_without_descriptors(tmp_path):
    """Nothing that is opened gets the number of stdout or stderr, where libraries print."""
    command = [*COMMAND, "train", "--out", str(tmp_path / "run"), "--epochs", "1", "--layers", "1"]
    command += ["--hidden-units", "8", "--batch-size", "512", "--model", "normal"]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command], timeout=300)
    assert done.returncode == 0
    assert (tmp_path / "run" / "summary.json").is_file()
    assert (tmp_path / "run" / "figures" / "latent.png").is_file()
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


def test_all_that_is_printed_goes_through_one_module():
    """So that no line is printed in a way that can fail."""
    for path in Path(jaxvae.__file__).parent.rglob("*.py"):
        if path.stem == "_output":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "warnings.warn"), (path.name, node.lineno)
                # What wraps them asks for nothing that fails.
                if called == "Outlet":
                    continue
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                inner = ast.unparse(node.value)
                assert inner not in ("sys.stdout", "sys.stderr"), (path.name, node.lineno)
