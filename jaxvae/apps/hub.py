"""Saved models on the Hugging Face Hub: `jaxvae push`, and addresses hf://owner/name.

The package huggingface_hub is imported when it is used. It reads HF_TOKEN, HF_HOME and its own
other variables.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import tyro

from jaxvae._output import say, say_made
from jaxvae._version import __version__
from jaxvae.apps import model_card, runs, saved_models
from jaxvae.training import run_folder, whole_files

SCHEME = "hf://"
# Only a saved model's files are fetched; only they, the card, the summary and the pictures are
# pushed.
MODEL_FILES, FIGURES = saved_models.FILES, run_folder.FIGURES
CARD = "README.md"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


class Address(NamedTuple):
    """Where a model lies on the Hub.

    Attributes:
      repo: "owner/name".
      revision: a branch, a tag or a commit; None: the newest.

    Example:
      >>> parse("hf://ann/digits@v1")
      Address(repo='ann/digits', revision='v1')
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return SCHEME + self.repo + (f"@{self.revision}" if self.revision else "")


def is_address(path: Any) -> bool:
    """Whether a path is an address on the Hub.

    Args:
      path: text or a path.

    Returns:
      True where it begins with hf://, or with hf:/ as a `Path` makes of it.

    Example:
      >>> is_address("hf://ann/digits"), is_address(Path("hf://ann/digits")), is_address("runs/a")
      (True, True, False)
    """
    return str(path).startswith("hf:/")


def parse(address: Any) -> Address:
    """Read an address.

    Args:
      address: "hf://owner/name", or "hf://owner/name@revision".

    Returns:
      Its parts.

    Raises:
      ValueError: if it is none.

    Example:
      >>> parse("hf://ann/digits").repo
      'ann/digits'
    """
    text = re.sub("^hf:/+", "", str(address))
    repo, at, revision = text.partition("@")
    owner, _, name = repo.partition("/")
    wrong = at and not revision
    if not is_address(address) or wrong or not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
        raise ValueError(
            f"address must be hf://owner/name or hf://owner/name@revision, got {address}"
        )
    return Address(repo, revision or None)


def fetch(address: str, *, cache_dir: Path | None = None) -> Path:
    """Bring a saved model from the Hub onto this machine.

    Args:
      address: "hf://owner/name", or "hf://owner/name@revision".
      cache_dir: where it is kept; None: where huggingface_hub keeps all, by HF_HOME.

    Returns:
      The folder of the saved model. Nothing else of the repository is brought.

    Raises:
      ValueError: if the address is none, or no saved model lies there.
      FileNotFoundError: if there is no such repository or revision.
      PermissionError: if it may not be read.
      ConnectionError: if the Hub cannot be reached, and the model is not in the cache.
      ImportError: if huggingface_hub is missing.
    """
    where = parse(address)
    hub = _library()
    with _told(where, "read"):
        folder = hub.snapshot_download(
            where.repo,
            revision=where.revision,
            cache_dir=cache_dir,
            allow_patterns=list(MODEL_FILES),
            endpoint=_endpoint(),
            library_name="jaxvae",
            library_version=__version__,
        )
    if missing := [name for name in MODEL_FILES if not Path(folder, name).is_file()]:
        raise ValueError(f"{where} must be a saved model of jaxvae; it lacks {', '.join(missing)}")
    return Path(folder)


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    license: str | None = None,
    message: str = "Upload a model of jaxvae",
    token: str | None = None,
) -> str:
    """Put a saved model on the Hub, with a card of what its files say.

    Uploaded are `model.json`, `params.safetensors`, `manifest.json`, a `README.md` and, where the
    folder has them, `summary.json` and the pictures `figures/*.png`. A run's configuration, its
    data and its checkpoints are not.

    Args:
      folder: of a saved model or of a run.
      repo: "owner/name"; made where it does not exist.
      private: whether a repository that is made is private; one that is there must be so too.
      license: of the model, as "apache-2.0"; None: the card says nothing of it.
      message: of the commit.
      token: of the Hub; None: HF_TOKEN, or the one that `hf auth login` kept.

    Returns:
      The address of the model's page.

    Raises:
      ValueError: if the repository's name is none, there is no saved model, or the repository is
        public though private is True.
      FileNotFoundError: if there is no such folder.
      PermissionError: if the token may not write there.
      ConnectionError: if the Hub cannot be reached.
      ImportError: if huggingface_hub is missing.
    """
    where = _repository(repo)
    hub = _library()
    with tempfile.TemporaryDirectory(prefix="jaxvae-") as made:
        files = _files(Path(folder), where.repo, license, Path(made))
        api = hub.HfApi(
            endpoint=_endpoint(), token=token, library_name="jaxvae", library_version=__version__
        )
        with _told(where, "written"):
            url = api.create_repo(where.repo, private=private, exist_ok=True)
            # One that is there stays as it is, whatever was asked for.
            if private and not api.repo_info(where.repo).private:
                raise ValueError(
                    "repo must be new or private where private is True, got "
                    f"{where.repo}, which is public: nothing was uploaded"
                )
            stale = [name for name in api.list_repo_files(where.repo) if _is_ours(name)]
            operations: list[Any] = [
                hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in files.items()
            ]
            operations += [
                hub.CommitOperationDelete(path_in_repo=name) for name in stale if name not in files
            ]
            api.create_commit(where.repo, operations, commit_message=message)
    return str(url)


def _repository(repo: str) -> Address:
    """Where a model is to be pushed."""
    try:
        where = parse(repo if is_address(repo) else SCHEME + repo)
    except ValueError:
        raise ValueError(f"repo must be owner/name, got {repo}") from None
    if where.revision is not None:
        raise ValueError(f"repo must be owner/name without a revision, got {repo}")
    return where


def _files(folder: Path, repo: str, license: str | None, made: Path) -> dict[str, str | bytes]:
    """What is pushed: bytes, or the path of a file, by its name in the repository."""
    if all((folder / name).is_file() for name in MODEL_FILES):
        for name in MODEL_FILES:
            shutil.copyfile(folder / name, made / name)
        model = saved_models.read(made)  # what is pushed is whole
    else:
        model = runs.open_run(folder).model
        saved_models.write(made, model.description, model.params)
    files: dict[str, str | bytes] = {name: str(made / name) for name in MODEL_FILES}
    summary = None
    if (folder / run_folder.SUMMARY).is_file():
        summary = whole_files.read_json(folder / run_folder.SUMMARY)
        files[run_folder.SUMMARY] = str(folder / run_folder.SUMMARY)
    pictures = sorted(path.name for path in (folder / FIGURES).glob("[!.]*.png"))
    files |= {f"{FIGURES}/{name}": str(folder / FIGURES / name) for name in pictures}
    text = model_card.card(
        model.description, repo=repo, summary=summary, figures=pictures, license=license
    )
    return {CARD: text.encode(), **files}


def _is_ours(name: str) -> bool:
    """Whether a file in the repository is one that an earlier push may have left."""
    return name == run_folder.SUMMARY or re.fullmatch(rf"{FIGURES}/[^/]+\.png", name) is not None


def _endpoint() -> str | None:
    """HF_ENDPOINT as it is now: the library reads it once, at its import."""
    return os.environ.get("HF_ENDPOINT") or None


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(
            "the Hub needs the package huggingface_hub: pip install 'jaxvae[hub]'"
        ) from None
    return huggingface_hub


@contextlib.contextmanager
def _told(where: Address, how: str) -> Iterator[None]:
    """Say in one line what the Hub or the network refused."""
    from huggingface_hub import constants, errors

    try:
        yield
    except Exception as error:
        # What is not in the cache is missing since the Hub did not answer.
        cause = error
        if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
            cause = error.__cause__  # type: ignore[assignment]
        at = _endpoint() or constants.ENDPOINT
        if isinstance(cause, errors.RevisionNotFoundError):
            raise FileNotFoundError(f"{where} has no such revision") from error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status == 403 or (status == 401 and how == "written"):
            raise PermissionError(
                f"{where} may not be {how} with this token: HTTP {status} from {at}; "
                "HF_TOKEN must be one that may"
            ) from error
        if status in (401, 404):
            raise FileNotFoundError(
                f"{where} does not exist at {at}, or is private and HF_TOKEN does not open it"
            ) from error
        if isinstance(cause, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
            raise ConnectionError(
                f"{where} cannot be {how}: with HF_HUB_OFFLINE the Hub is not asked, and only what "
                "is in the cache is there"
            ) from error
        # The client of HTTP is another in each major version of huggingface_hub.
        if type(cause).__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "httpcore"):
            text = " ".join(str(cause).split())
            raise ConnectionError(
                f"{where} cannot be {how}, as {at} gives no answer: {text}"
            ) from error
        raise


@dataclass(frozen=True)
class Push:
    """Put a trained model on the Hugging Face Hub, with a card of its numbers and pictures."""

    EXAMPLES: ClassVar = (
        ("jaxvae push runs/first ann/digits", "to the repository digits of ann"),
        ("jaxvae push runs/first ann/digits --private", "where others cannot read it"),
    )

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """A folder that `jaxvae train` or `jaxvae.save` wrote."""
    repo: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="REPO")]]
    """The repository that it goes to, as owner/name. One that does not exist is made."""
    private: bool = False
    """Make a new repository a private one. One that exists and is public is refused."""
    license: str | None = None
    """The licence of the model, as apache-2.0. Default: the card does not mention one."""
    message: str = "Upload a model of jaxvae"
    """The message of the commit."""
    quiet: bool = False
    """Print the address of the model and nothing else."""

    def run(self) -> int:
        url = push(
            self.folder,
            self.repo,
            private=self.private,
            license=self.license,
            message=self.message,
        )
        say_made("The model is at", url)
        say("To read it in Python:", f'jaxvae.load("{_repository(self.repo)}")')
        return 0
