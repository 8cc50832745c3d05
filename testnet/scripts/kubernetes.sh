#!/usr/bin/env bash
# Holds the manifests in testnet/kubernetes against the API's schemas and, where the binary is built, against the program.
# The schemas come with a Python package, installed once into the user's cache folder. Where it cannot be had,
# nothing is checked, and it is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh
. testnet/scripts/venv.sh

venv="$(cache_home)/kubernetes"
if ! want_venv "$venv" testnet/python/kubernetes_requirements.txt "the Kubernetes schemas" 30 \
    'kubernetes_validate, yaml'; then
    say "SKIPPED: the Kubernetes schemas could not be installed; the manifests were not checked."
    exit 0
fi

PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" testnet/python/manifests.py \
    "${LLM_ROUTER_BIN:-$(testnet/scripts/target.sh)/llm-router}"
