"""Whether a host can be reached, found out within seconds."""

import threading

from optrun.data.exceptions import PhotoError

TIMEOUT_S = 4.0


def host_reachable(url: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Returns whether the host of `url` answers within `timeout_s` seconds, its look-up included.

    Any answer counts, also a refusal, but not that of a proxy that can't or won't connect. That
    something answers in the host's place without its certificate is an error.
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
    # Commands that only look what is here import this module; these would take them longer.
    import ssl
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, method="HEAD")  # noqa: S310, our own http address
    try:
        urllib.request.urlopen(request, timeout=timeout_s).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        reason = getattr(error, "reason", None)
        if not isinstance(reason, ssl.SSLCertVerificationError):
            return False
        return PhotoError(
            f"{request.host} was reached, but its certificate is not valid here "
            f"({reason.verify_message}). A proxy or portal may stand in between; "
            f"check the network, or download {url} in a browser."
        )
    return True
