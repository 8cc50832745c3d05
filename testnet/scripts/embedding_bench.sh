#!/usr/bin/env bash
# Measures the embedder beside stock candle and onnxruntime, all on one core in one run. onnxruntime
# comes from PyPI into an environment of its own in the user's cache folder, made once; where it
# cannot be had, its columns stay empty, and it is said. Arguments go to the bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

requirements=testnet/python/embedding_requirements.txt
venv="$(cache_home)/python-embedding"
stamp="$venv/installed.txt"

install() {
    python3 -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --retries 2 --timeout 60 -r "$requirements" &&
        cp "$requirements" "$stamp"
}

python=()
if cmp -s "$requirements" "$stamp" || { say "installing onnxruntime (once)" && install; }; then
    python=(--python "$venv/bin/python")
else
    say "NO ONNXRUNTIME: it could not be installed; its columns stay empty."
fi
pinned=()
if has taskset; then pinned=(taskset -c "${CORE:-0}"); fi
exec "${pinned[@]}" "$(testnet/scripts/target.sh)/bench" --only embedding "${python[@]}" "$@"
