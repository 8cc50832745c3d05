#!/usr/bin/env bash
# Holds the manifests in testnet/kubernetes against the API's schemas and, where the binary is built, against the program.
# The schemas come with a Python package, installed once into the user's cache folder. Where it cannot be had,
# nothing is checked, and it is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

requirements=testnet/python/kubernetes_requirements.txt
venv="$(cache_home)/kubernetes"
stamp="$venv/installed.txt"

install() {
    python3 -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --retries 2 --timeout 30 -r "$requirements" &&
        cp "$requirements" "$stamp"
}

if ! cmp -s "$requirements" "$stamp" || ! "$venv/bin/python" -c 'import kubernetes_validate, yaml' 2>/dev/null; then
    say "installing the Kubernetes schemas (once)"
    if ! install; then
        say "SKIPPED: the Kubernetes schemas could not be installed; the manifests were not checked."
        exit 0
    fi
fi

PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" testnet/python/manifests.py \
    "${LLM_ROUTER_BIN:-$(testnet/scripts/target.sh)/llm-router}"
