#!/usr/bin/env bash
# Runs the tests that speak through the official Python clients. Their environment is made once, in
# the user's cache folder. Where the packages cannot be had, the tests are skipped, and it is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

requirements=testnet/python/requirements.txt
venv="$(cache_home)/python"
stamp="$venv/installed.txt"

install() {
    python3 -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --retries 2 --timeout 30 -r "$requirements" &&
        cp "$requirements" "$stamp"
}

if ! cmp -s "$requirements" "$stamp" || ! "$venv/bin/python" -c 'import openai, grpc' 2>/dev/null; then
    say "installing the Python clients (once)"
    if ! install; then
        say "SKIPPED: the Python clients could not be installed; their tests did not run."
        exit 0
    fi
fi

LLM_ROUTER_BIN="${LLM_ROUTER_BIN:-$(testnet/scripts/target.sh)/llm-router}" PYTHONDONTWRITEBYTECODE=1 \
    exec "$venv/bin/python" -m unittest discover --start-directory testnet/python --pattern 'test_*.py'
