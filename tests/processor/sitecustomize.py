"""The processor's flags as OPTRUN_TEST_CPU_FLAGS says, so that no test depends on where it runs.

Python imports this at its start where tests/conftest.py put this folder on PYTHONPATH: in every
process that a test starts. What reads /proc/cpuinfo as text finds those flags in it, and the rest
of it as it is. Nor is there a scikit-learn in these processes, as nobody has who installs optrun
alone: where there is one, Keras imports it, which is a quarter of its time.
"""

import io
import os
import re
import sys

CPU_INFORMATION = "/proc/cpuinfo"
_open = io.open


def _with_stated_flags(file, mode="r", *arguments, **more):
    if str(file) != CPU_INFORMATION or "b" in mode:
        return _open(file, mode, *arguments, **more)
    flags = f"flags\t\t: {os.environ.get('OPTRUN_TEST_CPU_FLAGS', '')}"
    try:
        with _open(CPU_INFORMATION) as lines:
            return io.StringIO(re.sub(r"^flags\s*:.*$", flags, lines.read(), flags=re.M))
    except OSError:
        return io.StringIO(flags)


io.open = _with_stated_flags


class WithoutScikitLearn:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "sklearn":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, WithoutScikitLearn)
