#!/usr/bin/env bash
# The launcher: on first use it makes this checkout runnable (system packages, virtual environment), afterwards it is the command line.
# Set-up runs again when pyproject.toml or tools/ changed. `./kogia test` also installs what the tests need.
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
venv=${KOGIA_VENV:-$here/.venv}
command_name=${1:-}

say() { printf 'kogia: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# A stamp is newer than everything the set-up depends on, or the set-up runs again.
fresh() {
    local stamp=$venv/$1
    [ -e "$stamp" ] && [ ! "$here/pyproject.toml" -nt "$stamp" ] && [ ! "$here/tools/build_data.py" -nt "$stamp" ] && [ ! "$here/kogia/__init__.py" -nt "$stamp" ]
}

find_python() {
    local candidate
    for candidate in "${KOGIA_PYTHON:-}" python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# What the node needs, as `command or file:Debian package:Fedora package`.
needs='crun|runc:crun runc:crun
conmon:conmon:conmon
/usr/lib/cni/bridge|/opt/cni/bin/bridge|/usr/libexec/cni/bridge:containernetworking-plugins:containernetworking-plugins
nft:nftables:nftables
ip:iproute2:iproute
busybox:busybox-static:busybox
/usr/share/containers/seccomp.json|/etc/containers/seccomp.json:golang-github-containers-common:containers-common'

there() {
    local thing
    for thing in ${1//|/ }; do
        case $thing in
            /*) [ -e "$thing" ] && return ;;
            *) PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null && return ;;
        esac
    done
    return 1
}

install_system_packages() {
    local what deb rpm debs='' rpms='' lacking=''
    while IFS=: read -r what deb rpm; do
        there "$what" && continue
        lacking="$lacking ${what%%|*}" debs="$debs $deb" rpms="$rpms $rpm"
    done <<<"$needs"
    if ! find_python >/dev/null; then
        lacking="$lacking python3(>=3.11, with venv)" debs="$debs python3 python3-venv" rpms="$rpms python3"
    fi
    if [ "${1:-}" = tests ]; then
        for what in docker-registry:docker-registry wrk:wrk apache2:apache2-bin nginx:nginx-light skopeo:skopeo umoci:umoci containerd:containerd curl:curl; do
            PATH=$PATH:/usr/sbin command -v "${what%%:*}" >/dev/null || { lacking="$lacking ${what%%:*}"; debs="$debs ${what##*:}"; }
        done
        if ! command -v kubectl >/dev/null && apt-cache show kubernetes-client >/dev/null 2>&1; then
            lacking="$lacking kubectl" debs="$debs kubernetes-client"
        fi
    fi
    [ -n "$lacking" ] || return 0
    if command -v apt-get >/dev/null; then
        [ "$(id -u)" = 0 ] || die "needs the system packages$debs; run as root: apt-get install$debs"
        say "installing system packages:$debs"
        apt-get update -qq >/dev/null || say "apt-get update failed; trying with the package lists at hand"
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $debs >/dev/null ||
            die "apt-get could not install$debs; install them by hand and run this again"
    elif command -v dnf >/dev/null; then
        [ "$(id -u)" = 0 ] || die "needs the system packages$rpms; run as root: dnf install$rpms"
        say "installing system packages:$rpms"
        # shellcheck disable=SC2086
        dnf install -y -q $rpms >/dev/null || die "dnf could not install$rpms; install them by hand and run this again"
    else
        die "missing on this machine:$lacking; install them with the system's package manager and run this again"
    fi
}

install_package() {
    local extra=$1 stamp=$2 python
    python=$(find_python) || die "needs Python 3.11 or newer with the venv module; install it and run this again"
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        say "making a virtual environment in $venv with $python"
        rm -rf "$venv"
        "$python" -m venv "$venv" || die "could not make $venv; check that the folder can be written"
    fi
    say "installing the Python packages"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable "$here$extra" ||
        die "pip could not install the packages; check that a package index can be reached and run this again"
    touch "$venv/$stamp"
}

set_up() {
    mkdir -p "$venv" 2>/dev/null || die "cannot write $venv; run as the owner of this checkout, or set KOGIA_VENV"
    exec 9>"$venv/.lock"
    flock 9
    if ! fresh .ready; then
        install_system_packages
        install_package "" .ready
        say "set-up done"
    fi
    if [ "$command_name" = test ] && ! fresh .ready-tests; then
        install_system_packages tests
        install_package "[dev]" .ready-tests
    fi
    exec 9>&-
}

if ! fresh .ready || { [ "$command_name" = test ] && ! fresh .ready-tests; }; then
    set_up
fi
if [ "$command_name" = test ]; then
    shift
    exec "$venv/bin/python" "$here/tools/run_tests.py" "$@"
fi
exec "$venv/bin/python" -m kogia.main "$@"
