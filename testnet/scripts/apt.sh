# Sourced by the scripts beside it, after say.sh: packages where nobody has to be asked.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_apt() {
    has apt-get || return 1
    [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; }
}

apt_install() {
    say "installing $* (apt-get)"
    local log
    log=$(mktemp)
    as_root apt-get update -qq >"$log" 2>&1 || true
    if ! as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1; then
        cat "$log" >&2
        die "apt-get could not install: $*"
    fi
    rm -f "$log"
}
