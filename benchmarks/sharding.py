"""What a device holds and what a step sends, read from the compiled programs of `fit`.

The README's workload on MNIST over 8 virtual devices, the examples copied or split; and a wide
network, its parameters copied or split. `python benchmarks/sharding.py` compiles and runs nothing:
a minute. It writes `results/sharding.json` and `.md`.
"""

import os
import re

os.environ["JAX_NUM_CPU_DEVICES"] = "8"

import jax
import numpy as np
import optax
import report
from jax.sharding import PartitionSpec as P

import jaxvae
from jaxvae.parallel import Placement
from jaxvae.training import preparation

DEVICES, BATCH, MIB = 8, 512, 2**20
BYTES = {"u8": 1, "pred": 1, "s32": 4, "u32": 4, "f32": 4}
COLLECTIVE = re.compile(r"= (.*?) (all-[a-z-]+|reduce-scatter|collective-permute)\(")


class CompiledError(Exception):
    """A program and what it is called with."""


def compiled_by_fit(width, where):
    """The program of an epoch of MNIST, and its state and examples."""

    def stop(function, *args):
        raise CompiledError(function.lower(*args).compile(), args)

    preparation.compile_ahead = stop
    network = jaxvae.dense_dirichlet_network(784, 10, hidden_units=width)
    vae = jaxvae.dirichlet_vae(network, objective="original")
    x, y = np.zeros((60_000, 784), np.float32), np.zeros(60_000, np.int32)
    options = {"batch_size": BATCH, "epochs": 1, "optimizer": optax.adam(1e-3)}
    try:
        jaxvae.fit(jax.random.key(0), vae, x, y, devices=where, **options)
    except CompiledError as found:
        compiled, (*_, state, _, data) = found.args
        return compiled, state, data


def sent(text):
    """Bytes that come out of the collectives of one step, and their number, by kind."""
    found, in_entry = {}, False
    for line in text.splitlines():
        if line.endswith("{"):
            in_entry = line.startswith("ENTRY")  # once an epoch; all else is in the loop
        match = COLLECTIVE.search(line)
        if match and not in_entry:
            arrays = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            size = sum(
                BYTES[kind] * int(np.prod([int(n) for n in shape.split(",") if n]))
                for kind, shape in arrays
            )
            number, total = found.get(match[2], (0, 0))
            found[match[2]] = number + 1, total + size
    return found


def held(tree):
    """Bytes of a device's share."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def split_rows(params):
    """Each array split by its first axis, where the devices divide it."""
    return jax.tree.map(
        lambda leaf: P("device") if leaf.shape and leaf.shape[0] % DEVICES == 0 else P(), params
    )


def split_units(params):
    """Each kernel split by what it makes."""
    return jax.tree.map(
        lambda leaf: P(None, "model") if len(leaf.shape) == 2 and leaf.shape[1] % 4 == 0 else P(),
        params,
    )


def said(own):
    """What a step sends, in words."""
    return "; ".join(
        f"{number} {kind}, {size / MIB:.2f}" for kind, (number, size) in own["sent"].items()
    )


def main():
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    cases = {
        "128 units, all copied": (128, Placement(DEVICES)),
        "128 units, examples split": (128, Placement(DEVICES, "split")),
        "2,048 units, all copied": (2048, Placement(DEVICES)),
        "2,048 units, examples and parameters split over 8": (
            2048,
            Placement(DEVICES, "split", split_rows),
        ),
        "2,048 units, examples split over 2, parameters over 4": (
            2048,
            Placement(mesh, "split", split_units),
        ),
    }
    measured = {}
    for name, (width, where) in cases.items():
        compiled, state, data = compiled_by_fit(width, where)
        measured[name] = {
            "data": held(data),
            "state": held(state),
            "temporary": compiled.memory_analysis().temp_size_in_bytes,
            "sent": sent(compiled.as_text()),
        }
    rows = [
        [name, *(f"{own[what] / MIB:.1f}" for what in ("data", "state", "temporary")), said(own)]
        for name, own in measured.items()
    ]
    of_each = [f"{what}, MiB a device" for what in ("examples", "state", "temporary")]
    header = ["what", *of_each, "sent a step, MiB"]
    report.write("sharding", {"batch": BATCH, "measured": measured}, report.markdown(header, rows))


if __name__ == "__main__":
    main()
