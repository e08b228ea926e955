"""Damaged and hostile files, and random command lines: each is read, or refused in words.

A file is read to finite arrays, or refused by a ValueError, TypeError or OSError that names it.
Nothing in it is unpickled or extracted. What reading it allocates (tracemalloc's peak, NumPy's
arrays included) is at most

    2 x the file's bytes + 4 x the decoded bytes + 4 MiB,

the decoded bytes being those that the headers declare and the stream really holds: neither a
header alone nor a stream alone costs memory. A gzipped stream longer than its own IDX header says,
a member of an .npz longer than its own .npy header says, and members that overlap are not unpacked
beyond one piece of 1 MiB. The factor 4 is for the float32 copy of the examples and its split into
train and test. Two things cost more than their bytes, and are bounded by the file's size alone: a
member's entry in the directory of an .npz (about 1 KiB), and the objects of a JSON.
"""

import gzip
import hashlib
import io
import json
import lzma
import pickle
import tracemalloc
import types
import typing
import warnings
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.apps import cli, runs
from jaxvae.data import datasets
from jaxvae.training import whole_files

MIB = 2**20
X = np.linspace(0, 1, 20 * 64, dtype=np.float32).reshape(20, 64)
Y = np.arange(20) % 10
PARAMS = {
    "decoder": {"kernel": np.ones((10, 64), np.float32)},
    "encoder": {"bias": np.zeros(10, np.float32), "kernel": X.T},
}
IMAGES = np.arange(20 * 28 * 28).astype(np.uint8).reshape(20, 28, 28)
MNIST = {
    "x_train": IMAGES,
    "y_train": Y.astype(np.uint8),
    "x_test": IMAGES[:5],
    "y_test": Y[:5].astype(np.uint8),
}


class Canary:
    """Unpickling it makes a file of this name in the working directory."""

    def __reduce__(self):
        return open, ("unpickled", "w")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, and MNIST's digests those of the small arrays here."""
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in MNIST.items()}
    monkeypatch.setattr(datasets, "MNIST_SHA256", digests)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_of(header, content=b"", version=1, length=None):
    """An .npy with any header."""
    header = header.encode() if isinstance(header, str) else header
    length = (len(header) if length is None else length).to_bytes(
        2 if version == 1 else 4, "little"
    )
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def npy_shape(shape, descr="'<f4'", content=bytes(80), **options):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return npy_of(header, content, **options)


def archive(*members, compression=zipfile.ZIP_DEFLATED, change=lambda file: None):
    """An .npz of (name, bytes); `change` may alter its directory before that is written."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as opened:
        warnings.simplefilter("ignore")  # a name given twice
        for name, content in members:
            opened.writestr(name, content)
        change(opened)
    return file.getvalue()


def claim(**fields):
    """Have the directory of an archive say something else of each member."""

    def change(opened):
        for member in opened.filelist:
            for name, value in fields.items():
                setattr(member, name, value)

    return change


def overlap(opened):
    first = opened.filelist[0]
    for number in range(200):
        opened.filelist.append(other := zipfile.ZipInfo(f"x{number}.npy"))
        for name in ("CRC", "compress_size", "file_size", "compress_type", "header_offset"):
            setattr(other, name, getattr(first, name))


def idx(array, *, header=None, more=b""):
    if header is None:
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes() + more, 6, mtime=0)


def params_npz(params=PARAMS):
    file = io.BytesIO()
    leaves = jax.tree.leaves_with_path(params)
    arrays = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    np.savez(file, **arrays)
    return file.getvalue()


def config(**changes):
    return json.dumps(
        {"model": "normal", "epochs": 3, "kl_weight": 0.5} | changes, indent=2
    ).encode()


def mnist_folder(file=None, content=None):
    for name, array in MNIST.items():
        Path(datasets.MNIST_FILES[name]).write_bytes(idx(array))
    if file is not None:
        Path(file).write_bytes(content)


def examples(data):
    return [array for array in data[1:5] if array is not None]


READERS = {
    ".gz": lambda path: examples(datasets.load_mnist(path.parent)),
    ".npy": lambda path: examples(datasets.load(path)),
    ".npz": lambda path: examples(datasets.load(path)),
    "params.npz": lambda path: jax.tree.leaves(whole_files.load_params(path, PARAMS)),
    ".json": lambda path: runs.read_config(path) and [],
}


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """What the readers import, once: memory is counted of what they read."""
    folder = tmp_path_factory.mktemp("first")
    np.savez(folder / "first.npz", x=X, y=Y)
    datasets.load(folder / "first.npz")
    (folder / "config.json").write_bytes(config())
    READERS[".json"](folder / "config.json")


def read(path, decoded=0):
    """Read a file as its name asks; return whether it was read, and not refused."""
    reader = READERS.get(path.name) or READERS[path.suffix]
    before = sorted(path.parent.iterdir())
    tracemalloc.start()
    try:
        arrays = reader(path)
    except (ValueError, TypeError, OSError) as error:
        arrays, message = None, str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert arrays is not None or path.name in message, f"the file is not named: {message}"
    allowed = 2 * path.stat().st_size + 4 * decoded + 8 * MIB  # a configuration's data are read
    assert peak <= allowed, f"{peak / MIB:.1f} MiB were allocated"
    assert sorted(path.parent.iterdir()) == before, "something was unpickled or extracted"
    assert arrays is None or all(np.isfinite(array).all() for array in arrays)
    return arrays is not None


FILES = {
    datasets.MNIST_FILES["x_train"]: idx(MNIST["x_train"]),
    datasets.MNIST_FILES["y_test"]: idx(MNIST["y_test"]),
    "mine.npy": npy(X),
    "mine.npz": archive(("x.npy", npy(X)), ("y.npy", npy(Y))),
    "params.npz": params_npz(),
    "config.json": config(),
}
PLAIN = {  # the same before compression: damage reaches the headers inside, and no checksum tells
    datasets.MNIST_FILES["x_train"]: (gzip.decompress, lambda content: gzip.compress(content)),
    datasets.MNIST_FILES["y_test"]: (gzip.decompress, lambda content: gzip.compress(content)),
    "mine.npz": (lambda _: npy(X), lambda content: archive(("x.npy", content))),
}


def damage(rng, content):
    """Content with a few bits flipped, bytes put in, taken out, doubled or overwritten, or cut."""
    content = bytearray(content)
    # Headers are short and at the start: half of all damage is done there.
    end = min(len(content), 64) if rng.random() < 0.5 else len(content)
    for _ in range(rng.integers(1, 5)):
        kind, place = rng.integers(6), int(rng.integers(max(1, min(end, len(content)))))
        length = int(rng.integers(1, 20))
        if kind == 0 and content:
            content[min(place, len(content) - 1)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[place:place] = rng.bytes(length)
        elif kind == 2:
            del content[place : place + length]
        elif kind == 3:
            content[place:place] = content[place : place + length]
        elif kind == 4:
            content[place : place + 4] = rng.choice([b"\xff" * 4, bytes(4), b"9999", b"\x7f" * 4])
        elif rng.random() < 0.3:
            del content[place:]
    return bytes(content)


def test_whole_files_are_read(here):
    for name, content in FILES.items():
        mnist_folder(name, content)
        assert read(here / name), name


@pytest.mark.parametrize("seed", range(500))
def test_damaged_file(here, seed):
    rng = np.random.default_rng(seed)
    name = list(FILES)[seed % len(FILES)]
    content = FILES[name]
    if name in PLAIN and rng.random() < 0.5:
        unpack, pack = PLAIN[name]
        content = pack(damage(rng, unpack(content)))
    else:
        content = damage(rng, content)
    mnist_folder(name, content)
    read(here / name)


ZEROS = bytes(64 * MIB)
IMAGES_FILE = datasets.MNIST_FILES["x_train"]
DEEP_MODEL = '{"model": %s}'
HOSTILE = {
    "a gzipped stream longer than its header": (IMAGES_FILE, lambda: idx(IMAGES, more=ZEROS)),
    "a header larger than any memory": (
        IMAGES_FILE,
        lambda: idx(IMAGES, header=b"\0\0\x08\4" + b"\xff" * 16),
    ),
    "more than any memory of nothing": (
        IMAGES_FILE,
        lambda: idx(IMAGES[:0], header=b"\0\0\x08\4" + bytes(4) + b"\xff" * 12),
    ),
    "an IDX file of doubles": (IMAGES_FILE, lambda: idx(IMAGES, header=b"\0\0\x0e\3" + bytes(12))),
    "an IDX file of rank 255": (
        IMAGES_FILE,
        lambda: idx(IMAGES, header=b"\0\0\x08\xff" + b"\xff" * 1020),
    ),
    "10,000 empty gzip members": (IMAGES_FILE, lambda: gzip.compress(b"") * 10_000),
    "a gzipped stream, then another file": (IMAGES_FILE, lambda: idx(IMAGES) + npy(X)),
    "an IDX file without gzip": (IMAGES_FILE, lambda: gzip.decompress(idx(IMAGES))),
    "no bytes, gzipped": (IMAGES_FILE, lambda: gzip.compress(b"")),
    "no bytes for MNIST": (IMAGES_FILE, lambda: b""),
    "no bytes as .npy": ("mine.npy", lambda: b""),
    "a pickle": ("mine.npy", lambda: pickle.dumps(Canary())),
    "a pickle inside an .npy": (
        "mine.npy",
        lambda: npy(np.array([Canary()]), allow_pickle=True),
    ),
    "a pickle inside a structured .npy": (
        "mine.npy",
        lambda: npy_shape("(1,)", "[('a', '|O')]", pickle.dumps(Canary())),
    ),
    "an .npy larger than any memory": ("mine.npy", lambda: npy_shape("(1000000000000, 64)")),
    "an .npy larger than 64 bits": ("mine.npy", lambda: npy_shape(f"({2**70}, {2**70})")),
    "an .npy of 4,000 digits": ("mine.npy", lambda: npy_shape(f"({'9' * 4000}, 64)")),
    "an .npy of a negative length": ("mine.npy", lambda: npy_shape("(-1, 4)")),
    "an .npy of two negative lengths": ("mine.npy", lambda: npy_shape("(-5, -4)")),
    "an .npy of a trillion elements of no size": (
        "mine.npy",
        lambda: npy_shape("(1000000000000,)", "'|V0'", b""),
    ),
    "an .npy of a trillion rows of no columns": (
        "mine.npy",
        lambda: npy_shape("(1000000000000, 0)", content=b""),
    ),
    "an .npy of arrays of a billion": (
        "mine.npy",
        lambda: npy_shape("(1,)", "('<f4', (1000000000,))"),
    ),
    "an .npy header of 4 GiB": (
        "mine.npy",
        lambda: npy_shape("(20,)", version=2, length=2**32 - 1),
    ),
    "an .npy header of 60 KB": ("mine.npy", lambda: npy_of(" " * 60_000 + "{}")),
    "an .npy header of brackets": ("mine.npy", lambda: npy_of("(" * 9000)),
    "an .npy header of signs": ("mine.npy", lambda: npy_of("-" * 9000 + "1")),
    "an .npy header that calls": ("mine.npy", lambda: npy_shape("open('unpickled', 'w')")),
    "an .npy header of Python 2": ("mine.npy", lambda: npy_shape("(4L, 5L)")),
    "an .npy without a dtype": ("mine.npy", lambda: npy_shape("(4, 5)", "()")),
    "an .npy of an unknown dtype": ("mine.npy", lambda: npy_shape("(4, 5)", "'<q17'")),
    "an .npy of version 9": ("mine.npy", lambda: npy_shape("(4, 5)", version=9)),
    "an .npy with more behind it": ("mine.npy", lambda: npy(X) + npy(X)),
    "complex numbers": ("mine.npy", lambda: npy(X.astype(complex))),
    "text": ("mine.npy", lambda: npy(X.astype(str))),
    "times": ("mine.npy", lambda: npy(X.astype("M8[s]"))),
    "durations": ("mine.npy", lambda: npy(X.astype("m8[s]"))),
    "NaN": ("mine.npy", lambda: npy(X * np.nan)),
    "numbers beyond float32": ("mine.npy", lambda: npy(X.astype(float) * 1e300)),
    "a gzipped .npy": ("mine.npy", lambda: gzip.compress(npy(X))),
    "a member longer than its header": (
        "mine.npz",
        lambda: archive(("x.npy", npy_shape("(4, 5)", content=ZEROS))),
    ),
    "a member shorter than its header": (
        "mine.npz",
        lambda: archive(("x.npy", npy_shape("(100000000, 64)"))),
    ),
    "a member that claims 256 TiB in both places": (
        "mine.npz",
        lambda: archive(
            ("x.npy", head := npy_shape(f"({2**42}, 16)", content=b"")),
            change=claim(file_size=len(head) + 2**48),
        ),
    ),
    "a member that claims to be compressed from beyond the file": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), change=claim(compress_size=2**40)),
    ),
    "a member that begins beyond the file": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), change=claim(header_offset=2**62)),
    ),
    "201 members that overlap": (
        "mine.npz",
        lambda: archive(("x.npy", npy(np.zeros((MIB, 1), np.float32))), change=overlap),
    ),
    "a member twice": ("mine.npz", lambda: archive(("x.npy", npy(X)), ("x.npy", npy(X)))),
    "2,000 members": (
        "mine.npz",
        lambda: archive(*((f"{number}.npy", npy(X[0, :1])) for number in range(2000))),
    ),
    "an encrypted member": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), change=claim(flag_bits=1)),
    ),
    "a member by LZMA": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), compression=zipfile.ZIP_LZMA),
    ),
    "a member by bzip2": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), compression=zipfile.ZIP_BZIP2),
    ),
    "a member by an unknown method": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), change=claim(compress_type=99)),
    ),
    "a path out of the folder": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), ("../../outside.npy", npy(X))),
    ),
    "an absolute path": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), ("/tmp/outside.npy", npy(X))),
    ),
    "a member that is no array": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), ("y", b"pickled labels")),
    ),
    "a pickle inside an .npz": (
        "mine.npz",
        lambda: archive(("x.npy", npy(np.array([Canary()]), allow_pickle=True))),
    ),
    "labels that are fractions": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), ("y.npy", npy(Y + 0.5))),
    ),
    "labels that are durations": (
        "mine.npz",
        lambda: archive(("x.npy", npy(X)), ("y.npy", npy(Y.astype("m8[s]")))),
    ),
    "an empty archive": ("mine.npz", lambda: archive()),
    "something compressed otherwise": ("mine.npz", lambda: lzma.compress(npy(X))),
    "parameters by a path out of the folder": (
        "params.npz",
        lambda: archive(("../../decoder/kernel.npy", npy(X))),
    ),
    "parameters of another model": ("params.npz", lambda: params_npz({"encoder": {"bias": X}})),
    "parameters that are NaN": (
        "params.npz",
        lambda: params_npz(jax.tree.map(lambda leaf: leaf * np.nan, PARAMS)),
    ),
    "parameters that are doubles": (
        "params.npz",
        lambda: params_npz(jax.tree.map(lambda leaf: leaf.astype(float), PARAMS)),
    ),
    "parameters that are pickles": (
        "params.npz",
        lambda: archive(("encoder/bias.npy", npy(np.array([Canary()]), allow_pickle=True))),
    ),
    "100,000 brackets": ("config.json", lambda: b"[" * 100_000),
    "100,000 objects in one another": ("config.json", lambda: b'{"model":' * 100_000),
    "an option of 300 lists": ("config.json", lambda: b'{"model": %b}' % (b"[" * 300 + b"]" * 300)),
    "an option of 900 lists": ("config.json", lambda: b'{"model": %b}' % (b"[" * 900 + b"]" * 900)),
    "10,000 digits": ("config.json", lambda: b'{"epochs": %b}' % (b"9" * 10_000)),
    "4,000 digits and a half": ("config.json", lambda: b'{"epochs": %b.5}' % (b"9" * 4000)),
    "a number beyond floats": ("config.json", lambda: b'{"epochs": 1e999}'),
    "an option that is NaN": ("config.json", lambda: b'{"epochs": NaN}'),
    "an option that is text": ("config.json", lambda: config(epochs="ten")),
    "an option that is --help": ("config.json", lambda: config(model="--help")),
    "an option that is a list": ("config.json", lambda: config(epochs=[1, 2])),
    "an option that is an object": ("config.json", lambda: config(epochs={"a": 1})),
    "an option that is null": ("config.json", lambda: config(kl_weight=None)),
    "an option of 100 KB": ("config.json", lambda: config(model="a" * 100_000)),
    "an unknown option": ("config.json", lambda: config(**{"--model": "normal"})),
    "an option without a name": ("config.json", lambda: config(**{"": "normal"})),
    "half a surrogate pair": ("config.json", lambda: b'{"model": "\\ud800"}'),
    "UTF-16": ("config.json", lambda: config().decode().encode("utf-16")),
    "bytes that are no text": ("config.json", lambda: b'{"model": "\xff\xfe"}'),
    "no bytes as JSON": ("config.json", lambda: b""),
    "a list": ("config.json", lambda: b"[]"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused(here, case):
    name, make = HOSTILE[case]
    mnist_folder(name, make())
    assert not read(here / name)


@pytest.mark.parametrize("name", ["big.npy", "big.npz", "small.npz"])
def test_honest_file_costs_what_it_holds(here, name):
    """Compressed a thousandfold or not at all, 32 MiB are 32 MiB."""
    x = np.zeros((MIB // 8, 64), np.float32)
    compression = zipfile.ZIP_DEFLATED if name == "small.npz" else zipfile.ZIP_STORED
    content = npy(x) if name == "big.npy" else archive(("x.npy", npy(x)), compression=compression)
    (here / name).write_bytes(content)
    assert read(here / name, decoded=x.nbytes)


def test_a_folder_or_nothing_under_the_name(here):
    for name in FILES:
        (here / name).unlink(missing_ok=True)
        with pytest.raises(OSError, match=name):
            (READERS.get(name) or READERS[Path(name).suffix])(here / name)


# Command lines. The values follow from the options' types, so that a new option is tried as well.


def kinds(annotation):
    """The types and the choices that an option may have. None is not given on a command line."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [kind for each in typing.get_args(annotation) for kind in kinds(each)]
    return [] if annotation is types.NoneType else [annotation]


OPTIONS = {name: kinds(kind)[0] for name, kind in typing.get_type_hints(cli.Train).items()}
GOOD = {int: ["1", "2", "7"], float: ["0.5", "1", "2e-1"]}
REFUSED = {  # what the parser takes for a value of the type, but the option does not allow
    int: ["-7", "-1"],
    float: ["-1", "nan", "inf", "-inf", "1e999"],
    Path: ["missing.npz", "missing", "", "/dev/null/missing.npy", "a" * 5000, "\0"],
    str: ["here", "a:1,2,2", "a:1,2", "a:1,x,0", "", ",,", "a:1,-1,0"],
}
UNREAD = {  # what the parser does not
    int: ["ten", "1.5", "", "1e3", "nan", "--", "0x10", "9" * 5000],
    float: ["wide", "", "1,5", "1e-3x", "--"],
    typing.Literal: ["no-such", "", "--model", "NORMAL"],
}
COMMANDS = ["evaluate", "figures", "generate", "interpolate", "encode", "nonsense", "", "train"]
COMMANDS += ["--evaluate"]
WRONG = [["--nonsense", "1"], ["--epochs"], ["stray"], ["--model=gauss"], ["-x"], ["--no-model"]]


def command_line(rng):
    """A random command line with at least one value that makes it invalid before training."""
    if rng.random() < 0.1:
        command = str(rng.choice(COMMANDS))
        return [
            command,
            str(rng.choice(["missing", "", "\0", "--epochs", "a" * 5000, "/dev/null"])),
        ]
    given = {}
    for name in rng.choice(list(OPTIONS), rng.integers(0, 5), replace=False):
        kind = OPTIONS[str(name)]
        good = typing.get_args(kind) or GOOD.get(kind)
        if good:
            given[str(name)] = str(rng.choice(good))
    words = []
    if rng.random() < 0.1:
        words += WRONG[rng.integers(len(WRONG))]
    else:
        bad = REFUSED if rng.random() < 0.7 else UNREAD
        types_of = {name: typing.get_origin(kind) or kind for name, kind in OPTIONS.items()}
        name = str(
            rng.choice([name for name in OPTIONS if types_of[name] in bad and name != "out"])
        )
        values = bad[types_of[name]]
        given[name] = values[rng.integers(len(values))]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        words += [f"{option}={value}"] if rng.random() < 0.3 else [option, value]
    return ["train", *words]


@pytest.mark.parametrize("block", range(20))
def test_random_command_lines_are_refused_in_a_line(here, block, capsys, monkeypatch):
    """50 of them: status 1 and one line, or 2 and the usage; nothing compiled, nothing on disk."""

    def compile_nothing(*args, **options):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_nothing)
    monkeypatch.setenv("JAXVAE_DATA", "no-mnist")  # or MNIST would be downloaded
    rng = np.random.default_rng(1000 + block)
    for _ in range(50):
        words = command_line(rng)
        status = cli.main(words)
        error = capsys.readouterr().err
        shown = f"{[word[:40] for word in words]} gave {status}: {error[:300]}"
        assert status in (1, 2), shown
        assert "Traceback" not in error, shown
        if status == 1:
            assert error.startswith("jaxvae: error: "), shown
            assert error.count("\n") == 1, shown
        else:
            assert error, shown
        assert not list(here.iterdir()), shown
