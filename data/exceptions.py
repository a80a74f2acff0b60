"""What can be wrong with photos, said so that a person knows what to do next."""


class PhotoError(Exception):
    """A person's mistake or a damaged source.

    The message, which names what was received, where, and what to do, is all that is shown of it.
    """


class Unavailable(PhotoError):
    """The public photos were never obtained, and the host that has them can't be reached.

    The only trouble for which a configuration may ask to use the built-in sample instead; a wrong
    checksum, a full disk or a missing permission is a plain `PhotoError`.
    """
