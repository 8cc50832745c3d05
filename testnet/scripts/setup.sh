#!/usr/bin/env bash
# Checks what a build needs and installs what is missing where that is possible without asking.
# Quiet when everything is there; safe to run as often as you like.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh
. testnet/scripts/apt.sh

wanted_rust=$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' Cargo.toml | head -n 1)

need_rust() {
    has cargo || die "Rust is missing (cargo $wanted_rust or newer)." \
        "Install it with rustup: https://rustup.rs" \
        "then open a new shell, or run:  . \"\$HOME/.cargo/env\""
    local found
    found=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$wanted_rust" "$found" | sort -V | head -n 1)" != "$wanted_rust" ]; then
        die "Rust $found is too old, $wanted_rust or newer is needed." "Run:  rustup update stable"
    fi
    for part in rustfmt clippy-driver; do
        has "$part" && continue
        has rustup || die "$part is missing." "It belongs to your Rust installation: reinstall it with rustup."
        say "installing rustfmt and clippy"
        rustup component add rustfmt clippy >/dev/null
        break
    done
}

have_cxx() { has c++ || has g++ || has clang++; }

# libclang-cpp, which comes with LLVM itself, is another library.
libclang_in() {
    local file
    for file in "$1"/libclang.so* "$1"/libclang-[0-9]*.so* "$1"/libclang.dylib; do
        [ -e "$file" ] && return 0
    done
    return 1
}

have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    has llvm-config && libclang_in "$(llvm-config --libdir)" && return 0
    local folder
    for folder in /usr/lib/llvm-*/lib /usr/lib/*-linux-*/ /usr/lib64 /usr/lib64/llvm*/lib* /usr/lib \
        /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib /Library/Developer/CommandLineTools/usr/lib; do
        libclang_in "$folder" && return 0
    done
    return 1
}

have_python() {
    has python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

tell_packages() {
    die "$1" \
        "Debian, Ubuntu:  sudo apt-get install g++ libclang-dev python3 python3-venv" \
        "Fedora:          sudo dnf install gcc-c++ clang-devel python3" \
        "Arch:            sudo pacman -S gcc clang python" \
        "macOS:           xcode-select --install && brew install llvm python"
}

need_packages() {
    local packages=()
    have_cxx || packages+=(g++)
    have_libclang || packages+=(libclang-dev)
    have_python || packages+=(python3 python3-venv)
    [ "${#packages[@]}" = 0 ] && return 0
    if can_apt; then
        apt_install "${packages[@]}"
    else
        tell_packages "RocksDB needs a C++ compiler and libclang, the SDK tests Python 3 with venv; missing here: ${packages[*]}"
    fi
}

# The JavaScript clients' tests are skipped without it, aloud.
want_node() {
    has node && has npm && return 0
    can_apt || return 0
    (apt_install nodejs npm) || say "node could not be installed; the JavaScript clients' tests will be skipped"
}

need_rust
need_packages
want_node

# `setup.sh nginx` also tries to get nginx, which the bench compares with. Without it the bench
# leaves those columns out.
if [ "${1:-}" = nginx ] && ! has nginx && ! [ -x /usr/sbin/nginx ]; then
    if can_apt; then
        (apt_install nginx-light) || say "nginx could not be installed; the bench runs without it"
    else
        say "nginx is not installed; the bench runs without it"
    fi
fi
