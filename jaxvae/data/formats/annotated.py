"""AnnData's files."""

import warnings
from pathlib import Path

from jaxvae.data.formats.frames import from_anndata
from jaxvae.data.formats.source import Reading, Source, needed


def read_h5ad(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """An `.h5ad`.

    Args:
      path: the file.
      reading: as in `from_anndata`.
      examples_only: a label column that is named and missing is no error.

    Returns:
      As `from_anndata`.

    Raises:
      ValueError: if it is damaged, or what `from_anndata` refuses.
      ModuleNotFoundError: without anndata.

    Example:
      >>> import tempfile, anndata, numpy as np
      >>> path = Path(tempfile.mkdtemp(), "a.h5ad")
      >>> anndata.AnnData(np.ones((2, 3), np.float32)).write_h5ad(path)
      >>> read_h5ad(path, Reading()).kind
      'counts'
    """
    anndata = needed("anndata", str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of older versions of the format
            adata = anndata.read_h5ad(path)
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make h5py and anndata raise a dozen kinds
        text = str(error).partition("\n")[0]
        raise ValueError(f"{path} is not a whole .h5ad file: {text}") from None
    return from_anndata(adata, reading, examples_only=examples_only, where=str(path))
