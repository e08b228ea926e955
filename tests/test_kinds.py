"""No module asks which latent, prior or likelihood it has: it asks the value itself.

`vae.parts.latent.support`, `.landmarks(K)`, `prior.uses_labels` and the fields' names say what
there is to know, of kinds too that are not written yet.
"""

import ast
from pathlib import Path

import pytest

import jaxvae

PACKAGE = Path(jaxvae.__file__).parent
# Where kinds are made and named; `compat` has the original's two models.
EXEMPT = {
    "model/parameters.py",
    "model/originals.py",
    "model/ready.py",
    "apps/description.py",
    "apps/latent_parts.py",
    "apps/model_parts.py",
}
FILES = {
    name: path
    for folder in ("model", "training", "apps")
    for path in sorted((PACKAGE / folder).rglob("*.py"))
    if (name := path.relative_to(PACKAGE).as_posix()) not in EXEMPT
}
# What kinds are called, as strings and as classes. A support is a string too, but may be asked for.
NAMES = {
    "normal", "dirichlet", "joint", "logistic_normal", "concrete", "stick_breaking", "gauss",
    "gaussian",
    "bernoulli", "poisson", "negative_binomial", "multinomial", "categorical",
    "dirichlet_multinomial",
    "labels", "symmetric", "from_labels", "standard_normal", "mixture",
}  # fmt: skip
CLASSES = {
    "Normal", "Dirichlet", "Logits", "Kumaraswamy", "DirichletPrior",
    "NormalVAE", "DirichletVAE", "DirichletVAEClassifier",
    "NormalLatent", "LogisticNormalLatent", "DirichletLatent", "JointLatent",
    "StandardNormal", "FromLabels", "Symmetric", "Mixture",
    "NormalLikelihood", "Bernoulli", "Poisson", "NegativeBinomial", "Multinomial", "Categorical",
    "DirichletMultinomial",
}  # fmt: skip
POSTERIORS = {"q", "posterior", "posteriors"}
FIELDS = {"concentration", "loc", "scale", "logits"}


def last_name(node):
    """`a.b.C` and `C` are both C."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def strings(node):
    return {
        leaf.value
        for leaf in ast.walk(node)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    }


def is_probe(node):
    """Whether an expression asks of which kind something is."""
    if isinstance(node, ast.Compare):
        asks = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
        if not any(isinstance(op, asks) for op in node.ops):
            return False
        sides = [node.left, *node.comparators]
        plain = (ast.Constant, ast.Tuple, ast.List, ast.Set)
        if any(isinstance(side, plain) and strings(side) & NAMES for side in sides):
            return True
        typed = [
            last_name(side.args[0])
            for side in sides
            if isinstance(side, ast.Call) and last_name(side.func) == "type" and side.args
        ]
        # A constant stands for its kind; two values at hand may well be compared.
        like_a_constant = len(typed) > 1 and any(name and name.isupper() for name in typed)
        lengths = any(
            isinstance(side, ast.Call)
            and last_name(side.func) == "len"
            and side.args
            and last_name(side.args[0]) in POSTERIORS
            for side in sides
        )
        classes = {last_name(leaf) for side in sides for leaf in ast.walk(side)}
        return lengths or like_a_constant or (bool(typed) and bool(classes & CLASSES))
    if isinstance(node, ast.Call):
        called = last_name(node.func)
        if called in ("isinstance", "issubclass") and len(node.args) == 2:
            classes = {last_name(leaf) for leaf in ast.walk(node.args[1])}
            bare = last_name(node.args[0]) in POSTERIORS and "tuple" in classes
            return bool(classes & CLASSES) or bare
        if called in ("hasattr", "getattr") and len(node.args) > 1:
            return bool(strings(node.args[1]) & FIELDS)
    if isinstance(node, ast.match_case):
        return bool(strings(node.pattern) & NAMES) or any(
            isinstance(leaf, ast.MatchClass) and last_name(leaf.cls) in CLASSES
            for leaf in ast.walk(node.pattern)
        )
    return False


def probes(text):
    return [
        f"line {getattr(node, 'lineno', '?')}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(text))
        if is_probe(node)
    ]


@pytest.mark.parametrize("name", FILES)
def test_no_module_asks_which_kind_it_has(name):
    assert not probes(FILES[name].read_text())


@pytest.mark.parametrize(
    "probe",
    [
        'config.model == "dirichlet"',
        'model in ("normal", "dirichlet")',
        '"labels" != config.prior',
        "isinstance(q, Normal)",
        "isinstance(posterior, tuple)",
        "isinstance(q, jaxvae.latents.Dirichlet | tuple)",
        "type(q) is parameters.Normal",
        "type(likelihood) is not type(UNIT)",
        "type(likelihood) == type(model_parts.UNIT)",
        "len(posterior) == 2",
        'hasattr(q, "concentration")',
        'getattr(q, "concentration", None)',
        'match kind:\n    case "dirichlet":\n        pass',
        "match q:\n    case Normal(loc, scale):\n        pass",
    ],
)
def test_a_probe_is_seen(probe):
    assert probes(probe)


@pytest.mark.parametrize(
    "text",
    [
        'vae.parts.latent.support == "simplex"',
        "prior.uses_labels",
        "isinstance(latent, Latent)",
        "isinstance(names, tuple)",
        'objective.gradient == "dreg"',
        'checks.one_of("likelihood", likelihood, ("normal", "bernoulli"))',
        "len(names) == 2",
        "type(recipe.value) is type(value)",
    ],
)
def test_what_is_no_probe(text):
    assert not probes(text)


def test_what_is_looked_at():
    assert {"model/vae.py", "apps/cli.py", "apps/figures/latents.py", "training/loop.py"} <= {
        *FILES
    }
    assert all((PACKAGE / name).is_file() for name in EXEMPT)
