"""A trained model in one file that JAX reads without this library: `jaxvae export`."""

import contextlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import tyro
from jax import export

from jaxvae._output import say_made
from jaxvae._version import __version__
from jaxvae.apps import loading, outputs
from jaxvae.data.batches import Batch
from jaxvae.model import latents
from jaxvae.model.evaluation import parts_of_vae
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE, Parts, check_model
from jaxvae.numerics import checks
from jaxvae.training import whole_files

FORMAT = 1  # of model.json in the file
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
ABOUT, ENDING = "model.json", ".exported"  # what is in the file, beside the functions


def export_model(
    vae: VAE, params: Params, *, data_shape: Sequence[int], platforms: Sequence[str] = PLATFORMS
) -> dict[str, bytes]:
    """The functions of a trained model, each serialised by `jax.export` with its parameters in it.

    The batch size B stays open. All are lowered without a device of the platforms.

    - "encode": x [B, ...] in the user's units, float32 -> the posterior mean of z [B, K]; of a
      product a dict by part.
    - "posterior": x -> the posterior's parameters, a dict of arrays [B, K] by the names that
      `jaxvae encode` writes, as "loc" and "scale".
    - "decode": z [B, K], of a product a dict by part -> the mean of x in the user's units.
    - "generate": a key's data for each example [B, 2], uint32 -> the mean of x given a draw of z
      from the prior; of a prior made from labels each label is drawn too.

    Args:
      vae: the model, of one array x, without a condition.
      params: its parameters.
      data_shape: of one example.
      platforms: among "cpu", "cuda", "rocm" and "tpu".

    Returns:
      What `jax.export.deserialize` reads, by the function's name.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed, or the model needs more than
        x or z; it is named, and nothing is compiled.
      ImportError: if the package flatbuffers is missing, which `jax.export` writes with.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> functions = export_model(vae, params, data_shape=(64,))
      >>> decode = export.deserialize(bytearray(functions["decode"])).call
      >>> decode(jnp.zeros((5, 2))).shape
      (5, 64)
    """
    made = _exported(vae, params, data_shape, platforms)
    return {name: bytes(function.serialize()) for name, function in made.items()}


def write_model(
    path: Path,
    vae: VAE,
    params: Params,
    *,
    data_shape: Sequence[int],
    label_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> None:
    """Write the functions of a trained model, and what they take and return, into one zip.

    Its `model.json` has the shapes, the names, the platforms and the versions; the functions of
    `export_model` lie beside it as `encode.exported` and so on. Nothing is compressed. Equal models
    make equal files.

    Args:
      path: the file; one that is there is replaced, and stays after an error.
      vae: the model, of one array x, without a condition.
      params: its parameters.
      data_shape: of one example.
      label_names: of the labels, where they have names.
      column_names: of the values of an example, where they have names.
      platforms: among "cpu", "cuda", "rocm" and "tpu".

    Raises:
      ValueError, TypeError, ImportError: as `export_model`.
      OSError: if the file cannot be written.

    Example:
      >>> import tempfile
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> path = Path(tempfile.mkdtemp(), "model.zip")
      >>> write_model(path, vae, params, data_shape=(64,))
      >>> zipfile.ZipFile(path).namelist()[:2]
      ['model.json', 'encode.exported']
    """
    path, shape = checks.path("path", path), checks.shape("data_shape", data_shape)
    if column_names is not None and len(column_names) != math.prod(shape):
        raise ValueError(f"column_names must name the {math.prod(shape)} values of an example, "
                         f"got {len(column_names)}")  # fmt: skip
    made = _exported(vae, params, shape, platforms)
    assert vae.parts is not None
    z = _shapes(made["decode"].in_tree, made["decode"].in_avals)[0][0]
    supports = {name: part.support for name, part in latents.parts_of(vae.parts.latent).items()}
    about = {
        "format": FORMAT,
        "functions": {
            name: {
                "takes": _shapes(function.in_tree, function.in_avals)[0][0],
                "returns": _shapes(function.out_tree, function.out_avals),
            }
            for name, function in made.items()
        },
        "data_shape": list(data_shape),
        "latent": z,
        "support": supports,
        "label_names": None if label_names is None else list(label_names),
        "column_names": None if column_names is None else list(column_names),
        "platforms": list(platforms),
        "calling_convention": made["encode"].calling_convention_version,
        "jaxvae": __version__,
        "jax": jax.__version__,
    }
    with whole_files.whole(path) as new, zipfile.ZipFile(new, "w") as file:
        # A date of its own would make each file another.
        file.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about, indent=2) + "\n")
        for name, function in made.items():
            file.writestr(zipfile.ZipInfo(name + ENDING), bytes(function.serialize()))


def _exported(
    vae: VAE, params: Params, data_shape: Sequence[int], platforms: Sequence[str]
) -> dict[str, export.Exported]:
    """The functions, lowered for all platforms."""
    _need_flatbuffers()
    check_model(vae)
    parts = parts_of_vae("export", vae)
    shape = checks.shape("data_shape", data_shape)
    if not platforms or isinstance(platforms, str):
        raise ValueError(f"platforms must be some of {', '.join(PLATFORMS)}, got {platforms!r}")
    for platform in platforms:
        checks.one_of("platforms", platform, PLATFORMS)
    _check_params(vae, params, shape)
    functions = _functions(vae, parts, params, shape)
    with _refused("encode", shape):
        z = jax.eval_shape(functions["encode"], jax.ShapeDtypeStruct((2, *shape), jnp.float32))
    with _refused("decode", shape):
        x = jax.eval_shape(functions["decode"], z)
    if not isinstance(x, jax.ShapeDtypeStruct):
        raise ValueError(f"vae must decode one array x to be exported, got {type(x).__name__}")
    (rows,) = export.symbolic_shape("B")
    takes = {
        "encode": jax.ShapeDtypeStruct((rows, *shape), jnp.float32),
        "posterior": jax.ShapeDtypeStruct((rows, *shape), jnp.float32),
        "decode": jax.tree.map(lambda a: jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype), z),
        "generate": jax.ShapeDtypeStruct((rows, 2), jnp.uint32),
    }
    made = {}
    for name, function in functions.items():
        with _refused(name, shape):
            made[name] = export.export(jax.jit(function), platforms=tuple(platforms))(takes[name])
    return made


def _check_params(vae: VAE, params: Params, shape: tuple[int, ...]) -> None:
    """Refuse parameters of another model, or of examples of another shape, or that are no numbers.

    What needs more than x may not begin without: that is refused where it is exported.
    """
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        like = jax.eval_shape(vae.init, jax.random.key(0), Batch(x))
    except Exception:
        return
    arrays = {whole_files.leaf_name(k): leaf for k, leaf in jax.tree.leaves_with_path(params)}
    try:
        whole_files.check_arrays(arrays, like)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"params must be those of vae for examples of data_shape={shape}, without "
                         f"a condition: {error}") from None  # fmt: skip


def _functions(
    vae: VAE, parts: Parts, params: Params, shape: tuple[int, ...]
) -> dict[str, Callable[[Any], Any]]:
    """What is exported, each of one argument."""

    def encode(x: jax.Array) -> Any:
        return parts.latent.mean(vae.encode(params, x))

    def posterior(x: jax.Array) -> dict[str, jax.Array]:
        leaves = jax.tree.leaves_with_path(vae.encode(params, x))
        names = [jax.tree_util.keystr(path, simple=True, separator="_") for path, _ in leaves]
        return {name or "q": leaf for name, (_, leaf) in zip(names, leaves, strict=True)}

    def decode(z: Any) -> Any:
        return vae.decode(params, z)

    def generate(keys: jax.Array) -> Any:
        def one(key_data: jax.Array) -> Any:
            key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
            like = Batch(jnp.zeros((1, *shape)))  # z of the shape that belongs to it; no more
            return vae.decode(params, vae.sample_prior(params, key, like))[0]

        return jax.vmap(one)(keys)

    return {"encode": encode, "posterior": posterior, "decode": decode, "generate": generate}


@contextlib.contextmanager
def _refused(name: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Say in one line what an exported model must be, where a function of it fails."""
    try:
        yield
    except Exception as error:  # each kind of network has kinds of its own
        text = " ".join(str(error).split())
        raise ValueError(
            f"vae must be a model of x [B, {', '.join(map(str, shape))}] alone to be exported, "
            f"as data_shape says, without a condition; {name} raised {type(error).__name__}: {text}"
        ) from error


def _shapes(tree: Any, avals: Sequence[Any]) -> Any:
    """What a function takes or returns, as JSON's own values; B is the open size."""

    def plain(aval: Any) -> dict[str, Any]:
        shape = [str(size) if export.is_symbolic_dim(size) else size for size in aval.shape]
        return {"shape": shape, "dtype": str(aval.dtype)}

    return jax.tree.unflatten(tree, [plain(aval) for aval in avals])


def _need_flatbuffers() -> None:
    try:
        import flatbuffers  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        raise ImportError(
            "export needs the package flatbuffers, which jax.export writes with: "
            "pip install 'jaxvae[export]'"
        ) from None


@dataclass(frozen=True)
class Export:
    """Write a trained model into one file that JAX reads without this library."""

    EXAMPLES: ClassVar = (
        ("jaxvae export runs/first --out digits.zip", "the model as one file"),
        ("jaxvae export runs/first --platforms cpu", "for CPUs alone"),
    )

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """A folder that `jaxvae train` or `jaxvae.save` wrote."""
    out: Path | None = None
    """The new file, a .zip. Default: model.zip, or where that exists model-2.zip."""
    platforms: tuple[str, ...] = PLATFORMS
    """The platforms that it can run on."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """Print the name of the file and nothing else."""

    def run(self) -> int:
        def write(path: Path) -> None:
            vae, params, description = loading.load(self.folder)
            write_model(
                path,
                vae,
                params,
                data_shape=description.data_shape,
                label_names=description.label_names,
                column_names=description.column_names,
                platforms=self.platforms,
            )

        out = outputs.write_new(self.out, "model.zip", (".zip",), write, replace=self.force)
        say_made(f"The model, for {', '.join(self.platforms)}, is in", out)
        return 0
