"""The process that `optrun verify` starts and kills: `optrun`, which also tells where it is.

What it prints goes to standard error. Standard output gets one line of JSON for each event, which
`verification.processes` reads.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from optrun.runner import cli
from optrun.runner.ui import console as display

TRAIN = "train"


def main() -> None:
    """`python -P -m optrun.runner.verification.child ...`, the arguments those of `optrun`."""
    events = os.dup(1)
    os.dup2(2, 1)

    def tell(event: Mapping[str, object]) -> None:
        try:
            os.write(events, json.dumps(dict(event)).encode() + b"\n")
        except OSError:
            # Whoever asked for this training is gone, killed perhaps: nobody wants it any more.
            os._exit(1)

    display.follow(tell)
    sys.argv[1:] = with_what_a_gpu_needs(sys.argv[1:])
    cli.main()


def with_what_a_gpu_needs(arguments: Sequence[str]) -> list[str]:
    """The arguments of `optrun`, with the setting without which a GPU promises no bit-identity.

    A `--set` among them outranks it. A run that is resumed has it from its beginning.
    """
    if arguments[:1] != [TRAIN] or "cpu" in arguments:
        return list(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return list(arguments)
    return [TRAIN, "--set", "training.deterministic=true", *arguments[1:]]


if __name__ == "__main__":
    main()
