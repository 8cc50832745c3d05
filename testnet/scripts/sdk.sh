#!/usr/bin/env bash
# Runs the tests that speak through the official clients, Python's and JavaScript's. Their environments
# are made once, in the user's cache folder. Where the packages cannot be had, the tests are skipped, and
# it is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh
. testnet/scripts/venv.sh

venv="$(cache_home)/python"
if ! want_venv "$venv" testnet/python/requirements.txt "the Python clients" 30 \
    'openai, anthropic, google.genai, ollama, langchain_openai, grpc'; then
    say "SKIPPED: the Python clients could not be installed; their tests did not run."
    exit 0
fi

npm_home="$(cache_home)/npm"

install_npm() {
    mkdir -p "$npm_home" &&
        cp testnet/npm/package.json "$npm_home/package.json" &&
        (cd "$npm_home" && npm install --silent --no-audit --no-fund --fetch-retries=2) &&
        cp testnet/npm/package.json "$npm_home/installed.json"
}

modules=""
if ! has node || ! has npm; then
    say "SKIPPED: node and npm are not here; the JavaScript clients' tests did not run."
elif cmp -s testnet/npm/package.json "$npm_home/installed.json" ||
    { say "installing the JavaScript clients (once)" && install_npm; }; then
    # modules are looked for beside the script
    cp testnet/npm/sdk.mjs "$npm_home/sdk.mjs"
    modules="$npm_home"
else
    say "SKIPPED: the JavaScript clients could not be installed; their tests did not run."
fi

LLM_ROUTER_BIN="${LLM_ROUTER_BIN:-$(testnet/scripts/target.sh)/llm-router}" \
    LLM_ROUTER_NPM="$modules" PYTHONDONTWRITEBYTECODE=1 \
    exec "$venv/bin/python" testnet/python/run.py
