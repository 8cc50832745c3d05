#!/usr/bin/env bash
# Measures the embedder beside stock candle and onnxruntime, all on one core in one run. onnxruntime
# comes from PyPI into an environment of its own in the user's cache folder, made once; where it
# cannot be had, its columns stay empty, and it is said. Arguments go to the bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh
. testnet/scripts/venv.sh

venv="$(cache_home)/python-embedding"
python=()
if want_venv "$venv" testnet/python/embedding_requirements.txt "onnxruntime" 60; then
    python=(--python "$venv/bin/python")
else
    say "NO ONNXRUNTIME: it could not be installed; its columns stay empty."
fi
pinned=()
if has taskset; then pinned=(taskset -c "${CORE:-0}"); fi
exec "${pinned[@]}" "$(testnet/scripts/target.sh)/bench" --only embedding "${python[@]}" "$@"
