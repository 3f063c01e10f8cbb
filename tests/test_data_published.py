"""npcbnet.data.published: where files are looked for, what is downloaded and believed. No network but 127.0.0.1."""
import gzip
import hashlib
import http.server
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from npcbnet import data
from npcbnet.data import published
from npcbnet.errors import DataError
from tests.test_data_idx import idx_bytes

X, Y = np.random.default_rng(0).integers(0, 256, (24, 28, 28), np.uint8), np.arange(24) % 2
CONTENT = {name: idx_bytes(array) for name, array in zip(published.FILE_NAMES, (X, Y, X[:6], Y[:6]))}
REAL = Path(os.environ.get("NPCBNET_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    monkeypatch.delenv("NPCBNET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path


@pytest.fixture
def server():
    """A web server of the four files: server.files may be changed, server.asked lists what was requested."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            body = self.server.files.get(self.path.rsplit("/", 1)[-1])
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"") + self.server.promise_more))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.files = {f"{name}.gz": gzip.compress(content) for name, content in CONTENT.items()}
    found.asked, found.promise_more = [], 0
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def sources(*urls, packed_sha256=None):
    files = [published.File(name, shape, hashlib.sha256(CONTENT[name]).hexdigest())
             for name, shape in zip(CONTENT, ((24, 28, 28), (24,), (6, 28, 28), (6,)))]
    if packed_sha256:
        files[0] = published.File(files[0].name, files[0].shape, None, packed_sha256)
    return {"mnist": published.Source("Tiny", ("even", "odd"), urls, tuple(files))}


def url(server, folder="a"):
    return f"http://127.0.0.1:{server.server_port}/{folder}/"


DEAD = "http://127.0.0.1:9/"  # the discard port: nothing listens


def refused(match, table):
    with pytest.raises(DataError, match=match) as caught:
        published.read("mnist", table)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_download_then_cache(empty_home, server):
    table = sources(url(server))
    raw = published.read("mnist", table)
    np.testing.assert_array_equal(raw.train.images[:, 0], X)
    np.testing.assert_array_equal(raw.test.labels, Y[:6])
    assert len(server.asked) == 4
    published.read("mnist", table)
    assert len(server.asked) == 4
    assert sorted(path.name for path in (empty_home / "cache/npcbnet/mnist").iterdir()) == sorted(server.files)


def test_load_uses_the_table(empty_home, server, monkeypatch):
    monkeypatch.setattr(published, "SOURCES", sources(url(server)))
    loaded = data.load("mnist")
    assert loaded.title == "Tiny" and loaded.class_names == ("even", "odd") and loaded.input_shape == (1, 28, 28)


def test_second_place_serves_when_the_first_does_not(empty_home, server):
    published.read("mnist", sources(DEAD, url(server)))
    assert all(path.startswith("/a/") for path in server.asked)


def test_npcbnet_data_goes_before_the_cache_and_files_may_be_unpacked(empty_home, monkeypatch):
    for name, content in CONTENT.items():
        for folder in (empty_home / "own/mnist", empty_home / "cache/npcbnet/mnist"):
            folder.mkdir(parents=True, exist_ok=True)
        (empty_home / "own/mnist" / name).write_bytes(content)
        (empty_home / "cache/npcbnet/mnist" / name).write_bytes(b"damaged")
    refused("not an IDX file", sources(DEAD))
    monkeypatch.setenv("NPCBNET_DATA", str(empty_home / "own"))
    assert len(published.read("mnist", sources(DEAD)).train) == 24


@pytest.mark.parametrize("served, match", [
    (b"<html>log in</html>", "not an IDX file"), (gzip.compress(CONTENT[published.FILE_NAMES[2]]), "expected 24x28x28"),
    (gzip.compress(CONTENT[published.FILE_NAMES[0]][:-1] + b"x"), "not the published"),
    (bytes(200_000), "sent more than"),
    (gzip.compress(CONTENT[published.FILE_NAMES[0]])[:-9], "truncated"), (None, "Not Found")])
def test_wrong_downloads_are_not_kept(empty_home, server, served, match):
    server.files[f"{published.FILE_NAMES[0]}.gz"] = served
    refused(match, sources(url(server)))
    assert not (empty_home / "cache").exists()


def test_download_that_stops_early(empty_home, server):
    server.promise_more = 10
    refused("download failed", sources(url(server)))


def test_packed_hash_holds_a_download_but_not_a_repacked_copy(empty_home, server, monkeypatch):
    refused("sha256 differs", sources(url(server), packed_sha256="0" * 64))
    own = empty_home / "own" / "mnist"
    own.mkdir(parents=True)
    for name, content in CONTENT.items():
        (own / name).write_bytes(content)
    monkeypatch.setenv("NPCBNET_DATA", str(own.parent))
    published.read("mnist", sources(DEAD, packed_sha256="0" * 64))


def test_offline_message_names_files_place_and_the_way_out(empty_home, monkeypatch):
    started = time.perf_counter()
    message = refused("missing train-images", sources(DEAD))
    assert time.perf_counter() - started < 5
    assert all(f"{name}.gz" in message for name in CONTENT) and str(empty_home / "cache/npcbnet/mnist") in message
    assert "`python -m npcbnet.train digits`" in message and "NPCBNET_DATA" in message
    monkeypatch.setenv("NPCBNET_DATA", str(empty_home))
    assert f"put them into {empty_home / 'mnist'}" in refused("missing", sources(DEAD))


def test_without_a_home_folder(empty_home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert "digits" in refused("no home folder .* NPCBNET_DATA", sources(DEAD))


def test_cache_that_cannot_be_written(empty_home, server):
    (empty_home / "cache").write_text("a file where a folder is needed")
    message = refused("XDG_CACHE_HOME", sources(url(server)))
    assert "--out" not in message


def test_the_real_table_is_complete():
    for name, source in published.SOURCES.items():
        assert len(source.class_names) == 10 and [file.name for file in source.files] == list(published.FILE_NAMES)
        assert all(place.startswith("http") and place.endswith("/") for place in source.urls)
        assert all(len(file.sha256 or file.packed_sha256) == 64 for file in source.files), name


# --- the real files, where this machine has them ---
def real(name):
    if not (REAL / name).exists():
        pytest.skip(f"no {REAL / name}")


@pytest.mark.parametrize("name, title", [("mnist", "MNIST"), ("fmnist", "Fashion-MNIST")])
def test_real_files(name, title, monkeypatch):
    real(name)
    monkeypatch.setenv("NPCBNET_DATA", str(REAL))
    loaded = data.load(name, seed=1)
    assert (loaded.title, len(loaded.train), len(loaded.validation), len(loaded.test)) == (title, 55_000, 5_000, 10_000)
    whole = np.bincount(loaded.train.labels) + np.bincount(loaded.validation.labels)
    assert np.all(np.abs(np.bincount(loaded.validation.labels) - whole / 12) < 1)


def test_real_kmnist_split():
    real("kmnist/kmnist-8000-2000.npz")
    loaded = data.load(REAL / "kmnist/kmnist-8000-2000.npz")
    assert loaded.title == "KMNIST (8,000/2,000 of the test file)" and loaded.class_names[3] == "tsu"
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (7_333, 667, 2_000)


def test_real_kmnist_names_only_the_missing_file(empty_home, monkeypatch, tmp_path):
    real("kmnist/t10k-images-idx3-ubyte.gz")
    (tmp_path / "kmnist").mkdir()
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (tmp_path / "kmnist" / name).symlink_to((REAL / "kmnist" / name).resolve())
    monkeypatch.setenv("NPCBNET_DATA", str(tmp_path))
    kmnist = published.SOURCES["kmnist"]
    offline = {"kmnist": published.Source(kmnist.title, kmnist.class_names, (DEAD,), kmnist.files)}
    with pytest.raises(DataError, match="missing train-images-idx3-ubyte.gz, and the download failed") as caught:
        published.read("kmnist", offline)
    assert "t10k" not in str(caught.value) and "python -m npcbnet.train digits" in str(caught.value)
