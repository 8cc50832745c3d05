#!/usr/bin/env bash
# An hour of what is too long for every change: faults of processes and of containers, every fault of an
# upstream through every door, bent answers, and what nodes cost in their sizes. SEED says what all of it
# follows from (today's date where it is not given), MINUTES how long all of it takes, near enough. Ends
# with 1 when any of it does; each part runs whatever became of the others.
set -uo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

seed=${SEED:-$(date +%Y%m%d)}
seconds=$((${MINUTES:-60} * 60))
testnet="$(testnet/scripts/target.sh)/llm-router-testnet"
[ -x "$testnet" ] || die "there is no $testnet" "Run:  make nightly"

parts=() verdicts=() worst=0
part() { # NAME COMMAND…
    local name=$1 status=0
    shift
    say "$name: $*"
    "$@" || status=$?
    parts+=("$name") verdicts+=("$status")
    [ "$status" = 0 ] || worst=1
}

part "processes under faults" "$testnet" chaos --seconds $((seconds * 30 / 100)) --seed "$seed"
if testnet/scripts/engine.sh; then
    part "containers under faults" "$testnet" chaos --containers --seconds $((seconds * 40 / 100)) --seed "$seed"
    part "sizes" "$testnet" scale
else
    say "SKIPPED: containers; there is no engine here, and none could be started."
fi
part "faults of upstreams" "$testnet" faults --thorough
part "bent answers" "$testnet" fuzz --minutes "$(awk "BEGIN { print $seconds / 7200 }")" --seed "$seed"

say "seed $seed"
for at in "${!parts[@]}"; do
    say "$([ "${verdicts[$at]}" = 0 ] && echo held || echo BROKEN): ${parts[$at]}"
done
exit "$worst"
