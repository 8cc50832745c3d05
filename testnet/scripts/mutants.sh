#!/usr/bin/env bash
# Brings known bugs back, one at a time, and demands that a test notices.
#
#   testnet/scripts/mutants.sh [name…]
#
# A mutant is testnet/mutants/<name>.patch: a unified diff against the repository with, in the lines
# before it, `# caught-by: <command>`: what has to fail with the bug in place. The command runs in a
# scratch worktree of HEAD plus whatever is changed here, with the target directory of this checkout,
# so only what the patch touches is compiled again. Exit 0: every bug was noticed.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$repository/target}
scratch=$target/mutants/tree
log=$target/mutants/log
mkdir -p "$target/mutants"

tidy_up() {
    git -C "$repository" worktree remove --force "$scratch" 2>/dev/null || true
}
trap tidy_up EXIT
tidy_up
git worktree add --quiet --detach "$scratch" HEAD
git diff HEAD --binary | git -C "$scratch" apply --allow-empty
# what is not tracked yet belongs to it as much
git ls-files --others --exclude-standard -z | while IFS= read -r -d '' file; do
    mkdir -p "$scratch/$(dirname "$file")"
    cp "$file" "$scratch/$file"
done

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for patch in testnet/mutants/*.patch; do
        names+=("$(basename "$patch" .patch)")
    done
fi

missed=0
printf '%-28s %-10s %6s  %s\n' mutant verdict s 'caught by'
for name in "${names[@]}"; do
    patch=$repository/testnet/mutants/$name.patch
    command=$(sed -n 's/^# caught-by: //p' "$patch" | head -n 1)
    began=$SECONDS
    if [ -z "$command" ]; then
        verdict='no command'
    elif ! git -C "$scratch" apply "$patch" 2>"$log.$name"; then
        verdict=stale
    else
        if ! (cd "$scratch" && CARGO_TARGET_DIR=$target bash -c "${command%% -- *} --no-run" >"$log.$name" 2>&1); then
            verdict='no build'
        elif (cd "$scratch" && CARGO_TARGET_DIR=$target bash -c "$command" >>"$log.$name" 2>&1); then
            verdict=MISSED
        else
            verdict=caught
        fi
        git -C "$scratch" apply --reverse "$patch"
    fi
    [ "$verdict" = caught ] || missed=$((missed + 1))
    printf '%-28s %-10s %6d  %s\n' "$name" "$verdict" $((SECONDS - began)) "$command"
done
if [ "$missed" -gt 0 ]; then
    echo "$missed not caught; what they said is in $log.<name>" >&2
    exit 1
fi
