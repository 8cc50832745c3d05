# Sourced by the scripts beside it: how they speak.

say() { printf '[setup] %s\n' "$*" >&2; }

die() {
    printf '\n[setup] %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '        %s\n' "$line" >&2; done
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# The user's cache directory for this project: weights, Python environment, CI artefacts.
cache_home() { printf '%s' "${XDG_CACHE_HOME:-$HOME/.cache}/llm-router"; }
