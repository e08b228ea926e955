"""What stands before the first epoch: its program, and the state that it begins with."""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxvae.data import streaming
from jaxvae.model.values import Same
from jaxvae.training.layouts import Call
from jaxvae.training.members import One
from jaxvae.training.programs import (
    Program,
    States,
    at_once,
    compile_ahead,
    read_metrics,
    stopping,
    train_program,
)
from jaxvae.training.state import Metrics, TrainState


def prepared(
    who: One, source: Any, state: TrainState | None, *, skip: bool, trust: bool
) -> tuple[Program, list[Call]]:
    """Compile an epoch, and begin.

    Args:
      who: is trained.
      source: what gives the examples.
      state: where to start; None: a fresh one.
      skip: whether steps that are not finite are left out.
      trust: of `stopping`, where they are not.

    Returns:
      The program of an epoch, and what each call of it begins with.
    """
    # Where nothing is left to ask but shapes, the initial parameters are compiled while the epoch
    # is traced: the compiler needs no lock of Python's.
    with ThreadPoolExecutor(1, "jaxvae-compile") as beside:
        like = calls = compiling = None
        if state is None:
            compiling = beside.submit(who.compiler_of_calls(source.first))
            like = who.like()

        def begin() -> list[Call]:
            if compiling is not None:
                compiling.result()
            return who.calls(state, source.first)

        if like is None:
            calls = begin()
            like = calls[0]
        compile_for = functools.partial(_compile, who, source, like)
        program = compile_for("skip") if skip else stopping(compile_for, trust=trust)
        return program, begin() if calls is None else calls


def _compile(who: One, source: Any, like: Call, on_non_finite: str) -> Program:
    """The program of an epoch, or of a chunk of one, ready to be called."""
    function = train_program(
        who.make,
        Same(who.optimizer),
        on_non_finite,
        who.layout,
        batch_size=source.program_batch,
        members=who.mapped,
        examples=source.examples_split,
    )
    before = who.layout.slots()
    compiled = compile_ahead(function, *before, *like, *source.like)
    streaming.give_back()  # as much as MNIST takes, which is put on the device after this

    def program(
        needed: list[bool], keys: Any, values: Any, states: States, *data: Any
    ) -> tuple[States, Metrics]:
        def call(needed: bool, key: Any, state: TrainState, values: Any) -> Any:
            if not needed:
                return state, None
            state, metrics, made = compiled(*before, key, state, values, *data)
            return state, read_metrics(metrics, made)

        states, found = zip(*at_once(call, needed, keys, states, values), strict=True)
        some = next(filter(None, found))  # nobody reads those of a call that was not needed
        rows = [own or some for own in found]
        return states, jax.tree.map(lambda *leaves: np.concatenate(leaves), *rows)

    return program
