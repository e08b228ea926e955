"""One epoch at a time of a `fit` that trains many and only prints.

The original's `fit` makes a new optimizer and cannot be called twice. So one long `fit` runs in a
thread, its prints go to a stream that shows nothing, and that stream holds it at each epoch's line.
"""

import contextlib
import queue
import re
import threading


class HoldingStream:
    """A stream that drops what is written, and at a line `epoch N - loss` waits to be let on."""

    def __init__(self):
        self.go, self.losses = queue.Queue(), queue.Queue()

    def write(self, text):
        if text.startswith("epoch"):
            self.losses.put(float(re.fullmatch(r"epoch \d+ - (\S+)", text).group(1)))
            self.go.get()
        return len(text)

    def flush(self):
        pass


def epochs_of(model, case, x, y):
    """A call that lets `model.fit` train one more epoch and returns the loss that it prints."""
    stream, arrays = HoldingStream(), (x,) if case.latent == "normal" else (x, y)

    def fit():
        stream.go.get()
        try:
            with contextlib.redirect_stdout(stream):
                model.fit(*arrays, batch_size=case.batch_size, epochs=1_000_000)
        except BaseException as error:
            stream.losses.put(error)

    threading.Thread(target=fit, daemon=True).start()

    def epoch():
        stream.go.put(None)
        loss = stream.losses.get()
        if isinstance(loss, BaseException):
            raise loss
        return loss

    return epoch
