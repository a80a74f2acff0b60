"""A published file: what its publisher says of it, and what is said where it can't be had."""

from dataclasses import dataclass

from optrun.data.errors import PhotoError


@dataclass(frozen=True)
class Published:
    """A file as its publisher describes it.

    Attributes:
        url: Where it is, http or https.
        size: Its length in bytes.
        sha256: Its SHA-256, hex.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def host(self) -> str:
        """Who is asked for it."""
        return self.url.split("/")[2]

    @property
    def ways_out(self) -> str:
        """What a person can do where no further try helps."""
        return (
            f"{self.url}, downloaded elsewhere, can be given to `optrun data prepare ARCHIVE`; "
            "other photos, to `optrun data import PATH`."
        )


class DownloadError(PhotoError):
    """The file can't be had; the message says why, and what to do."""


def not_given(published: Published, status: int, reason: str) -> DownloadError:
    """The server refuses, and asking again would not help."""
    return DownloadError(
        f"{published.host} does not give {published.name}: it answered {status} {reason}. "
        f"{published.ways_out}"
    )


def page_instead(published: Published, url: str) -> DownloadError:
    """A page of text came back from `url`, where redirects led to."""
    return DownloadError(
        f"Instead of {published.name}, a page of text came from {url}. A proxy or portal may stand "
        "in between, perhaps one to log in at: open any page in a browser, and run again. "
        f"{published.ways_out}"
    )


def no_certificate(published: Published, reason: str) -> DownloadError:
    """Whoever answers can't prove to be the host."""
    return DownloadError(
        f"{published.host} was reached, but no safe connection can be made ({reason}). A proxy or "
        f"portal may stand in between; check the network. {published.ways_out}"
    )


def another_file(published: Published, found: str) -> DownloadError:
    """The length, as `found` tells it, is not the published one."""
    return DownloadError(
        f"{published.host} offers another file than the published {published.name}: {found}, "
        f"published are {published.size:,}. The publisher may have changed it, or something on the "
        f"way answers instead. {published.ways_out}"
    )


def wrong_content(published: Published, digest: str) -> DownloadError:
    """The length is right and the SHA-256 is not; the file is gone already."""
    return DownloadError(
        f"What {published.host} sends as {published.name} is not the published file: its SHA-256 "
        f"is {digest}, published is {published.sha256}. It was deleted. The publisher may have "
        "changed the file, or something on the way alters it: try another network. "
        f"{published.ways_out}"
    )


def megabytes(count: int) -> str:
    """Returns a number of bytes for a person.

    Example:
        >>> megabytes(824_887_076)
        '825 MB'
    """
    return f"{count / 1e6:,.0f} MB"
