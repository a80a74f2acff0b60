import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from optrun.data import download
from optrun.data.download import DownloadError, Published, fetch

CONTENT = np.random.default_rng(1).integers(0, 256, 300_000, np.uint8).tobytes()


@dataclass
class Host:
    """A server that sends `content` as it is told to, and remembers what it was asked.

    Attributes:
        dies_after: How many bytes of its body each response sends before the connection is cut;
            those after the last, all.
        answers: Statuses given instead, each once, with further headers.
        seen: The headers of each request.
    """

    content: bytes = CONTENT
    has_ranges: bool = True
    tag: str = '"one"'
    says_length: bool = True
    dies_after: list[int] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    length_said: int | None = None
    kind: str = "application/zip"
    pause_s: float = 0.0
    early_by: int = 0
    range_total: str | None = None
    seen: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def published(self, content: bytes = CONTENT) -> Published:
        return Published(self.url, len(content), hashlib.sha256(content).hexdigest())

    @property
    def starts(self) -> list[int]:
        """The first byte that each request asked for."""
        return [int(one.get("Range", "bytes=0-")[6:-1]) for one in self.seen]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def do_GET(self) -> None:
        host = self.host
        host.seen.append(dict(self.headers))
        self.close_connection = True
        if host.answers:
            status, headers = host.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        same = self.headers.get("If-Range", host.tag) == host.tag
        if host.has_ranges and same and start:
            if start >= len(host.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = max(0, start - host.early_by)
            self.send_response(206)
            total = host.range_total or len(host.content)
            self.send_header("Content-Range", f"bytes {start}-{len(host.content) - 1}/{total}")
        else:
            start = 0
            self.send_response(200)
        body = host.content[start:]
        self.send_header("Content-Type", host.kind)
        if host.tag:
            self.send_header("ETag", host.tag)
        if host.says_length:
            length = len(body) if host.length_said is None else host.length_said
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        if host.dies_after:
            body = body[: host.dies_after.pop(0)]
        for first in range(0, len(body), 20_000):
            self.wfile.write(body[first : first + 20_000])
            time.sleep(host.pause_s)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(download, "ENOUGH_BYTES", 10_000)
    state = Host()
    handler = type("ThisHandler", (Handler,), {"host": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/photos/archive.zip"
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def get(host: Host, tmp_path: Path) -> Callable[..., list[str]]:
    """Fetches to tmp_path/archive.zip; returns what was said on the way."""

    def fetch_it(published: Published | None = None) -> list[str]:
        said: list[str] = []
        fetch(
            published or host.published(),
            tmp_path / "archive.zip",
            progress=lambda done, total: None,
            say=said.append,
        )
        return said

    return fetch_it


Get = Callable[..., list[str]]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def whole(folder: Path) -> bool:
    """Whether the file is there and right, and nothing else but the lock."""
    return (folder / "archive.zip").read_bytes() == CONTENT and names(folder) == {
        "archive.zip",
        "archive.zip.lock",
    }


def part(folder: Path, content: bytes, version: str = '"one"') -> None:
    (folder / "archive.zip.part").write_bytes(content)
    if version:
        (folder / "archive.zip.part.version").write_text(version)


def refused(get: Get, published: Published | None = None) -> str:
    with pytest.raises(DownloadError) as caught:
        get(published)
    return str(caught.value)


def test_a_file_comes_whole_in_one_request(host: Host, get: Get, tmp_path: Path) -> None:
    assert get() == []
    assert whole(tmp_path)
    assert host.starts == [0]
    assert host.seen[0]["Accept-Encoding"] == "identity"


def test_progress_counts_the_bytes_that_are_here(host: Host, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    seen: list[tuple[int, int]] = []

    fetch(
        host.published(),
        tmp_path / "archive.zip",
        progress=lambda done, total: seen.append((done, total)),
        say=lambda text: None,
    )

    assert seen[0] == (100_000, 300_000)
    assert seen[-1] == (300_000, 300_000)
    assert seen == sorted(seen)


def test_what_is_there_already_is_left_alone(host: Host, get: Get, tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"what the person put there")

    get()

    assert (tmp_path / "archive.zip").read_bytes() == b"what the person put there"
    assert host.seen == []


def test_a_part_is_gone_on_with(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:123_456])

    get()

    assert whole(tmp_path)
    assert host.starts == [123_456]
    assert host.seen[0]["If-Range"] == '"one"'


def test_a_part_without_a_noted_version_is_gone_on_with(
    host: Host, get: Get, tmp_path: Path
) -> None:
    part(tmp_path, CONTENT[:123_456], version="")

    get()

    assert whole(tmp_path)
    assert host.starts == [123_456]
    assert "If-Range" not in host.seen[0]


def test_a_part_that_is_whole_already_asks_for_nothing(
    host: Host, get: Get, tmp_path: Path
) -> None:
    part(tmp_path, CONTENT)

    get()

    assert whole(tmp_path)
    assert host.seen == []


def test_a_connection_that_dies_is_made_again_where_it_was(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.dies_after = [50_000, 60_000, 70_000, 20_000, 30_000, 15_000]

    said = get()

    assert whole(tmp_path)
    assert host.starts == [0, 50_000, 110_000, 180_000, 200_000, 230_000, 245_000]
    assert len(said) == 6
    assert said[0].startswith("the connection failed (it ended early) at ")
    assert said[0].endswith(" at 0 MB of 0 MB; trying again in 0 s")


def test_a_server_that_sends_no_length_may_die_too(host: Host, get: Get, tmp_path: Path) -> None:
    host.says_length = False
    host.dies_after = [50_000]

    assert get()[0].startswith("the connection failed (it ended early) at ")
    assert whole(tmp_path)
    assert host.starts == [0, 50_000]


def test_tries_that_bring_nothing_end(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.dies_after = [0] * 50

    message = refused(get)

    assert len(host.seen) == 1 + len(download.WAITS_S)
    assert "broke off: " in message
    assert "and 3 more tries got no further. The 0 MB of 0 MB that are here are kept" in message
    assert (tmp_path / "archive.zip.part").read_bytes() == CONTENT[:100_000]


def test_tries_that_bring_next_to_nothing_end_too(host: Host, get: Get, tmp_path: Path) -> None:
    host.dies_after = [10] * 50

    assert "more tries got no further" in refused(get)
    assert (tmp_path / "archive.zip.part").read_bytes() == CONTENT[:40]


def test_a_server_without_ranges_begins_anew(host: Host, get: Get, tmp_path: Path) -> None:
    host.has_ranges = False
    host.dies_after = [250_000]

    get()

    assert whole(tmp_path)
    assert host.starts == [0, 250_000]


def test_a_server_without_ranges_that_always_dies_is_given_up(host: Host, get: Get) -> None:
    host.has_ranges = False
    host.dies_after = [150_000] * 50

    assert "more tries got no further" in refused(get)
    assert len(host.seen) == 1 + len(download.WAITS_S)


def test_a_changed_file_is_not_mixed_with_the_part(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, b"x" * 100_000, version='"of an older version"')

    get()

    assert whole(tmp_path)
    assert host.starts == [100_000]
    assert host.seen[0]["If-Range"] == '"of an older version"'


def test_a_mix_that_no_version_tells_is_found_by_its_digest(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.tag = ""
    part(tmp_path, b"x" * 100_000, version="")

    assert get() == ["what was put together is not the published file; starting anew"]
    assert whole(tmp_path)
    assert host.starts == [100_000, 0]


def test_a_weak_tag_is_not_asked_with(host: Host, get: Get, tmp_path: Path) -> None:
    host.tag = 'W/"one"'
    host.dies_after = [50_000]

    get()

    assert whole(tmp_path)
    assert "If-Range" not in host.seen[1]


def test_a_version_that_would_be_another_header_is_not_sent(
    host: Host, get: Get, tmp_path: Path
) -> None:
    part(tmp_path, CONTENT[:100_000], version='"one"\r\nX-Other: 1')

    get()

    assert whole(tmp_path)
    assert "If-Range" not in host.seen[0]


def test_a_range_that_begins_earlier_is_used(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.early_by = 30_000

    get()

    assert whole(tmp_path)
    assert len(host.seen) == 1


@pytest.mark.parametrize("content_range", ["bytes 200000-299999/300000", "nonsense", ""])
def test_a_range_that_is_of_no_use_begins_anew(
    host: Host, get: Get, tmp_path: Path, content_range: str
) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.answers = [(206, {"Content-Range": content_range})]

    assert get()[0].startswith("the server sent another range than the one asked for")
    assert whole(tmp_path)
    assert host.starts == [100_000, 0]


def test_a_part_longer_than_the_file_begins_anew(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT + b"more")

    get()

    assert whole(tmp_path)
    assert host.starts == [0]


def test_a_range_that_is_refused_begins_anew(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.answers = [(416, {})]

    get()

    assert whole(tmp_path)
    assert host.starts == [100_000, 0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(host: Host, get: Get, tmp_path: Path, status: int) -> None:
    host.answers = [(status, {}), (status, {})]

    assert get()[0].startswith(f"the server answered {status} ")
    assert whole(tmp_path)


def test_a_busy_server_says_how_long_to_wait(
    host: Host, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    host.answers = [(503, {"Retry-After": "7"}), (503, {"Retry-After": "86400"})]

    get()

    # The server's own pauses, none, are counted too.
    assert [pause for pause in waited if pause] == [7, 60]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_costs_nothing_that_is_here(
    host: Host, get: Get, tmp_path: Path, status: int
) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.answers = [(status, {})]

    message = refused(get)

    assert f"127.0.0.1:{host.url.split(':')[2].split('/')[0]} does not give archive.zip: it " in (
        message
    )
    assert f"answered {status} " in message
    assert "`optrun data prepare ARCHIVE`" in message
    assert len(host.seen) == 1
    assert (tmp_path / "archive.zip.part").read_bytes() == CONTENT[:100_000]


@pytest.mark.parametrize("says_length", [True, False])
def test_a_portal_in_between_is_named_and_costs_nothing_that_is_here(
    host: Host, get: Get, tmp_path: Path, says_length: bool
) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.content, host.kind, host.tag = b"<html>Please log in</html>", "text/html", '"two"'
    host.says_length = says_length

    assert "a page of text came from http://127.0.0.1" in refused(get)
    assert (tmp_path / "archive.zip.part").read_bytes() == CONTENT[:100_000]


def test_a_redirect_is_followed_with_the_range(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.answers = [(302, {"Location": "/elsewhere.zip"})]

    get()

    assert whole(tmp_path)
    assert host.starts == [100_000, 100_000]


def test_redirects_without_end_end(host: Host, get: Get) -> None:
    host.answers = [(302, {"Location": "/again"})] * 40

    assert "it answered 302 again and again" in refused(get)


def test_another_length_is_refused_before_it_is_downloaded(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.content = CONTENT + b"more"

    message = refused(get)

    assert "offers another file than the published archive.zip: 300,004 bytes" in message
    assert "published are 300,000" in message
    assert names(tmp_path) == {"archive.zip.lock"}


def test_another_length_behind_a_range_is_refused(host: Host, get: Get, tmp_path: Path) -> None:
    part(tmp_path, CONTENT[:100_000])
    host.range_total = "300004"

    assert "300,004 bytes" in refused(get)
    assert (tmp_path / "archive.zip.part").read_bytes() == CONTENT[:100_000]


def test_more_than_the_length_is_not_written_to_the_disk(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.content, host.says_length = CONTENT * 10, False

    assert "more than 300,000 bytes" in refused(get)
    assert names(tmp_path) == {"archive.zip.lock"}


def test_less_than_the_length_that_was_said_is_no_whole_file(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.content = CONTENT[:200_000]
    host.length_said = 300_000
    host.has_ranges = False

    assert "more tries got no further" in refused(get)
    assert not (tmp_path / "archive.zip").exists()


def test_other_content_of_the_same_length_is_deleted(host: Host, get: Get, tmp_path: Path) -> None:
    host.content = b"x" * len(CONTENT)

    message = refused(get)

    assert hashlib.sha256(host.content).hexdigest() in message
    assert host.published().sha256 in message
    assert len(host.seen) == 1
    assert names(tmp_path) == {"archive.zip.lock"}


def test_wrong_twice_in_pieces_is_an_error(host: Host, get: Get, tmp_path: Path) -> None:
    host.content = b"x" * len(CONTENT)
    host.dies_after = [100_000, 200_000, 100_000]

    assert "is not the published file" in refused(get)
    assert names(tmp_path) == {"archive.zip.lock"}


def test_a_silent_server_is_given_up(host: Host, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr(download, "ENOUGH_BYTES", 10**6)
    host.pause_s = 0.3

    assert "timed out" in refused(get)


def test_a_slow_server_is_waited_for(
    host: Host, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "READ_TIMEOUT_S", 0.5)
    host.pause_s = 0.05  # in all, longer than the timeout

    assert get() == []
    assert whole(tmp_path)


def test_no_network_at_all_is_said(get: Get) -> None:
    message = refused(get, Published("http://127.0.0.1:9/archive.zip", 10, ""))

    assert message.startswith("The download of archive.zip from 127.0.0.1:9 broke off: the ")
    assert "(Connection refused)" in message
    assert "are kept" not in message


def test_a_server_of_plain_http_has_no_certificate(host: Host, get: Get) -> None:
    https = Published(host.url.replace("http:", "https:"), 10, "")

    assert "was reached, but no safe connection can be made (" in refused(get, https)


def test_the_proxy_that_the_environment_names_is_used(
    host: Host, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", host.url)
    content = host.published()

    get(Published("http://photos.example/archive.zip", content.size, content.sha256))

    assert whole(tmp_path)
    assert host.seen[0]["Host"] == "photos.example"


def test_a_full_disk_is_found_before_the_download(
    host: Host, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part(tmp_path, CONTENT[:100_000])
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=199_999))

    message = refused(get)

    assert f"archive.zip needs 0 MB more in {tmp_path}, where 0 MB are free" in message
    assert host.seen == []
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    get()
    assert whole(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_meanwhile_is_said(host: Host, get: Get, tmp_path: Path) -> None:
    (tmp_path / "archive.zip.part").symlink_to("/dev/full")

    # What begins the download deletes the part, so here it must be gone on with.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(download.Partial, "begin", lambda self, version: None)
        message = refused(get)

    assert f"archive.zip can't be written to {tmp_path}: No space left on device." in message


def test_a_folder_that_cannot_be_made_is_said(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DownloadError, match=r"can't be written to .*/file: .*\. Free some room"):
        fetch(
            host.published(),
            tmp_path / "file" / "archive.zip",
            progress=lambda done, total: None,
            say=lambda text: None,
        )


def test_a_read_only_folder_is_said(
    host: Host, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "open", refuse)

    assert f"can't be written to {tmp_path}: Read-only file system. Free some" in refused(get)


PROGRAM = """
import sys
from pathlib import Path
from optrun.data.download import Published, fetch

url, size, sha256, path = sys.argv[1:]
fetch(
    Published(url, int(size), sha256),
    Path(path),
    progress=lambda done, total: print(done, flush=True),
    say=print,
)
"""


def started(host: Host, path: Path) -> subprocess.Popen[str]:
    what = host.published()
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what.url, str(what.size), what.sha256, path],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_leaves_what_the_next_goes_on_with(
    host: Host, get: Get, tmp_path: Path
) -> None:
    host.pause_s = 0.05
    with started(host, tmp_path / "archive.zip") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 60_000:
                break
        process.send_signal(signal.SIGKILL)
    here = (tmp_path / "archive.zip.part").stat().st_size
    assert 0 < here < len(CONTENT)
    assert not (tmp_path / "archive.zip").exists()
    host.pause_s = 0.0

    assert get() == []
    assert whole(tmp_path)
    assert host.starts == [0, here]


def test_two_processes_download_once(host: Host, get: Get, tmp_path: Path) -> None:
    host.pause_s = 0.05
    with started(host, tmp_path / "archive.zip") as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert get() == ["another process is downloading archive.zip; waiting for it"]
        process.stdout.read()
        assert process.wait() == 0
    assert whole(tmp_path)
    assert len(host.seen) == 1


def test_messages_count_in_the_units_that_people_use() -> None:
    assert download.megabytes(824_887_076) == "825 MB"
