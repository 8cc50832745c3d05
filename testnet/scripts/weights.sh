#!/usr/bin/env bash
# Makes sure the embedder's weights are there. Runs after the build: the binary itself fetches them.
# Without them everything but the semantic tier works, so a failure is said aloud and is not fatal.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

folder="${LLM_ROUTER_MODELS:-$(cache_home)/models}/all-MiniLM-L6-v2"

is() { # FILE SHA256
    [ -f "$1" ] || return 1
    local sum
    if has sha256sum; then sum=$(sha256sum "$1"); else sum=$(shasum -a 256 "$1"); fi
    [ "${sum%% *}" = "$2" ]
}

there() {
    is "$folder/model.safetensors" 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db &&
        is "$folder/tokenizer.json" be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
}

there && exit 0
say "fetching the embedder's weights (90 MB, once)"
if "$(testnet/scripts/target.sh)/llm-router" model pull >&2 && there; then
    exit 0
fi
say "NO WEIGHTS: the semantic tier stays off and its tests are skipped; the exact tier works."
say "            Try again with:  llm-router model pull"
