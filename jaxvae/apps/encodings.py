"""What a run makes of a file: z of each example, and beside it who the example is."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae.apps import outputs, run_data, topic_runs
from jaxvae.apps.chosen import reading_of
from jaxvae.apps.runs import Run
from jaxvae.apps.topics.posteriors import has_topics
from jaxvae.data import labels, refusals
from jaxvae.data.flat import laid_flat, len_of
from jaxvae.data.formats.registry import read
from jaxvae.data.formats.source import Source, needed
from jaxvae.data.sparse import is_sparse

BATCH_SIZE = 1024  # examples a compiled call
ENDINGS = (".npz", ".csv", ".npy", ".parquet", ".h5ad")
OBSM, CATEGORY = "X_jaxvae", "jaxvae_category"  # of an AnnData


class Encoding(NamedTuple):
    """The posteriors of a file's examples.

    Attributes:
      ids: of the examples, as the file has them; else their places.
      labels: their labels by name, "" where one is missing; None where the file has none.
      category: the number of each one's largest category; None where z is not on a simplex.
      names: of the categories, by number; or None.
      means: of z [N, K], the parts of a product side by side.
      arrays: the posterior's parameters by name, each [N, K], and its mean where that is none of
        them. Of a product by part and name, as category_mean.
    """

    ids: list[str]
    labels: list[str] | None
    category: np.ndarray | None
    names: tuple[str, ...] | None
    means: np.ndarray
    arrays: dict[str, np.ndarray]

    @property
    def category_names(self) -> list[str] | None:
        """The name of each example's largest category."""
        if self.category is None or self.names is None:
            return None
        return [self.names[k] for k in self.category]

    @property
    def columns(self) -> dict[str, Any]:
        """All of it as the columns of a table."""
        columns: dict[str, Any] = {"id": self.ids}
        each = {"label": self.labels, "category": self.category, "name": self.category_names}
        columns |= {name: column for name, column in each.items() if column is not None}
        for name, array in self.arrays.items():
            columns |= {f"{name}_{k}": array[:, k] for k in range(array.shape[1])}
        return columns


def encode_file(run: Run, path: Path) -> Encoding:
    """Encode the examples of a file.

    Args:
      run: the run.
      path: a file or folder of any format that is known, read as the run's data were.

    Returns:
      The encoding.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError, TypeError: if it cannot be read, or its examples are not like the run's.
    """
    model, data = run.config.model, run.config.data
    source = _whole(read(path, reading_of(data, model), examples_only=True))
    width = int(np.prod(model.data_shape))
    flat = np.ndim(source.x) == 2
    if flat and source.x.shape[1] != width:
        raise ValueError(
            f"file must hold examples of {width} values as the run's data, "
            f"got {source.x.shape[1]} in {path}"
        )
    try:
        like = model.image_shape or model.series_shape
        x, *_ = laid_flat("x", source.x, None if flat and not like else model.data_kind, like)
        if source.column_names is not None:  # else the place in the array is named, by the model
            refusals.check_finite(
                "x",
                x,
                model.data_shape,
                source.column_names,
                missing="mask" if model.masked else "refuse",
                way_out=refusals.TRAINED_MODEL,
            )
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None
    if x.shape[1] != width:
        raise ValueError(
            f"file must hold examples of {width} values as the run's data, "
            f"got {x.shape[1]} in {path}"
        )
    x = run_data.as_shares(run.config, x, images=source.kind == "images")
    ids = list(source.ids) if source.ids is not None else [str(i) for i in range(len_of(x))]
    own = None if source.y is None else label_names(source.y)
    z, arrays = _posteriors(run, x, str(path))
    means = np.concatenate([run.space.of(part, z) for part in run.space.parts], axis=1)
    part = run.space.categories
    if part is None:
        return Encoding(ids, own, None, None, means, arrays)
    category = run.space.of(part, z).argmax(axis=1)
    named = model.label_names is not None and part.labelled
    return Encoding(ids, own, category, run.category_names if named else None, means, arrays)


def _whole(source: Source) -> Source:
    """All examples of a source that holds a part out: those after the others."""
    x, more = source.x, source.x_test
    if more is None:
        return source
    y = None
    if source.y is not None and source.y_test is not None:
        y = [*label_names(source.y), *label_names(source.y_test)]
    ids = source.ids
    if ids is not None:
        ids = (*ids, *(f"test/{i}" for i in range(len_of(more))))
    if is_sparse(x):
        x = needed("scipy.sparse", "a sparse matrix").vstack([x, more]).tocsr()
    else:
        x = np.concatenate([np.asarray(x), np.asarray(more)])
    return source._replace(x=x, y=y, ids=ids, x_test=None, y_test=None)


def label_names(y: Any) -> list[str]:
    """Labels as text, "" where one is missing.

    Args:
      y: in any form that `labels.encode_labels` takes.

    Returns:
      [N].

    Example:
      >>> label_names([3, None])
      ['3', '']
    """
    codes, names = labels.encode_labels(y, allow_none=True)
    return ["" if code < 0 else names[code] for code in codes]


def write(path: Path, encoding: Encoding, origin: Path) -> None:
    """Write an encoding.

    Args:
      path: its ending, one of `ENDINGS`, says how.
      encoding: what to write.
      origin: the file that was encoded; an .h5ad becomes a copy of it, with z in `obsm`.

    Raises:
      ValueError: if an .h5ad is to be made of another format.
      OSError: if it cannot be written.
    """
    if path.suffix == ".npy":
        np.save(path, encoding.means)
    elif path.suffix == ".npz":
        columns = encoding.columns
        named = {
            n: np.asarray(columns[n]) for n in ("id", "label", "category", "name") if n in columns
        }
        np.savez(path, **encoding.arrays, **named)  # type: ignore[arg-type]
    elif path.suffix == ".h5ad":
        _write_annotated(path, encoding, origin)
    else:
        outputs.write_table(path, encoding.columns)


def _write_annotated(path: Path, encoding: Encoding, origin: Path) -> None:
    if origin.suffix != ".h5ad":
        raise ValueError(f"out must not end in .h5ad where the file is none, got {origin}")
    anndata = needed("anndata", ".h5ad")
    own = anndata.read_h5ad(origin)
    own.obsm[OBSM] = encoding.means
    if encoding.category is not None:
        names = encoding.category_names or [str(k) for k in encoding.category]
        own.obs[CATEGORY] = np.asarray(names)
    own.write_h5ad(path)


def _posteriors(run: Run, x: Any, where: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The mean of z for each example, and the parameters of its posterior by name.

    Of topics the posterior is found for each document by itself, from where the encoder puts it.
    """
    rows = x if is_sparse(x) else x.reshape(-1, *run.config.model.data_shape)
    try:
        if has_topics(run.vae):
            posterior: Any = topic_runs.posteriors(run, rows)
        else:
            posterior = run.model.posterior(rows, batch_size=BATCH_SIZE)
    except ValueError as error:
        hint = f"; {refusals.TRAINED_MODEL}" if _has_nan(rows) else ""
        raise ValueError(f"{where}: {error}{hint}") from None
    assert run.vae.parts is not None
    z, arrays = run.vae.parts.latent.mean(posterior), {}
    for part in run.space.parts:
        q, mean, before = posterior, z, ""
        if run.space.is_product:
            q, mean, before = posterior[part.name], z[part.name], f"{part.name}_"
        fields = {
            before + jax.tree_util.keystr(path, simple=True, separator="_"): leaf
            for path, leaf in jax.tree.leaves_with_path(q)
        }
        if not any(mean is leaf for leaf in fields.values()):
            arrays[f"{before}mean"] = np.asarray(mean)
        arrays |= fields
    return z, arrays


def _has_nan(x: Any) -> bool:
    values = x.data if is_sparse(x) else x
    return values.dtype.kind == "f" and bool(np.isnan(values).any())
