"""`jaxvae export`: the file that JAX reads alone, and what is refused."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import Batch, latents, likelihoods, networks, priors, transforms
from jaxvae.apps import export

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# What the reading process must do without.
ABSENT = (
    "jaxvae", "flax", "optax", "orbax", "tensorflow_probability", "sklearn", "matplotlib", "tyro",
)  # fmt: skip


def product():
    heads = {"category": networks.DirichletHead(3), "style": networks.NormalHead(2)}
    return jaxvae.bind(
        networks.dense_network(12, heads, layers=1, hidden_units=8),
        latents.product(category=latents.dirichlet, style=latents.normal),
        priors.product(category=priors.symmetric(), style=priors.standard_normal()),
        likelihoods.poisson(),
    )


def counts(likelihood):
    network = jaxvae.dense_dirichlet_network(12, 3, layers=1, hidden_units=8)
    return jaxvae.bind(network, latents.dirichlet, priors.symmetric(0.5), likelihood)


# The model, and the shape of an example.
MODELS = {
    "normal": lambda: (
        jaxvae.bind(
            jaxvae.dense_normal_network(12, 2, layers=1, hidden_units=8),
            latents.normal,
            priors.standard_normal(),
            likelihoods.normal(learned=True),
            transform=transforms.standardized(np.full(12, 3.0), np.full(12, 2.0)),
        ),
        (12,),
    ),
    "dirichlet": lambda: (
        jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(12, 3, layers=1, hidden_units=8)),
        (12,),
    ),
    "logistic_normal": lambda: (
        jaxvae.bind(
            jaxvae.dense_normal_network(12, 3, layers=1, hidden_units=8),
            latents.logistic_normal,
            priors.standard_normal(),
            likelihoods.bernoulli(),
        ),
        (12,),
    ),
    "product": lambda: (product(), (12,)),
    "convolutional": lambda: (
        jaxvae.normal_vae(
            networks.convolutional_normal_network((8, 8), 2, channels=(4, 4), hidden_units=8)
        ),
        (8, 8),
    ),
    "negative binomial": lambda: (counts(likelihoods.negative_binomial()), (12,)),
    "multinomial": lambda: (counts(likelihoods.multinomial()), (12,)),
    "original": lambda: (
        jaxvae.normal_vae(
            jaxvae.dense_normal_network(12, 2, layers=1, hidden_units=8), objective="original"
        ),
        (12,),
    ),
}


def reader():
    """The reader of the page."""
    (block,) = (
        b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if ">>>" not in b
    )
    return block


READ_ALL = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(f"{{name}} is absent")

sys.meta_path.insert(0, Absent())
{reader}
import numpy as np

for name in {names!r}:
    about, functions = read(f"{{name}}.zip")
    given = np.load(f"{{name}}.npz")
    made = {{}}
    for key in given.files:
        function, _, rest = key.partition("|")
        rows, _, part = rest.partition("|")
        made.setdefault((function, rows), {{}})[part] = given[key]
    out = {{}}
    for (function, rows), parts in made.items():
        value = functions[function](parts.get("", parts))
        for part, leaf in (value.items() if isinstance(value, dict) else [("", value)]):
            out[f"{{function}}|{{rows}}|{{part}}"] = np.asarray(leaf)
    np.savez(f"{{name}}.out.npz", **out)
assert not set({absent!r}) & set(sys.modules)
"""


def inputs(vae, params, shape, rows):
    """What each function is called with."""
    x = np.random.default_rng(rows).integers(0, 5, (rows, *shape)).astype(np.float32)
    z = vae.parts.latent.mean(vae.encode(params, x))
    keys = jax.random.key_data(jax.random.split(jax.random.key(rows), rows))
    return {"encode": x, "posterior": x, "decode": z, "generate": keys}


def expected(vae, params, shape, given):
    """The model's own answers."""

    def one(key):
        z = vae.sample_prior(params, key, Batch(jnp.zeros((1, *shape))))
        return vae.decode(params, z)[0]

    q = jax.jit(vae.encode)(params, given["encode"])
    leaves = jax.tree.leaves_with_path(q)
    return {
        "encode": vae.parts.latent.mean(q),
        "posterior": {
            jax.tree_util.keystr(path, simple=True, separator="_"): leaf for path, leaf in leaves
        },
        "decode": jax.jit(vae.decode)(params, given["decode"]),
        "generate": jax.jit(jax.vmap(one))(jax.random.wrap_key_data(given["generate"])),
    }


def flat(function, rows, value):
    parts = value if isinstance(value, dict) else {"": value}
    return {f"{function}|{rows}|{part}": np.asarray(leaf) for part, leaf in parts.items()}


def test_jax_alone_reads_it_by_the_page_and_gets_the_same(tmp_path):
    assert len(reader().splitlines()) <= 20
    wanted = {}
    for name, make in MODELS.items():
        vae, shape = make()
        params = vae.init(jax.random.key(0), jnp.zeros((1, *shape)))
        export.write_model(tmp_path / f"{name}.zip", vae, params, data_shape=shape)
        arrays, wanted[name] = {}, {}
        for rows in (1, 1000):
            given = inputs(vae, params, shape, rows)
            for function, value in given.items():
                arrays |= flat(function, rows, value)
            for function, value in expected(vae, params, shape, given).items():
                wanted[name] |= flat(function, rows, value)
        np.savez(tmp_path / f"{name}.npz", **arrays)
    code = READ_ALL.format(absent=ABSENT, reader=reader(), names=list(MODELS))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for name, values in wanted.items():
        found = np.load(tmp_path / f"{name}.out.npz")
        assert set(found.files) == set(values)
        for key, value in values.items():
            assert found[key].shape == value.shape
            error = np.max(np.abs(found[key] - value)) / np.max(np.abs(value))
            assert error <= 1e-6, (name, key, error)


@pytest.fixture(scope="module")
def normal():
    vae, shape = MODELS["normal"]()
    return vae, vae.init(jax.random.key(0), jnp.zeros((1, *shape))), shape


def test_each_function_is_for_every_platform_and_any_batch(normal):
    vae, params, shape = normal
    for name, content in export.export_model(vae, params, data_shape=shape).items():
        function = jax.export.deserialize(bytearray(content))
        assert function.platforms == PLATFORMS, name
        assert all(jax.export.is_symbolic_dim(aval.shape[0]) for aval in function.in_avals)
        assert not function.disabled_safety_checks


def test_one_platform_alone(normal):
    vae, params, shape = normal
    content = export.export_model(vae, params, data_shape=shape, platforms=("cuda",))["decode"]
    assert jax.export.deserialize(bytearray(content)).platforms == ("cuda",)


def test_what_the_file_says_and_weighs(normal, tmp_path):
    vae, params, shape = normal
    path, again = tmp_path / "model.zip", tmp_path / "again.zip"
    names = [f"gene {i}" for i in range(12)]
    for file in (path, again):
        export.write_model(file, vae, params, data_shape=shape, column_names=names)
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as file:
        about = json.loads(file.read("model.json"))
        assert all(info.compress_type == zipfile.ZIP_STORED for info in file.infolist())
    assert about["functions"]["encode"] == {
        "takes": {"shape": ["B", 12], "dtype": "float32"},
        "returns": {"shape": ["B", 2], "dtype": "float32"},
    }
    assert set(about["functions"]["posterior"]["returns"]) == {"loc", "scale"}
    assert about["data_shape"] == [12]
    assert about["latent"] == {"shape": ["B", 2], "dtype": "float32"}
    assert about["support"] == {"z": "real"}
    assert about["column_names"] == names
    assert about["label_names"] is None
    assert about["platforms"] == list(PLATFORMS)


def test_a_file_that_cannot_be_written_leaves_the_one_before(normal, tmp_path, monkeypatch):
    vae, params, shape = normal
    path, write = tmp_path / "model.zip", zipfile.ZipFile.writestr
    export.write_model(path, vae, params, data_shape=shape, platforms=("cpu",))
    before = path.read_bytes()

    def full(file, info, content):
        if info.filename != "model.json":
            raise OSError(28, "No space left on device")
        write(file, info, content)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left on device"):
        export.write_model(path, vae, params, data_shape=shape, platforms=("cpu",))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_it_weighs_about_twice_its_parameters():
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10))
    params = vae.init(jax.random.key(0), jnp.zeros((1, 784)))
    own = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    made = export.export_model(vae, params, data_shape=(784,))
    assert 2 * own < sum(map(len, made.values())) < 2.2 * own


def conditional():
    def init(key, batch):
        return {"w": jnp.zeros(())}

    def encode(params, batch):
        wide = jnp.concatenate([batch.x, batch.condition["site"]], axis=-1)
        return wide[:, :2], jnp.ones_like(wide[:, :2])

    def decode(params, z, batch):
        return jnp.concatenate([z, batch.condition["site"]], axis=-1)

    network = jaxvae.Network(init, encode, decode)
    return jaxvae.bind(network, latents.normal, priors.standard_normal(), likelihoods.normal())


def of_a_tree():
    def init(key, batch):
        return {"w": jnp.zeros(())}

    def encode(params, batch):
        return batch.x["a"][:, :2], jnp.ones_like(batch.x["a"][:, :2])

    def decode(params, z, batch):
        return {"a": z}

    network = jaxvae.Network(init, encode, decode)
    return jaxvae.bind(network, latents.normal, priors.standard_normal(), likelihoods.normal())


@pytest.mark.parametrize("make", [conditional, of_a_tree])
def test_a_model_of_more_than_one_array_is_refused(make):
    message = r"vae must be a model of x \[B, 3\] alone .* encode raised TypeError"
    with pytest.raises(ValueError, match=message) as told:
        export.export_model(make(), {"w": jnp.zeros(())}, data_shape=(3,))
    assert "\n" not in str(told.value)


def test_what_is_refused(normal, monkeypatch):
    vae, params, shape = normal
    with pytest.raises(TypeError, match=r"vae must be a jaxvae\.VAE"):
        export.export_model(params, params, data_shape=shape)
    with pytest.raises(ValueError, match="vae must be made by bind for export"):
        export.export_model(vae._replace(parts=None), params, data_shape=shape)
    with pytest.raises(ValueError, match=r"x \[B, 5\] alone to be exported, as data_shape says"):
        export.export_model(vae, params, data_shape=(5,))
    bare = jaxvae.normal_vae(jaxvae.dense_normal_network(12, 2, layers=1, hidden_units=8))
    own = bare.init(jax.random.key(0), jnp.zeros((1, 12)))
    with pytest.raises(ValueError, match=r"params must be those of vae for .* data_shape=\(5,\)"):
        export.export_model(bare, own, data_shape=(5,))
    with pytest.raises(ValueError, match=r"^params must be those of vae .* arrays \[.*got \[\]"):
        export.export_model(vae, {}, data_shape=shape)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, params)
    with pytest.raises(ValueError, match=r"^params must be those of vae .* must be finite"):
        export.export_model(vae, broken, data_shape=shape)
    with pytest.raises(ValueError, match=r"^column_names must name the \d+ values .*, got 1"):
        export.write_model(Path("no.zip"), vae, params, data_shape=shape, column_names=["a"])
    with pytest.raises(TypeError, match=r"^path must be a path, got None"):
        export.write_model(None, vae, params, data_shape=shape)
    with pytest.raises(TypeError, match="data_shape must be a tuple"):
        export.export_model(vae, params, data_shape={"a": (3,)})
    with pytest.raises(ValueError, match=r"platforms must be one of 'cpu'.*got 'gpu'"):
        export.export_model(vae, params, data_shape=shape, platforms=("gpu",))
    with pytest.raises(ValueError, match="platforms must be some of cpu"):
        export.export_model(vae, params, data_shape=shape, platforms=())
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'jaxvae[export]'")):
        export.export_model(vae, params, data_shape=shape)


def test_the_command(tmp_path, monkeypatch, capsys):
    vae, shape = MODELS["multinomial"]()
    params = vae.init(jax.random.key(0), jnp.zeros((1, *shape)))
    jaxvae.save(tmp_path / "model", vae, params)
    monkeypatch.chdir(tmp_path)
    assert export.Export(tmp_path / "model").run() == 0
    assert zipfile.is_zipfile("model.zip")
    assert capsys.readouterr().out == "The model, for cpu, cuda, rocm, tpu, is in model.zip\n"
    with pytest.raises(FileExistsError, match="--force"):
        export.Export(tmp_path / "model", out=Path("model.zip")).run()
