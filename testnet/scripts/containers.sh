#!/usr/bin/env bash
# The containers' story, of at most five minutes: three nodes come up, what `up` prints answers as it was
# printed, a load through every door is answered, and nothing is left behind. Where no engine can be had
# it is skipped, and that is said. Needs binaries that are built; SECONDS_OF_LOAD and RATE bend the load.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

if ! testnet/scripts/engine.sh; then
    say "SKIPPED: the testnet in containers; there is no engine here, and none could be started."
    exit 0
fi

testnet="$(testnet/scripts/target.sh)/llm-router-testnet"
project="ci-$$"
printed=$(mktemp)
snippet=$(mktemp)
end() {
    local status=$?
    trap - EXIT
    [ "$status" = 0 ] || "$testnet" logs --tail 40 --project "$project" || true
    "$testnet" down --project "$project" || status=1
    rm -f "$printed" "$snippet"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

"$testnet" up --project "$project" | tee "$printed"

# What stands below a heading, up to the next one.
below() { awk -v head="$1" 'index($0, head) == 1 { on = 1; next } /^(With|Over|llm-router-testnet) / { on = 0 } on' "$printed"; }

answers() { # HEADING WORDS
    below "$1" >"$snippet"
    [ -s "$snippet" ] || die "nothing was printed below \"$1\""
    local said
    said=$(bash "$snippet") || die "what was printed below \"$1\" failed: $said"
    case "$said" in
    *"$2"*) say "answered as printed: $1" ;;
    *) die "what was printed below \"$1\" said: $said" ;;
    esac
}

clients="$(cache_home)/python/bin/python"
[ -x "$clients" ] || clients=python3
answers "With curl" "Hello, cluster!"
if "$clients" -c 'import openai, grpc, grpc_reflection' 2>/dev/null; then
    answers "With OpenAI" "Hello, SDK!"
    answers "Over gRPC" "Hello, gRPC!"
else
    say "SKIPPED: the Python snippets; their clients are not installed (testnet/scripts/sdk.sh installs them)"
fi

"$testnet" load --project "$project" --rate "${RATE:-30}" --seconds "${SECONDS_OF_LOAD:-10}"
"$testnet" status --project "$project"
"$testnet" top --project "$project" --rounds 1
