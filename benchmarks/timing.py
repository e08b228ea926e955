"""Calls timed in alternation: what slows one down for a while slows the others too."""

import time

import numpy as np


def in_turns(timers, rounds):
    """Let each timer report once a round, the order reversed every other round.

    Args:
      timers: name -> a function that returns seconds.
      rounds: how many.

    Returns:
      name -> seconds, a number a round.
    """
    seconds = {name: [] for name in timers}
    for number in range(rounds):
        for name in list(timers)[:: -1 if number % 2 else 1]:
            seconds[name].append(timers[name]())
    return seconds


def stopwatch(call):
    """A timer of a call."""

    def timer():
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    return timer


def alternate(calls, rounds):
    """Seconds of each call, by name, `rounds` times each, after one that compiles."""
    for call in calls.values():
        call()
    return in_turns({name: stopwatch(call) for name, call in calls.items()}, rounds)


def ratio(seconds, other):
    """The median over rounds of the ratio of two that took turns."""
    return float(np.median(np.array(seconds) / np.array(other)))
