#!/usr/bin/env bash
# Builds the testnet's two images around the binaries of the dev profile, stripped: llm-router:testnet (a
# node) and llm-router-tools:testnet (the scripted upstreams). BASE names what they stand on; without it
# that is debian:12-slim where it is here or can be pulled, and else a base made of this machine's own
# libraries, which always fits the binaries built on it. Quiet when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh

readonly NODE=llm-router:testnet TOOLS=llm-router-tools:testnet
readonly SLIM=debian:12-slim OWN=llm-router-base:own
readonly MARK=llm-router.made-of
# How long a registry may take to answer.
readonly PATIENCE=60

folder="$(testnet/scripts/target.sh)"
node_bin="${LLM_ROUTER_BIN:-$folder/llm-router}"
tools_bin="${LLM_ROUTER_TESTNET_BIN:-$folder/llm-router-testnet}"
for binary in "$node_bin" "$tools_bin"; do
    [ -f "$binary" ] || die "there is no $binary" "Run:  cargo build --workspace --bins"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest() { sha256sum | cut -d' ' -f1; }

is_here() { docker image inspect "$1" >/dev/null 2>&1; }

made_of() { docker image inspect --format "{{index .Config.Labels \"$MARK\"}}" "$1" 2>/dev/null || true; }

# Where the authorities are that this machine trusts.
authorities() {
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ -s "$file" ] && { printf '%s' "$file"; return 0; }
    done
    return 1
}

# Libraries the binaries are linked with, and those that glibc opens by itself to find a host.
libraries() {
    local found
    found=$(ldd "$node_bin" "$tools_bin" | grep -oE '/[^ ]+' | grep -v ':$' | sort -u)
    printf '%s\n' "$found"
    for library in $(printf '%s\n' "$found" | grep '/libc\.so'); do
        ls "$(dirname "$library")"/libnss_{files,dns}.so.2 "$(dirname "$library")"/libresolv.so.2 2>/dev/null || true
    done
}

make_own() {
    local root="$work/base" library mark
    mkdir -p "$root/etc" "$root/tmp"
    chmod 1777 "$root/tmp"
    for library in $(libraries | sort -u); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
    printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
    mark=$(cd "$root" && find . -type f -print0 | sort -z | xargs -0 sha256sum | digest)
    if [ "$(made_of "$OWN")" != "$mark" ]; then
        say "making $OWN of this machine's libraries"
        tar -C "$root" --owner=0 --group=0 -c . | docker import --change "LABEL $MARK=$mark" - "$OWN" >/dev/null
    fi
}

can_pull() {
    say "pulling $SLIM"
    timeout "$PATIENCE" docker pull --quiet "$SLIM" >/dev/null 2>&1
}

choose_base() {
    if [ -n "${BASE:-}" ]; then
        base=$BASE
    elif is_here "$SLIM"; then
        base=$SLIM
    elif ! is_here "$OWN" && can_pull; then
        base=$SLIM
    else
        make_own
        base=$OWN
    fi
}

fill() { # what the images are built from
    local bundle
    mkdir -p "$work/context/etc/ssl/certs" "$work/context/home/data"
    chmod 1777 "$work/context/home/data"
    for binary in "$node_bin" "$tools_bin"; do
        strip -o "$work/context/$(basename "$binary")" "$binary" 2>/dev/null ||
            cp "$binary" "$work/context/"
    done
    printf 'root:x:0:0::/:/sbin/nologin\nllm-router:x:10001:10001::/var/lib/llm-router:/sbin/nologin\n' \
        >"$work/context/etc/passwd"
    printf 'root:x:0:\nllm-router:x:10001:\n' >"$work/context/etc/group"
    if bundle=$(authorities); then
        cp -L "$bundle" "$work/context/etc/ssl/certs/ca-certificates.crt"
    else
        say "no certificate authorities on this machine: nodes in these images trust no https upstream"
    fi
    cp testnet/docker/Dockerfile "$work/context/"
}

build() { # TARGET TAG
    local log="$work/build.log"
    docker build --target "$1" --build-arg "BASE=$base" --label "$MARK=$mark" -t "$2" \
        "$work/context" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

build_both() {
    mark=$({ cat testnet/docker/Dockerfile; authorities | xargs -r cat; sha256sum "$node_bin" "$tools_bin"
        docker image inspect --format '{{.Id}}' "$base" 2>/dev/null || printf '%s' "$base"; } | digest)
    [ "$(made_of "$NODE")" = "$mark" ] && [ "$(made_of "$TOOLS")" = "$mark" ] && return 0
    say "building $NODE and $TOOLS on $base"
    [ -d "$work/context" ] || fill
    build node "$NODE" && build tools "$TOOLS"
}

# On a base with an older C library than this machine's the binaries do not start.
starts() { docker run --rm --network none "$NODE" --version >/dev/null 2>&1; }

choose_base
build_both || die "the images could not be built"
if ! starts; then
    [ "$base" = "$SLIM" ] && [ -z "${BASE:-}" ] ||
        die "the binary does not start on $base; is its C library older than this machine's?"
    say "the binary does not start on $base, whose C library is older than this machine's"
    make_own
    base=$OWN
    build_both && starts || die "the binary does not start on $base either"
fi

for image in "$NODE" "$TOOLS"; do
    bytes=$(docker image inspect --format '{{.Size}}' "$image")
    say "$image: $((bytes / 1000000)) MB on $base"
done
