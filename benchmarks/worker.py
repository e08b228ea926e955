"""A competitor in a process of its own; `workers.py` drives it, a JSON line a request.

    {"do": "prepare", "name": ..., "case": {...}, "seed": 0, "data": FOLDER}   model and data
    {"do": "epoch"}          -> {"seconds": ..., "loss": ...}                  one more epoch
    {"do": "functions", "name": ..., "case": {...}, "batch_size": 1}           encode, decode, ...
    {"do": "call", "function": "encode", "seconds": 0.5} -> {"seconds": ...}   of one call
    {"do": "memory"}         -> {"mib": ...}                                   the most it has held

Answers go to the first standard output; what a competitor prints goes to the null device.
"""

import itertools
import json
import os
import sys
import time
import traceback
from pathlib import Path

import competitors
import numpy as np
from competitors import Case


class Worker:
    """The requests, by name."""

    def prepare(self, name, case, seed, data):
        x, y = (np.load(Path(data, f"{array}.npy")) for array in ("x", "y"))
        self.train_epoch = competitors.prepare(name, Case(**case), x, y, seed)
        return {}

    def epoch(self):
        started = time.perf_counter()
        loss = self.train_epoch()
        return {"seconds": time.perf_counter() - started, "loss": loss}

    def functions(self, name, case, batch_size):
        module, variant = competitors.load(name), competitors.find(name).variant
        self.calls = module.functions(variant, Case(**case), batch_size)
        for call in self.calls.values():
            call()
        return {"functions": list(self.calls)}

    def call(self, function, seconds):
        call, started = self.calls[function], time.perf_counter()
        for done in itertools.count(1):
            call()
            if (spent := time.perf_counter() - started) > seconds:
                return {"seconds": spent / done}

    def memory(self):
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in status if line.startswith("VmHWM"))
        return {"mib": int(peak.split()[1]) // 1024}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)
    os._exit(0)  # a thread may be held in a `fit` that never ends


if __name__ == "__main__":
    main()
