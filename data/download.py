"""One published file over HTTP: whole and right, or not there; what breaks off goes on.

tensorflow_datasets, pooch and the like begin again with the first byte when a connection breaks, so
ranges (RFC 9110, section 14) are asked for here.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optrun.data.exceptions import PhotoError
from optrun.data.files import sha256_of, sync
from optrun.data.locks import exclusive

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]  # with bytes here, and in all
Say = Callable[[str], None]

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
# Waits between tries; after the last of them, a try that brings too little is the last.
WAITS_S: tuple[float, ...] = (1, 2, 4, 8, 16)
# What makes tries worth going on with, however often the connection breaks.
ENOUGH_BYTES = 2**20
_LONGEST_WAIT_S = 60.0
_CHUNK_BYTES = 2**18
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)", re.IGNORECASE)


@dataclass(frozen=True)
class Published:
    """A file as its publisher describes it."""

    url: str  # http or https
    size: int
    sha256: str  # hex

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    def error(self, reason: str) -> "DownloadError":
        """No further try helps; what a person can do is said after the reason."""
        return DownloadError(
            f"{reason} {self.url}, downloaded elsewhere, can be given to `optrun data prepare "
            "ARCHIVE`; other photos, to `optrun data import PATH`."
        )


class DownloadError(PhotoError):
    """The file can't be had."""


@dataclass(frozen=True)
class Partial:
    """What is here of a file, whether or not anything is."""

    path: Path  # NAME.part beside the file it will be
    version_path: Path  # NAME.part.version, with the server's word for this version of the file

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str:
        try:
            text = self.version_path.read_text("utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        # It becomes a line of a request, so it must be one.
        return text if text.isprintable() and text.isascii() else ""

    def begin(self, version: str) -> None:
        self.discard()
        if version:
            self.version_path.write_text(version, "utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version_path.unlink(missing_ok=True)


def partial_of(path: Path) -> Partial:
    """Returns the part of the file that will be at `path`."""
    place = f"{path}.part"
    return Partial(Path(place), Path(f"{place}.version"))


def fetch(published: Published, path: Path, *, progress: Progress, say: Say) -> None:
    """Downloads a file to `path`, unless it is there: only once it is whole and its SHA-256 right.

    A part left by an earlier call, however that ended, is gone on with; where it can't be completed
    it stays, unless it proves to be wrong, and `DownloadError` says why. Another process that asks
    for the same file waits. `say` is called with what a person should know on the way.
    """
    part = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(
            path.with_name(path.name + ".lock"),
            waiting=lambda: say(f"another process is downloading {path.name}; waiting for it"),
        ):
            if not path.exists():
                _Download(published, part, progress, say).complete()
                sync(part.path)
                part.path.replace(path)
                part.version_path.unlink(missing_ok=True)
    except OSError as error:
        kept = ""
        with contextlib.suppress(OSError):  # the folder itself may be out of reach
            if part.size:
                kept = f" The {megabytes(part.size)} that are here are kept, and gone on with."
        raise DownloadError(
            f"{published.name} can't be written to {path.parent}: {error.strerror or error}.{kept} "
            "Free some room, or set TFDS_DATA_DIR to a folder that is writable and has 2 GB free."
        ) from error


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


class _BrokenOff(Exception):
    """A try ended before the file did; another may get further."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class _Download:
    file: Published
    part: Partial
    progress: Progress
    say: Say

    def complete(self) -> None:
        """Brings the part to its full length, and deletes it if it is not the published file then.

        Nothing that is added could make it right. But what was put together from several responses,
        or by an earlier call, may mix two versions, and is worth another try from the start.
        """
        file, folder = self.file, self.part.path.parent
        missing, free = file.size - self.part.size, shutil.disk_usage(folder).free
        if free < missing:
            raise DownloadError(
                f"{file.name} needs {megabytes(missing)} more in {folder}, where {megabytes(free)} "
                "are free. Free some, or set TFDS_DATA_DIR to a folder on another disk."
            )
        for is_last_try in (False, True):
            in_one_piece = self._bring_to_full_length()
            digest = sha256_of(self.part.path)
            if digest == file.sha256:
                return
            self.part.discard()
            if in_one_piece or is_last_try:
                raise file.error(
                    f"What {file.host} sends as {file.name} is not the published file: its SHA-256 "
                    f"is {digest}, published is {file.sha256}. It was deleted. The publisher may "
                    "have changed the file, or something on the way alters it: try another network."
                )
            self.say("what was put together is not the published file; starting anew")

    def _bring_to_full_length(self) -> bool:
        """Asks for what is missing until all is here; returns whether one response brought it."""
        file, part = self.file, self.part
        if part.size > file.size:
            part.discard()
        in_one_piece, in_vain, furthest = False, 0, part.size
        while part.size < file.size:
            try:
                in_one_piece = self._ask_for_rest() == 0
            except _BrokenOff as broken:
                here = part.size
                # Further than ever, that is: a server without ranges begins anew each time.
                if here >= furthest + ENOUGH_BYTES:
                    in_vain, furthest = 0, here
                so_far = f"{megabytes(here)} of {megabytes(file.size)}"
                if in_vain == len(WAITS_S):
                    kept = f" The {so_far} that are here are kept: run again to go on from there."
                    raise file.error(
                        f"The download of {file.name} from {file.host} broke off: {broken}, "
                        f"and {len(WAITS_S)} more tries got no further.{kept if here else ''}"
                    ) from broken
                wait_s = max(WAITS_S[in_vain], broken.wait_s)
                in_vain += 1
                place = f" at {so_far}" if here else ""
                self.say(f"{broken}{place}; trying again in {wait_s:.0f} s")
                time.sleep(wait_s)
        return in_one_piece

    def _ask_for_rest(self) -> int:
        """Appends what one response brings; returns with which byte it began."""
        import requests
        import urllib3

        file, here = self.file, self.part.size
        # Compressed on the way, a range would count other bytes than those on the disk.
        headers = {"Accept-Encoding": "identity"}
        if here > 0:
            headers["Range"] = f"bytes={here}-"
            if version := self.part.version:
                headers["If-Range"] = version
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        try:
            with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as response:
                start = self._usable_start(response)
                self._append(response)
                return start
        except requests.exceptions.SSLError as error:
            raise file.error(
                f"{file.host} was reached, but no safe connection can be made "
                f"({_innermost(error)}). A proxy or portal may stand in between; check the network."
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            reason = f"{file.url} can't be asked for: {str(error).rstrip('.')}."
            raise DownloadError(f"{reason} Check HTTPS_PROXY and ALL_PROXY.") from error
        except requests.exceptions.TooManyRedirects as error:
            raise self._not_given("302 again and again") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _BrokenOff(f"the connection failed ({_innermost(error)})") from error

    def _usable_start(self, response: "requests.Response") -> int:
        """Returns which byte a response begins with, and leaves of the part what comes before it.

        What a portal says must not cost what is here, so all else is looked at first.
        """
        file, part = self.file, self.part
        status, headers = response.status_code, response.headers
        if status == 206:
            match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
            if match is not None and match["total"] not in ("*", str(file.size)):
                raise self._another_file(f"{int(match['total']):,} bytes")
            # A server may begin earlier than it was asked to, but not later.
            if match is None or int(match["start"]) > part.size or part.size == 0:
                part.discard()
                raise _BrokenOff("the server sent another range than the one asked for")
            os.truncate(part.path, int(match["start"]))
            return int(match["start"])
        if status == 416 and part.size > 0:
            part.discard()
            raise _BrokenOff("the server has no such range")
        if status in _WORTH_ANOTHER_TRY:
            asked = headers.get("Retry-After", "")
            wait_s = min(float(asked), _LONGEST_WAIT_S) if asked.isdecimal() else 0.0
            raise _BrokenOff(f"the server answered {status} {response.reason}", wait_s)
        if status != 200:
            raise self._not_given(f"{status} {response.reason}")
        length = headers.get("Content-Length", "")
        if length != str(file.size):
            if headers.get("Content-Type", "").lower().startswith("text/"):
                raise file.error(
                    f"Instead of {file.name}, a page of text came from {response.url}. A proxy or "
                    "portal may stand in between, perhaps one to log in at: open any page in a "
                    "browser, and run again."
                )
            if length.isdecimal():
                raise self._another_file(f"{int(length):,} bytes")
        # A weak tag ("W/...") does not vouch for single bytes, so it can't be used for ranges.
        tag = headers.get("ETag", "")
        part.begin(tag if tag.startswith('"') else headers.get("Last-Modified", ""))
        return 0

    def _append(self, response: "requests.Response") -> None:
        total = self.file.size
        with self.part.path.open("ab") as file:
            here = file.tell()
            self.progress(here, total)
            # What has come in, not a full chunk of it: over a slow line, that would take long.
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                if here + len(chunk) > total:
                    break
                file.write(chunk)
                here += len(chunk)
                self.progress(here, total)
        if chunk:
            self.part.discard()
            raise self._another_file(f"more than {total:,} bytes")
        if here < total:
            raise _BrokenOff("the connection failed (it ended early)")

    def _not_given(self, answer: str) -> DownloadError:
        file = self.file
        return file.error(f"{file.host} does not give {file.name}: it answered {answer}.")

    def _another_file(self, found: str) -> DownloadError:
        file = self.file
        return file.error(
            f"{file.host} offers another file than the published {file.name}: {found}, published "
            f"are {file.size:,}. The publisher may have changed it, or something on the way "
            "answers instead."
        )


def _innermost(error: BaseException) -> str:
    """Returns the reason at the bottom of a failed request, without the objects around it."""
    from http.client import IncompleteRead

    inner: BaseException | None = error
    while inner is not None:
        error = inner
        candidates = (getattr(error, "reason", None), *error.args, error.__cause__)
        inner = next((one for one in candidates if isinstance(one, BaseException)), None)
    if isinstance(error, IncompleteRead):
        return "it ended early"
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return str(text).rstrip(".")
