"""Worker processes: each holds one framework, and is stopped while it is not asked.

A stopped process (SIGSTOP) has no threads that spin, so that whoever is timed has all the cores.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


class WorkerError(RuntimeError):
    """What a worker said went wrong, or how its process ended."""


class Process:
    """A `worker.py`, asked over a pipe."""

    def __init__(self):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.popen = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
        )

    def ask(self, do, **arguments):
        """Send a request, wait for its answer, and stop the process."""
        self.popen.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        line = self.popen.stdout.readline()
        if not line:
            self.errors.seek(0)
            last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise WorkerError(f"the worker ended with {self.popen.wait()}: {' '.join(last)}")
        answer = json.loads(line)
        self.popen.send_signal(signal.SIGSTOP)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self):
        self.popen.kill()
        self.popen.wait()
        # A request that the process never took is still in the buffer, and closing sends it.
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.popen.stdout.close()
        self.errors.close()


@contextlib.contextmanager
def process():
    """A worker, killed at the end."""
    worker = Process()
    try:
        yield worker
    finally:
        worker.close()


@contextlib.contextmanager
def saved(x, y):
    """A folder with the training data, as workers read them."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "x.npy"), np.asarray(x, np.float32))
        np.save(Path(folder, "y.npy"), np.asarray(y, np.int32))
        yield folder
