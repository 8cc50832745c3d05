#!/usr/bin/env bash
# Prints the folder cargo puts the binaries of the dev profile in.
set -euo pipefail
cd "$(dirname "$0")/../.."

# CARGO_TARGET_DIR is the common override; cargo itself knows every other one (.cargo/config.toml).
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
    printf '%s/debug\n' "$CARGO_TARGET_DIR"
else
    cargo metadata --no-deps --format-version 1 |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1\/debug/p'
fi
