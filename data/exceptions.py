"""What can be wrong with photos, said so that a person knows what to do next."""


class PhotoError(Exception):
    """A person's mistake or a damaged source.

    The message is complete: it names what was received, where, and what to do. It is shown without
    a traceback, and the command ends with exit code 2.
    """


class Unavailable(PhotoError):
    """The public photos were never obtained, and the host that has them can't be reached.

    The only trouble for which a configuration may ask to use the built-in sample instead; a wrong
    checksum, a full disk or a missing permission is a plain `PhotoError`.
    """
