#!/bin/sh
# Makes .venv with everything that requirements.lock pins, and stepwell itself so that changes in src/ take effect.
# Called by make when .venv is missing or older than pyproject.toml or requirements.lock.
#
# The Python is $PYTHON, else python3, else the newest python3.N there is; 3.11 or later. uv is used when it is there.
set -eu
cd "$(dirname "$0")/.."

is_recent() {
    "$@" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

fail() {
    printf '%s\n' "$@" >&2
    exit 2
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_recent "$candidate"; then
            # The name may be that of a shim, which depends on the current folder; this is the interpreter behind it.
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    seen=$(${PYTHON:-python3} --version 2>&1) || seen="no usable ${PYTHON:-python3}"
    fail "stepwell needs Python 3.11 or later, and found: $seen" \
        "Install one, or name one: make PYTHON=/path/to/python3.12 .venv"
}

install() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python .venv/bin/python "$@"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

make_venv() {
    printf 'making .venv with %s\n' "$("$1" --version)" >&2
    rm -rf .venv
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$1" .venv
        return
    fi
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$1 cannot make virtual environments: its modules venv and ensurepip are missing" \
            "On Debian and Ubuntu: apt-get install python3-venv. Anywhere: install uv."
    "$1" -m venv .venv
}

can_install() {
    command -v uv >/dev/null 2>&1 || .venv/bin/python -m pip --version >/dev/null 2>&1
}

if ! { is_recent .venv/bin/python && can_install; }; then
    python=$(find_python)
    make_venv "$python"
fi
printf 'installing what requirements.lock pins\n' >&2
install -r requirements.lock
install --no-deps -e .
touch .venv/installed
