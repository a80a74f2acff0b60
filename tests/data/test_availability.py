import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from optrun.data import hosts
from optrun.data.sources import cats_vs_dogs


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with 403, and says so of every connection through it too."""

    def do_HEAD(self) -> None:
        self.send_error(403)

    do_CONNECT = do_HEAD  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def refusing_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_any_answer_means_reachable(refusing_server: str) -> None:
    assert hosts.host_reachable(refusing_server)


def test_a_refused_connection_means_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert not hosts.host_reachable(f"http://127.0.0.1:{port}")


def test_silence_means_unreachable_within_the_time(silent_server: str) -> None:
    start = time.monotonic()

    assert not hosts.host_reachable(silent_server, timeout_s=0.3)
    assert time.monotonic() - start < 2


def test_a_name_that_is_looked_up_for_ever_does_not_hold_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def never(*_: object, **__: object) -> None:
        released.wait(10)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    start = time.monotonic()

    assert not hosts.host_reachable("https://photos.example", timeout_s=0.3)
    assert time.monotonic() - start < 2
    released.set()


def test_a_proxy_is_used_and_its_refusal_means_unreachable(
    refusing_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", refusing_server)

    assert not hosts.host_reachable("https://photos.example")


def test_the_whole_decision_stays_below_five_seconds() -> None:
    assert hosts.TIMEOUT_S < 5


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_photos_count_as_obtained_once_prepared_or_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name that tensorflow_datasets gives its download, and the file beside it that says it is
    # finished; test_public compares with what it really does.
    name = (
        "down.micr.com_down_3_E_1_3E1C-ECDB-4869-83t5dL0AqEqZkh827kQD8ImFN3e1ro0VHHaobmSQAzSvk.zip"
    )
    for files, obtained in (
        ([], False),
        (["downloads/cats_vs_dogs/" + name], False),
        (["cats_vs_dogs/incomplete.ABC_4.0.1/dataset_info.json"], False),
        (["cats_vs_dogs/4.0.1/dataset_info.json"], True),
        (["downloads/manual/kagglecatsanddogs_5340.zip"], True),
        ([f"downloads/cats_vs_dogs/{name}", f"downloads/cats_vs_dogs/{name}.INFO"], True),
        ([f"downloads/{name}", f"downloads/{name}.INFO"], True),
    ):
        directory = tmp_path / str(hash(tuple(files)))
        directory.mkdir()
        for file in files:
            touch(directory / file)
        monkeypatch.setenv("TFDS_DATA_DIR", str(directory))

        assert cats_vs_dogs.obtained() is obtained, files
