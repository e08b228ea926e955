"""Models on the Hub: `push`, `fetch`, the card; against a stand-in that listens on 127.0.0.1."""

import base64
import hashlib
import http.server
import json
import re
import socket
import sys
import threading
import urllib.parse
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from huggingface_hub import constants

import jaxvae
from jaxvae import likelihoods
from jaxvae.apps import cli, description, hub, model_card

TOKEN = "hf_of_the_tests"


class StandIn:
    """What the Hub keeps: files by repository and revision; and what it was asked for."""

    def __init__(self):
        self.repos, self.asked, self.private = {}, [], {}

    def commit(self, repo):
        names = sorted(self.repos[repo].items())
        return hashlib.sha1(repr(names).encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """The part of the Hub's API that the library uses for small models."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def allowed(self, owner):
        """Whether the token may do it; else it is answered."""
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            message = "Invalid credentials in Authorization header"
            return self.answer(401, {"error": message}, X_Error_Message=message)
        if owner == "other":
            return self.answer(403, {"error": "no"}, X_Error_Message="no write access")
        return True

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        path, hub_ = urllib.parse.urlsplit(self.path).path, self.server.stand_in
        hub_.asked.append(path)
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(content)
            if self.allowed(asked["organization"]) is not True:
                return None
            repo = f"{asked['organization']}/{asked['name']}"
            status = 409 if repo in hub_.repos else 200
            if status == 200:
                hub_.private[repo] = asked.get("visibility") == "private" or asked.get("private")
            hub_.repos.setdefault(repo, {})
            return self.answer(status, {"url": f"{self.server.url}/{repo}"})
        _, _, _, owner, name, what, _ = path.split("/")
        files = hub_.repos[f"{owner}/{name}"]
        if self.allowed(owner) is not True:
            return None
        if what == "preupload":
            names = [file["path"] for file in json.loads(content)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer(200, {"files": [{"path": n, **modes} for n in names]})
        assert what == "commit"
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = hub_.commit(f"{owner}/{name}")
        url = f"{self.server.url}/{owner}/{name}/commit/{commit}"
        return self.answer(200, {"commitUrl": url, "commitOid": commit})

    def do_GET(self):
        path, hub_ = urllib.parse.urlsplit(self.path).path, self.server.stand_in
        hub_.asked.append(path)
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        is_api = parts[:2] == ["api", "models"]
        owner, name, *rest = parts[2:] if is_api else parts
        repo = f"{owner}/{name}"
        if owner == "closed":
            return self.answer(403, {"error": "no"}, X_Error_Message="no access")
        if repo not in hub_.repos:  # as the Hub does, which hides what is private
            return self.answer(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        files, commit = hub_.repos[repo], hub_.commit(repo)
        revision = rest[1] if rest else "main"
        if revision not in ("main", "v1", commit):
            return self.answer(404, {"error": "no revision"}, X_Error_Code="RevisionNotFound")
        if not is_api:
            content = files["/".join(rest[2:])]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.answer(200, content, ETag=etag, X_Repo_Commit=commit)
        if rest[:1] == ["tree"]:
            oid = hashlib.sha1(b"").hexdigest()
            found = [
                {"type": "file", "path": n, "size": len(c), "oid": oid} for n, c in files.items()
            ]
            return self.answer(200, found)
        names = [{"rfilename": file} for file in files]
        private = bool(hub_.private.get(repo))
        return self.answer(200, {"id": repo, "sha": commit, "private": private, "siblings": names})

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def stand_in(server, monkeypatch):
    """The Hub of this test, and nothing else on the network."""
    server.stand_in = StandIn()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    connect = socket.socket.connect

    def at_home(self, address):
        assert not isinstance(address, tuple) or address[0] == "127.0.0.1", address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", at_home)
    return server.stand_in


SUMMARY = {
    "model": "dirichlet", "dataset": "/home/ann/secret/digits", "interrupted": False, "epochs": 3,
    "test_loss": 12.5, "test_accuracy": 0.875, "test_nelbo": None, "seconds_per_epoch": 0.1,
    "version": "0.2.0", "python": "3.11.7", "jax": "0.10.2", "device": "1 x cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """A small model, its parameters, and the data set of its names."""
    network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=8)
    vae = jaxvae.dirichlet_vae(network, likelihood=likelihoods.normal(1.0))
    return vae, vae.init(jax.random.key(0), jnp.zeros((1, 64)))


@pytest.fixture
def folder(model, tmp_path):
    """A saved model, with a summary and pictures; and things that are nobody's business."""
    path = jaxvae.save(tmp_path / "model", *model)
    (path / "summary.json").write_text(json.dumps(SUMMARY))
    (path / "figures").mkdir()
    (path / "figures" / "loss.png").write_bytes(b"\x89PNG of a loss")
    (path / "figures" / "walk.gif").write_bytes(b"GIF")
    (path / "figures" / ".loss.5eed.tmp.png").write_bytes(b"half, of a process that was killed")
    (path / "metrics.jsonl").write_text("{}")
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "model.json").write_text("{}")
    return path


def test_what_is_pushed_and_fetched(model, folder, stand_in, server, tmp_path):
    assert hub.push(folder, "ann/digits") == f"{server.url}/ann/digits"
    files = stand_in.repos["ann/digits"]
    assert set(files) == {*hub.MODEL_FILES, "README.md", "summary.json", "figures/loss.png"}
    for name in set(files) - {"README.md"}:
        assert files[name] == (folder / name).read_bytes()
    assert not stand_in.private["ann/digits"]
    for address in ("hf://ann/digits", "hf://ann/digits@v1"):
        found = hub.fetch(address, cache_dir=tmp_path / "cache")
        assert {path.name for path in found.iterdir()} == set(hub.MODEL_FILES)
        for name in hub.MODEL_FILES:
            assert (found / name).read_bytes() == (folder / name).read_bytes()
    x = np.random.default_rng(0).random((3, 64), np.float32)
    wanted = jaxvae.encode_mean(*model, x)
    np.testing.assert_array_equal(jaxvae.load(found).encode(x), wanted)


def test_a_second_push_removes_what_is_no_more(folder, stand_in):
    hub.push(folder, "ann/digits", private=True)
    assert stand_in.private["ann/digits"]
    (folder / "figures" / "loss.png").rename(folder / "figures" / "latent.png")
    (folder / "summary.json").unlink()
    stand_in.repos["ann/digits"]["notes.txt"] = b"of the owner"
    hub.push(folder, "hf://ann/digits", message="again")
    files = stand_in.repos["ann/digits"]
    assert set(files) == {*hub.MODEL_FILES, "README.md", "figures/latent.png", "notes.txt"}
    assert b"loss.png" not in files["README.md"]


@pytest.mark.parametrize("repo", ["ann/digits", "hf://ann/digits"])
def test_what_is_printed_after_a_push_can_be_loaded(repo, folder, stand_in, capsys):
    assert cli.main(["push", str(folder), repo]) == 0
    assert 'jaxvae.load("hf://ann/digits")' in capsys.readouterr().out


def test_a_run_is_pushed_without_its_configuration(stand_in, tmp_path):
    run = Path(__file__).parents[1] / "data" / "runs_0.1" / "dirichlet"
    hub.push(run, "ann/run")
    files = stand_in.repos["ann/run"]
    assert set(hub.MODEL_FILES) | {"README.md", "summary.json"} <= set(files)
    assert not {"config.json", "params.npz", "metrics.jsonl"} & set(files)
    x = np.zeros((2, 64), np.float32)
    found = jaxvae.load(hub.fetch("hf://ann/run", cache_dir=tmp_path / "cache"))
    np.testing.assert_array_equal(found.encode(x), jaxvae.load(run).encode(x))


def test_without_the_hub_the_cache_is_used(folder, stand_in, tmp_path, monkeypatch):
    hub.push(folder, "ann/digits")
    cache = tmp_path / "cache"
    found = hub.fetch("hf://ann/digits", cache_dir=cache)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch("hf://ann/digits", cache_dir=cache) == found


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("hf://justname", ValueError, r"address must be hf://owner/name or .*, got hf://justname"),
        ("hf://ann/digits@", ValueError, "address must be"),
        ("hf://ann/../digits", ValueError, "address must be"),
        ("hf://ann/digits/more", ValueError, "address must be"),
        ("ann/digits", ValueError, "address must be"),
        ("hf://ann/none", FileNotFoundError, "hf://ann/none does not exist at http.*is private"),
        ("hf://ann/empty@v9", FileNotFoundError, "hf://ann/empty@v9 has no such revision"),
        ("hf://ann/empty", ValueError, "hf://ann/empty must be a saved model.*it lacks model.json"),
        ("hf://closed/it", PermissionError, "hf://closed/it may not be read .*: HTTP 403"),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched(address, kind, message, stand_in, tmp_path):
    stand_in.repos["ann/empty"] = {"weights.bin": b"another library's"}
    with pytest.raises(kind, match=message) as told:
        hub.fetch(address, cache_dir=tmp_path)
    assert "\n" not in str(told.value)
    assert type(told.value) is kind


@pytest.mark.parametrize(
    ("repo", "token", "kind", "message"),
    [
        ("justname", TOKEN, ValueError, "^repo must be owner/name, got justname$"),
        ("ann/digits@v1", TOKEN, ValueError, "repo must be owner/name without a revision"),
        ("ann/digits", "hf_wrong", PermissionError, "may not be written with this token: HTTP 401"),
        ("other/digits", TOKEN, PermissionError, "may not be written with this token: HTTP 403"),
    ],
)
def test_what_cannot_be_pushed(repo, token, kind, message, folder, stand_in):
    with pytest.raises(kind, match=message) as told:
        hub.push(folder, repo, token=token)
    assert "\n" not in str(told.value)
    assert type(told.value) is kind
    assert not stand_in.repos


def test_no_network(folder, stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no one listens
    for call in (
        lambda: hub.push(folder, "ann/digits"),
        lambda: hub.fetch("hf://ann/digits", cache_dir=tmp_path / "cache"),
    ):
        with pytest.raises(ConnectionError, match=r"as http://127\.0\.0\.1:9 gives no") as told:
            call()
        assert "\n" not in str(told.value)


def test_without_leave_to_ask_the_hub(folder, stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for call in (
        lambda: hub.push(folder, "ann/digits"),
        lambda: hub.fetch("hf://ann/digits", cache_dir=tmp_path / "cache"),
    ):
        with pytest.raises(ConnectionError, match=r"^hf://ann/digits cannot be .* HF_HUB_OFFLINE"):
            call()


def test_commands_of_an_address(folder, stand_in, tmp_path, monkeypatch, capsys):
    """Those that need the model alone take it; another says so, and looks for no such folder."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.push(folder, "ann/digits")
    x = np.random.default_rng(0).random((3, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "z.npy"
    assert cli.main(["encode", "hf://ann/digits", str(tmp_path / "x.npy"), "--out", str(out)]) == 0
    np.testing.assert_allclose(np.load(out), jaxvae.load(folder).encode(x), rtol=1e-6)
    assert cli.main(["figures", "hf://ann/digits"]) == 1
    told = capsys.readouterr().err
    assert "path must be a folder on this machine for this command, got hf:/" in told
    assert "encode, generate and export take an address" in told


def test_a_damaged_model_is_not_pushed(folder, stand_in):
    path = folder / "params.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"params\.safetensors"):
        hub.push(folder, "ann/digits")
    assert not stand_in.asked


def test_what_is_to_be_private_does_not_go_where_all_can_read_it(folder, stand_in):
    hub.push(folder, "ann/digits")
    before = dict(stand_in.repos["ann/digits"])
    (folder / "summary.json").unlink()
    with pytest.raises(ValueError, match=r"^repo must be new or private .* got ann/digits, which"):
        hub.push(folder, "ann/digits", private=True)
    assert stand_in.repos["ann/digits"] == before
    hub.push(folder, "ann/other", private=True)
    hub.push(folder, "ann/other", private=True)
    assert stand_in.private["ann/other"]
    assert not stand_in.private["ann/digits"]


def test_no_model(tmp_path, stand_in):
    with pytest.raises(FileNotFoundError):
        hub.push(tmp_path / "none", "ann/digits")
    assert not stand_in.asked


def test_without_the_library(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: hub.push(folder, "ann/digits"), lambda: hub.fetch("hf://ann/digits")):
        with pytest.raises(ImportError, match=re.escape("pip install 'jaxvae[hub]'")):
            call()


def test_the_command(folder, stand_in, server, capsys):
    assert hub.Push(folder, "ann/digits", license="mit").run() == 0
    shown = capsys.readouterr().out
    assert shown == (
        f"The model is at {server.url}/ann/digits\n"
        'To read it in Python: jaxvae.load("hf://ann/digits")\n'
    )
    assert b'license: "mit"' in stand_in.repos["ann/digits"]["README.md"]


def test_the_card_is_one_that_the_hub_reads(model):
    what = description.of(model[0], data_shape=(64,), label_names=("a|b", "<b>c"))
    text = model_card.card(
        what, repo="ann/digits", summary=SUMMARY, figures=["loss.png"], license="mit"
    )
    data = huggingface_hub.ModelCard(text).data
    assert (data.library_name, data.license) == ("jaxvae", "mit")
    assert data.tags == ["vae", "variational-autoencoder", "jax", "dirichlet"]
    assert {(r.metric_type, r.metric_value) for r in data.eval_results} == {
        ("test_loss", 12.5), ("test_accuracy", 0.875),
    }  # fmt: skip
    assert {r.dataset_name for r in data.eval_results} == {"digits"}
    assert "| test_loss | 12.5 |" in text
    assert "![loss](figures/loss.png)" in text
    assert r"| labels | a\|b, &lt;b>c |" in text
    assert 'model = jaxvae.load("hf://ann/digits")' in text
    assert "seconds_per_epoch" not in text


def test_the_card_names_no_path_and_no_user(model):
    what = description.of(model[0], data_shape=(64,))
    for summary in (SUMMARY, SUMMARY | {"dataset": r"C:\Users\ann\digits"}):
        text = model_card.card(what, repo="bob/digits", summary=summary)
        assert "ann" not in text
        assert "secret" not in text
        assert "| data set | digits |" in text


def test_the_card_says_nothing_that_the_files_do_not(model):
    what = description.of(model[0], data_shape=(64,))
    text = model_card.card(what, repo="ann/digits")
    for word in ("license", "Licence", "Numbers", "Figures", "model-index", "data set"):
        assert word not in text
    huggingface_hub.ModelCard(text)
