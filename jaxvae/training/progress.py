"""What is shown while `fit` and `fit_many` train: one live line on a terminal, else a short log."""

import math
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxvae._door import door
from jaxvae._output import WIDTH, Outlet, is_quiet, number, wrapped
from jaxvae.training.history import EpochRecord

ROWS = 20  # at most, that a log has at equal distances
SILENCE = 60.0  # seconds after which a log gets a row, whichever epoch it is
BAR = 6  # cells, fewer of which say little
GAP = "  "


@door("history")
class Progress:
    """Shows how training goes on: what it has come to so far, and at the end what it came to.

    Where stdout and stderr are a terminal it is one line that is rewritten: a bar, the loss, the
    loss on held-out examples and its best epoch, the speed, the time that is left. Elsewhere it is
    a table with a row for the first, the last and at most twenty epochs between them, and one for
    each minute without a row. No line has more than 80 columns.

    Args:
      epochs: at most.
      enabled: whether anything is shown.
      patience: of `fit`, for the sentence about the end; None: training does not end early.

    Example:
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0], np.float32))
      >>> with Progress(1, enabled=True) as show:
      ...     show.note("two steps an epoch")
      ...     show.epoch(record)  # doctest: +ELLIPSIS
      two steps an epoch
      epoch         loss  reconstruction           KL  examples/s
        1/1       4.0000          3.0000       1.0000       2,874
      1 epoch in ... s at ... examples/s: loss 4.0000.
    """

    def __init__(self, epochs: int, *, enabled: bool, patience: int | None = None):
        self._epochs, self._patience = epochs, patience
        self._enabled = enabled and not is_quiet()
        self._bar: Any = None
        self._width = WIDTH - 1
        self._step = _distance(epochs)
        self._latest: tuple[EpochRecord, ...] = ()
        self._best: dict[int, EpochRecord] = {}
        self._done = self._skipped = self._before = 0
        self._examples = 0.0
        self._headed = self._written = False
        self._began = self._last_row = time.perf_counter()

    def __enter__(self) -> "Progress":
        if self._enabled:
            stdout, stderr = Outlet(sys.stdout), Outlet(sys.stderr)
            if stdout.isatty() and stderr.isatty():
                self._width = _width(stderr)
                self._bar = tqdm(
                    total=self._epochs,
                    leave=False,
                    file=stderr,
                    miniters=1,  # else it learns to draw less often
                    ncols=self._width,
                    bar_format="epoch {n_fmt}/{total_fmt} |{bar}| {desc}",
                )
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None and self._latest:
            if self._bar is None and not self._written:
                self._row()
            self.note(self._end())

    def note(self, text: str) -> None:
        """Show a sentence, on lines of its own.

        Args:
          text: the sentence.
        """
        if self._enabled:
            stdout = Outlet(sys.stdout)
            tqdm.write(wrapped(text), file=stdout)
            stdout.flush()

    def compiling(self) -> None:
        """Show that the program of an epoch is compiled, which takes seconds."""
        if self._bar is None:
            self.note("Compiling ...")
        else:
            self._bar.set_description_str("compiling ...")

    def compiled(self, seconds: float) -> None:
        """Show that it is compiled.

        Args:
          seconds: how long that took.
        """
        self._began = self._last_row = time.perf_counter()
        if self._bar is None:
            self.note(f"Compiled in {seconds:.1f} s.")
        else:
            self._bar.set_description_str("the first epoch ...")

    def restored(self, *members: Sequence[EpochRecord]) -> None:
        """Show where training goes on.

        Args:
          *members: for each run its records so far.
        """
        for i, records in enumerate(members):
            for record in records:
                self._see(i, record)
        self._done = self._before = max((len(records) for records in members), default=0)
        self.note(f"Going on after epoch {self._done}.")
        if self._bar is not None:
            self._bar.update(self._done)

    def epoch(self, *members: EpochRecord) -> None:
        """Show an epoch, if it is due.

        Args:
          *members: for each run its latest record; those that have ended have an older one.
        """
        for i, record in enumerate(members):
            self._see(i, record)
        self._latest, self._written = members, False
        self._done = max(record.epoch for record in members) + 1
        self._skipped += sum(record.skipped for record in self._training())
        self._examples += self._speed() * self._training()[0].seconds
        if self._bar is not None:
            self._bar.set_description_str(self._live(), refresh=False)
            self._bar.update(self._done - self._bar.n)
        elif self._enabled and self._is_due():
            self._row()

    def _see(self, member: int, record: EpochRecord) -> None:
        """Keep the best epoch of a run."""
        best, loss = self._best.get(member), _held_out(record)
        if math.isfinite(loss) and (best is None or loss < _held_out(best)):
            self._best[member] = record

    def _training(self) -> list[EpochRecord]:
        """The records of the latest epoch: those of runs that have not ended."""
        return [record for record in self._latest if record.epoch + 1 == self._done]

    def _speed(self) -> float:
        return sum(record.images_per_second for record in self._training())

    def _is_due(self) -> bool:
        on_grid = self._done % self._step == 0 or self._done in (1, self._epochs)
        return on_grid or time.perf_counter() - self._last_row >= SILENCE

    def _live(self) -> str:
        """What stands behind the bar: what matters less is left out where there is no room."""
        losses = f"loss {_mean([r.loss for r in self._latest], 7)}"
        held_out, best = "", ""
        if self._latest[0].validation_loss is not None:
            held_out = f" held out {_mean([_held_out(r) for r in self._latest], 7)}"
        if (own := self._best.get(0)) is not None and len(self._latest) == 1:
            best = f" best {own.epoch + 1}"
        rate = f" {_short(self._speed())}/s"
        left = f" {self._left()} left"
        room = self._width - len(f"epoch {self._done}/{self._epochs} || ") - BAR
        kept = ((held_out, best, rate, left), (held_out, best, left), (held_out, left), (left,), ())
        for parts in kept:
            text = losses + "".join(parts)
            if len(text) <= room:
                break
        return text

    def _left(self) -> str:
        each = (time.perf_counter() - self._began) / max(self._done - self._before, 1)
        return _clock(each * (self._epochs - self._done))

    def _row(self) -> None:
        """A row of the log, its header before the first."""
        records, many = self._latest, len(self._latest) > 1
        columns = [("epoch", f"{self._done}/{self._epochs}", 2 * len(str(self._epochs)) + 1)]
        columns += _columns("loss", [record.loss for record in records], many)
        if records[0].validation_loss is not None:
            columns += _columns("held out", [_held_out(record) for record in records], many)
        if not many:
            columns.append(("reconstruction", number(records[0].reconstruction, 14), 14))
            columns.append(("KL", number(records[0].kl, 11), 11))
        columns.append(("examples/s", f"{self._speed():,.0f}", 10))
        if not self._headed:
            self.note(GAP.join(f"{name:>{max(width, len(name))}}" for name, _, width in columns))
        self.note(GAP.join(f"{text:>{max(width, len(name))}}" for name, text, width in columns))
        if self._skipped:
            self.note(f"  {_steps(self._skipped)}.")
        self._skipped = 0
        self._headed = self._written = True
        self._last_row = time.perf_counter()

    def _end(self) -> str:
        """What training came to, and where it could end early, why it ended."""
        records, count = self._latest, self._done - self._before
        seconds = time.perf_counter() - self._began
        took = f"{seconds:.1f} s" if seconds < 100 else _clock(seconds)
        losses = f"loss {_mean([record.loss for record in records], 8)}"
        if records[0].validation_loss is not None:
            losses += f", held out {_mean([_held_out(record) for record in records], 8)}"
        if len(records) > 1:
            losses = f"mean {losses}"
        epochs = f"{count} {'epoch' if count == 1 else 'epochs'}"
        if self._before:
            epochs = f"Epochs {self._before + 1} to {self._done}"
        speed = self._examples / seconds  # all that went by counts: held-out losses, checkpoints
        sentences = [f"{epochs} in {took} at {speed:,.0f} examples/s: {losses}."]
        if self._skipped:
            sentences.append(f"{_steps(self._skipped)}.")
        return "\n".join([*sentences, *self._reason()])

    def _reason(self) -> list[str]:
        """Why training ended, and of which epoch the parameters are, where that is in question."""
        ends = [record.epoch + 1 for record in self._latest]
        best = [record.epoch + 1 for _, record in sorted(self._best.items())]
        early = min(ends) < self._epochs
        when = f"epoch {ends[0]}" if len({*ends}) == 1 else f"epochs {_range(ends)}"
        if self._patience is None or len(best) < len(ends):
            return [f"Stopped after {when} of {self._epochs}."] if early else []
        kept = f"the parameters are those of epoch {best[0]}"
        if len(ends) > 1:
            kept = f"each run's parameters are those of its best epoch, {_range(best)}"
        waits = [end - own for end, own in zip(ends, best, strict=True) if end < self._epochs]
        if early and min(waits) >= self._patience:
            why = f"no lower held-out loss in {self._patience} epochs"
            return [f"Stopped after {when}: {why}; {kept}."]
        if early:
            return [f"Stopped after {when} of {self._epochs}; {kept}."]
        if min(best) == self._epochs:
            return ["The held-out loss is lowest after the last epoch: more epochs may lower it."]
        return [f"{kept[0].upper()}{kept[1:]}, where the held-out loss is lowest."]


def _width(terminal: Outlet) -> int:
    """The columns of the live line: one that fills the last column may make a new one."""
    try:
        columns = os.get_terminal_size(terminal.fileno()).columns
    except Exception:  # any kind, as the stream may be anyone's
        columns = 0
    return min(columns or WIDTH, WIDTH) - 1


def _distance(epochs: int) -> int:
    """Epochs between the rows of a log: 1, 2, 5, 10, 20, 50, ..."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if epochs <= ROWS * factor * size:
                return factor * size
        size *= 10


def _columns(name: str, values: Sequence[float], many: bool) -> list[tuple[str, str, int]]:
    """The columns of a number: of many runs its mean and its standard deviation."""
    columns = [(f"mean {name}" if many else name, _mean(values, 11), 11)]
    if many:
        with np.errstate(invalid="ignore"):  # of a value that is not finite it is NaN, and shown
            columns.append(("std", number(float(np.std(values, ddof=1)), 9), 9))
    return columns


def _held_out(record: EpochRecord) -> float:
    return math.nan if record.validation_loss is None else record.validation_loss


def _mean(values: Sequence[float], width: int) -> str:
    return number(float(np.mean(values)), width)


def _short(value: float) -> str:
    """A speed in at most six columns or so."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if name == 'k' else size):.3g}{name}"
    return f"{value:,.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _steps(skipped: int) -> str:
    what = "step was" if skipped == 1 else "steps were"
    return f"{skipped:,} {what} skipped: the loss or the gradient was not finite"
