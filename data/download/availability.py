"""Whether the public photos are here or can be had, found out within seconds.

`tensorflow_datasets` blocks for more than three minutes without a network before it fails, so we
look first, and import neither it nor TensorFlow for that.
"""

import base64
import os
import threading
from pathlib import Path

from optrun.data.download.published import Published
from optrun.data.errors import PhotoError

# As tensorflow_datasets 4.9.10 states them; a test compares them.
VERSION = "4.0.1"
ARCHIVE = "kagglecatsanddogs_5340.zip"
ARCHIVE_SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
URL = (
    f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
)
PUBLISHED = Published(url=URL, size=824_887_076, sha256=ARCHIVE_SHA256)
PHOTOS = 23_262
TIMEOUT_S = 4.0


def data_directory() -> Path:
    """Returns where tensorflow_datasets keeps data sets: $TFDS_DATA_DIR, or its default."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_folder() -> Path | None:
    """Returns the folder of the data set that tensorflow_datasets prepared, or None."""
    folder = expected_folder()
    return folder if (folder / "dataset_info.json").is_file() else None


def expected_folder() -> Path:
    """Returns where the prepared data set is, or will be."""
    return data_directory() / "cats_vs_dogs" / VERSION


def manual_archive() -> Path:
    """Returns where a person may put the archive that they downloaded themselves."""
    return data_directory() / "downloads" / "manual" / ARCHIVE


def public_photos_obtained() -> bool:
    """Returns whether the public photos are on this machine: prepared, or as their archive."""
    return prepared_folder() is not None or manual_archive().is_file() or _downloaded()


def host_reachable(url: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Returns whether the host of `url` answers within `timeout_s` seconds in all.

    Any answer counts, also a refusal. Proxies are used as the environment says (HTTPS_PROXY,
    NO_PROXY, ...); a proxy that can't or won't connect means that the host can't be reached.

    Args:
        url: What will be downloaded, http or https.
        timeout_s: Seconds for everything together, looking up the name included, > 0.

    Raises:
        PhotoError: If something answers in the host's place without its certificate.
    """
    answers: list[bool | PhotoError] = []
    # Looking up a name can't be interrupted, so it happens in a thread that may be left behind.
    asking = threading.Thread(target=lambda: answers.append(_ask(url, timeout_s)), daemon=True)
    asking.start()
    asking.join(timeout_s)
    answer = answers[0] if answers else False
    if isinstance(answer, PhotoError):
        raise answer
    return answer


def _ask(url: str, timeout_s: float) -> bool | PhotoError:
    # Commands that only look what is here import this module, and these would take them longer.
    import ssl
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, method="HEAD")  # noqa: S310, our own http address
    try:
        urllib.request.urlopen(request, timeout=timeout_s).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            return PhotoError(
                f"{request.host} was reached, but its certificate is not valid here "
                f"({error.reason.verify_message}). A proxy or portal may stand in between; "
                f"check the network, or download {url} in a browser to {manual_archive()}."
            )
        return False
    except OSError:
        return False
    return True


def _downloaded() -> bool:
    """Returns whether tensorflow_datasets finds a finished download of the archive."""
    # It ends the name of a download with the digest, and writes an INFO file beside it when
    # finished.
    digest = base64.urlsafe_b64encode(bytes.fromhex(ARCHIVE_SHA256)).decode().rstrip("=")
    downloads = data_directory() / "downloads"
    return any(
        path.with_name(path.name + ".INFO").is_file()
        for folder in (downloads / "cats_vs_dogs", downloads)
        for path in folder.glob(f"*{digest}.zip")
    )
