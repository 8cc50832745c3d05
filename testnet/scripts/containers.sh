#!/usr/bin/env bash
# The containers' story, of at most five minutes: three nodes come up, what `up` prints answers as it was
# printed, a request is followed through two nodes, a load through every door is answered, and nothing is
# left behind. Where no engine can be had
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
    "$testnet" down --project "$project-chaos" || status=1
    rm -f "$printed" "$snippet"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

"$testnet" up --project "$project" | tee "$printed"

# What stands below a heading, up to the next one.
below() { awk -v head="$1" '/^[A-Z].*:$/ { on = index($0, head) == 1; next } on' "$printed"; }

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

# The same as printed: a request inside a trace of the caller's, and its tree. Spans leave a node each second.
answers "One request, traced" "POST /v1/chat/completions"

# The node whose turn it is owns one question in three itself; any other takes two nodes.
follow_through_two_nodes() {
    local ask number trace tree
    ask=$(grep -om 1 'http://[^ ]*/v1/chat/completions' "$printed")
    for number in $(seq 12); do
        trace=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        curl -sf --max-time 20 "$ask" -o /dev/null -H 'content-type: application/json' \
            -H "traceparent: 00-$trace-00f067aa0ba902b7-01" \
            -d "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"What is written on page $number?\"}]}" ||
            continue
        tree=$("$testnet" trace --project "$project" --wait 15 "$trace") || continue
        case "$tree" in
        *" 1 node,"*) ;;
        *CacheService/*)
            printf '%s\n' "$tree"
            say "followed through two nodes, at the ${number}. request"
            return 0
            ;;
        esac
    done
    die "no request was seen on two nodes; the last trace: ${tree:-none}"
}
follow_through_two_nodes

"$testnet" load --project "$project" --rate "${RATE:-30}" --seconds "${SECONDS_OF_LOAD:-10}"
"$testnet" status --project "$project"
"$testnet" top --project "$project" --rounds 1

# As a container's first process it is ended by a signal only if it asks for it; and without it the nodes go on.
docker stop -t 20 "$project-collector" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$project-collector")
[ "$code" = 0 ] || die "the collector was told to end, and ended with $code"
answers "With curl" "Hello, cluster!"
"$testnet" down --project "$project"

# A short round of what `make nightly` does for long: a death, a cut, an upstream that fails, and one node after
# the other started again while all of them are asked.
"$testnet" chaos --containers --project "$project-chaos" --seconds "${SECONDS_OF_CHAOS:-75}" --seed "${SEED:-1}" \
    --faults kill-leader,cut-leader,upstream-refuses,rolling-restart
