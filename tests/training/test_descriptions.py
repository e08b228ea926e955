"""What a run was made of, in words: alike in each process, another for another model."""

import json
import os
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import bind, latents, likelihoods, objectives, priors
from jaxvae.model.descriptions import CODE, describe, described, differences
from jaxvae.networks import MLP, Decoder, NormalEncoder, flax_network


def model(width=16, activation=nn.relu, minimum=1e-3, weight=1.0):
    trunk = MLP(1, width, activation)
    return bind(
        flax_network(NormalEncoder(2, trunk), Decoder(64, trunk)),
        latents.normal,
        priors.standard_normal(),
        likelihoods.normal(learned=True, minimum=minimum),
        objectives.elbo(weight),
    )


def optimizer(rate=1e-3, seed=0, every=2):
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, 6, 36)
    noisy = optax.add_noise(1e-3, 0.5, jax.random.key(seed))
    inner = optax.chain(optax.clip_by_global_norm(1.0), noisy, optax.adamw(schedule))
    return jaxvae.average_params(optax.MultiSteps(inner, every))


SCRIPT = """
import json, sys
sys.path[:0] = ["tests", "tests/training"]
import test_descriptions as own
print(json.dumps([own.described(own.model()), own.described(own.optimizer())]))
"""


def test_another_process_says_the_same():
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(found.stdout.splitlines()[-1])
    for other, own in zip(theirs, (described(model()), described(optimizer())), strict=True):
        assert differences(other, own, strict=True) == []
        assert len(own) > 15
        assert "0x" not in "".join(own.values())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 17}, "hidden_units|width|17"),
        ({"activation": nn.tanh}, "activation"),
        ({"minimum": 1e-2}, "likelihood.minimum 0.001, got 0.01"),
        ({"weight": 2.0}, "objective.kl_weight 1.0, got 2.0"),
        ({"weight": optax.linear_schedule(0, 1, 9)}, "objective.kl_weight"),
    ],
)
def test_another_model_is_told(change, named):
    found = differences(described(model()), described(model(**change)), strict=True)
    assert any(word in found[0] for word in named.split("|")), found


@pytest.mark.parametrize("change", [{"rate": 2e-3}, {"seed": 1}, {"every": 3}])
def test_another_optimizer_is_told(change):
    assert describe(optimizer()) == describe(optimizer())
    assert differences(described(optimizer()), described(optimizer(**change)), strict=True)


def test_what_a_user_defines_inside_a_function_is_left_out():
    def local(counts):
        return model()._replace(loss=lambda *args: counts)

    assert describe(local([])) == describe(local([1])) == describe(model())


def test_code_and_new_names_count_for_nothing_after_an_upgrade():
    own = described(optax.adam(1e-3))
    older = {name: "another" if name.endswith(CODE) else text for name, text in own.items()}
    older.pop(next(name for name in own if name.endswith("nesterov")))
    assert differences(older, own, strict=False) == []
    assert differences(older, own, strict=True)
    assert differences(described(optax.adam(1e-2)), own, strict=False)


def test_arrays_are_told_by_content():
    values = np.arange(3.0), np.arange(3.0), np.arange(3.0) + 1
    one, same, other = map(describe, values)
    assert one == same != other
