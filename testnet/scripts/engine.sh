#!/usr/bin/env bash
# Makes sure that containers can be run: Docker, its daemon, and Compose. Installs and starts what is
# missing where that is possible without asking; with --check it only looks. Exits with 1 when they
# cannot be run, having said what is missing and how to get it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/scripts/say.sh
. testnet/scripts/apt.sh

# How long a daemon may take to come up.
readonly PATIENCE=30

check_only=false
[ "${1:-}" = --check ] && check_only=true

lacks=()
lack() { lacks+=("$1"); }

compose() {
    docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1
}

answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Where it is on Debian is on nobody's path but root's.
has_daemon() { has dockerd || [ -x /usr/sbin/dockerd ]; }

is_elsewhere() {
    [ -n "${DOCKER_HOST:-}" ] ||
        [ "$(docker context inspect --format '{{.Name}}' 2>/dev/null || echo default)" != default ]
}

# A client alone is no engine, unless it is meant for one elsewhere.
engine() { has docker && { has_daemon || answers || is_elsewhere; }; }

install_missing() {
    local packages=()
    engine || packages+=(docker.io)
    has docker && compose || packages+=(docker-compose)
    [ "${#packages[@]}" = 0 ] && return 0
    $check_only || ! can_apt || (apt_install "${packages[@]}") || true
}

start_daemon() {
    answers && return 0
    $check_only && return 0
    [ "$(id -u)" = 0 ] && has dockerd || return 0
    # one that is coming up already is waited for
    if ! [ -e /var/run/docker.pid ] || ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
        local log="${TMPDIR:-/tmp}/llm-router-dockerd.log"
        say "starting dockerd; its log is $log"
        nohup setsid dockerd >"$log" 2>&1 </dev/null &
    fi
    for _ in $(seq "$PATIENCE"); do
        answers && return 0
        sleep 1
    done
}

why_silent() {
    local said
    said=$(timeout 20 docker version 2>&1 >/dev/null | tail -n 1) || true
    case "$said" in
    *"permission denied"*) lack "the daemon does not let $(id -un) in: sudo usermod -aG docker $(id -un), then log in again" ;;
    *)
        has_daemon || is_elsewhere || lack "Docker's daemon is missing. Debian, Ubuntu: sudo apt-get install docker.io"
        lack "no daemon answers ($said): sudo systemctl start docker, or as root: dockerd &"
        ;;
    esac
}

install_missing
if has docker; then
    start_daemon
    answers || why_silent
    compose || lack "Compose is missing. Debian, Ubuntu: sudo apt-get install docker-compose; others: the docker-compose-plugin package"
else
    lack "Docker is missing. Debian, Ubuntu: sudo apt-get install docker.io docker-compose; macOS: Docker Desktop or colima"
fi

if [ "${#lacks[@]}" != 0 ]; then
    die "containers cannot be run here:" "${lacks[@]}"
fi
