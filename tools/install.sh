#!/bin/sh
# Usage: install.sh VENV [EXTRA]. Makes the virtual environment where it is missing and installs
# optrun into it, editable, in the versions of constraints.txt.
set -eu

venv=$1
extra=${2:+[$2]}

# The first of these that is a Python we support; a name on the path may be a broken shim.
find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "optrun needs Python 3.11, 3.12 or 3.13 with its venv module, and found none on the path." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 2
}

if ! "$venv/bin/python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    python=$(find_python)
    echo "Setting up $venv with $("$python" --version) ..."
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "Installing optrun$extra: TensorFlow is large, this takes a few minutes the first time ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".$extra"
