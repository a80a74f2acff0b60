"""`optrun data prepare` from the command line, on a small data set from a server of the test's."""

import functools
import hashlib
import http.server
import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from optrun.data.download import Published
from optrun.data.sources import cats_vs_dogs
from optrun.runner.datasets import preparation
from optrun.runner.datasets.preparation import View
from rich.console import Console

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
NAMES = [f"PetImages/{kind}/{i}.jpg" for i in range(8) for kind in ("Cat", "Dog")]


@dataclass
class Server:
    """What the test's server publishes.

    Attributes:
        archive: The same archive, as a person would have downloaded it.
        directory: Where tensorflow_datasets keeps its data; nothing is there yet.
        asked: The requests that the server got.
    """

    archive: Path
    directory: Path
    asked: list[str] = field(default_factory=list)


class Files(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *arguments: object) -> None:
        self.asked.append(str(arguments[1]))


@pytest.fixture
def public(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_archive: Callable[[Path, Sequence[str]], Path],
) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "web").mkdir()
    archive = make_archive(tmp_path / "web" / cats_vs_dogs.ARCHIVE, NAMES)
    content = archive.read_bytes()
    given = Server(tmp_path / "my download.zip", tmp_path / "tfds")
    given.archive.write_bytes(content)
    handler = type("TheseFiles", (Files,), {"asked": given.asked})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "web"))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{cats_vs_dogs.ARCHIVE}"
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(cats_vs_dogs, "PUBLISHED", Published(url, len(content), digest))
        yield given
        server.shutdown()
        thread.join()


def test_the_photos_are_obtained_decoded_and_described(optrun: Optrun, public: Server) -> None:
    code, out, err = optrun("data", "prepare", "--image-size", 32)

    assert code == 0, err
    # Only what the command itself says is on stdout, nothing of tensorflow_datasets.
    assert out.splitlines()[0] == "cats_vs_dogs: the public photos"
    assert re.search(r"^  photos +16: 8 cats, 8 dogs$", out, re.MULTILINE)
    assert re.search(r"^  prepared +32 px, in ", out, re.MULTILINE)
    assert out.endswith("Use it:  optrun train CONFIG --set data.source=cats_vs_dogs\n")
    # Progress goes where notes go; without a terminal, a line at each stage's start.
    stages = [line.split()[0] for line in err.splitlines()]
    assert stages == ["downloading"]
    assert [line.split()[0] for line in public.asked] == ["HEAD", "GET"]


def test_a_second_time_nothing_is_to_do(optrun: Optrun, public: Server) -> None:
    optrun("data", "prepare", "--image-size", 32)
    public.asked.clear()

    code, out, err = optrun("data", "prepare", "--image-size", 32)

    assert code == 0
    assert "32 px, before: nothing to do" in out
    assert err == ""
    assert public.asked == []


def test_an_archive_given_is_kept_for_other_sizes_too(optrun: Optrun, public: Server) -> None:
    code, out, err = optrun("data", "prepare", public.archive, "--image-size", 32, "--resize=crop")

    assert code == 0, err
    assert re.search(r"^  prepared +32 px, crop, in ", out, re.MULTILINE)
    assert public.archive.is_file()
    assert public.asked == []
    public.archive.unlink()
    code, out, err = optrun("data", "prepare", "--image-size", 48)
    assert code == 0, err
    assert public.asked == []


def test_another_archive_is_refused(optrun: Optrun, public: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    other.write_bytes(b"x")

    code, out, err = optrun("data", "prepare", other)

    assert code == 2
    assert out == ""
    assert err.startswith(
        f"optrun: {other} is not the published archive of cats_vs_dogs, "
        "kagglecatsanddogs_5340.zip: it has 1 bytes, not "
    )
    assert err.rstrip().endswith(f"use them as photos of your own: optrun data import {other}")


def test_without_a_network_the_ways_out_are_said(
    optrun: Optrun, public: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cats_vs_dogs, "host_reachable", lambda url: False)

    code, out, err = optrun("data", "prepare")

    assert code == 2
    assert out == ""
    assert err.startswith("optrun: The public photos (cats_vs_dogs) are not on this machine, and ")
    assert "`optrun data prepare ARCHIVE`" in err
    assert "--sample" in err


def test_help_says_what_is_downloaded_and_where(optrun: Optrun) -> None:
    code, out, _ = optrun("data", "prepare", "--help")

    assert code == 0
    assert "825 MB, to $TFDS_DATA_DIR" in " ".join(out.split())
    assert "--image-size" in out
    assert "--strict" in out


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the view sees: the last entry."""
    times = [100.0]
    monkeypatch.setattr(preparation.time, "monotonic", lambda: times[-1])
    return times


def test_in_a_log_a_line_comes_now_and_then(clock: list[float]) -> None:
    text = io.StringIO()
    view = View(Console(file=text))
    for second in range(101):
        clock.append(100.0 + second)
        view.progress("downloading", 200_000_000 + second * 5_000_000, 825_000_000)

    assert text.getvalue().splitlines() == [
        "  downloading 200 of 825 MB",
        "  downloading 350 of 825 MB, 5.0 MB/s, 1:35 min left",
        "  downloading 500 of 825 MB, 5.0 MB/s, 1:05 min left",
        "  downloading 650 of 825 MB, 5.0 MB/s, 35 s left",
    ]


def test_the_rate_is_that_of_the_last_seconds(clock: list[float]) -> None:
    text = io.StringIO()
    view = View(Console(file=text))
    done = 0
    for second in range(61):
        clock.append(100.0 + second)
        done += 1_000_000 if second < 40 else 3_000_000
        view.progress("downloading", done, 825_000_000)

    assert text.getvalue().splitlines()[-1].endswith(" MB, 3.0 MB/s, 4:01 min left")


def test_a_download_that_begins_anew_has_no_rate_at_first(clock: list[float]) -> None:
    text = io.StringIO()
    view = View(Console(file=text))
    view.progress("downloading", 0, 100_000_000)
    clock.append(clock[-1] + 10)
    view.progress("downloading", 50_000_000, 100_000_000)
    clock.append(clock[-1] + 25)
    view.progress("downloading", 0, 100_000_000)

    assert text.getvalue().splitlines()[-1] == "  downloading 0 of 100 MB"


def test_on_a_terminal_a_live_line_is_drawn_and_taken_away() -> None:
    text = io.StringIO()
    view = View(Console(file=text, force_terminal=True, width=100))
    view.progress("downloading", 0, 825_000_000)
    view.say("the connection failed [Errno 104]; trying again in 1 s")
    view.progress("checking", 825_000_000, 825_000_000)
    view.end()

    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    assert "downloading" in drawn
    assert "0 of 825 MB" in drawn
    assert "note: the connection failed [Errno 104]; trying again in 1 s" in drawn
    assert "825 of 825 MB" in drawn
    assert text.getvalue().endswith("\x1b[2K")


def test_quiet_shows_nothing() -> None:
    text = io.StringIO()
    view = View(Console(file=text, force_terminal=True), quiet=True)
    view.progress("downloading", 0, 10)
    view.say("a note")
    view.end()

    assert text.getvalue() == ""
