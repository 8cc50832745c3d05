#!/usr/bin/env bash
# Runs the bench beside the node's binary. Arguments go to the bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
testnet/scripts/setup.sh nginx
PATH="$PATH:/usr/sbin"
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
exec "$(testnet/scripts/target.sh)/bench" "$@"
