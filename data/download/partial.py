"""The part of a file that is here already, and which version of the file it belongs to."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Partial:
    """NAME.part beside the file it will be, and NAME.part.version with the server's word for it.

    Attributes:
        path: Where the part lies, whether or not there is one.
    """

    path: Path

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str:
        """By what the server tells this version of the file from others; empty if it does not."""
        try:
            text = self._version_path.read_text("utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        # It becomes a line of a request, so it must be one.
        return text if text.isprintable() and text.isascii() else ""

    def begin(self, version: str) -> None:
        """Empties the part, and notes the version that what comes belongs to."""
        self.discard()
        if version:
            self._version_path.write_text(version, "utf-8")

    def discard(self) -> None:
        """Deletes the part and what is noted of it."""
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def cut(self, size: int) -> None:
        """Keeps the first `size` bytes."""
        os.truncate(self.path, size)

    def become(self, whole: Path) -> None:
        """Gives the file its name, once it is on the disk."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        self.path.replace(whole)
        self._version_path.unlink(missing_ok=True)

    @property
    def _version_path(self) -> Path:
        return self.path.with_name(self.path.name + ".version")


def partial_of(path: Path) -> Partial:
    """Returns the part of the file that will be at `path`."""
    return Partial(path.with_name(path.name + ".part"))
