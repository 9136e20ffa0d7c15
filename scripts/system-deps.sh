#!/bin/sh
# Installs missing system packages; prints nothing if none is missing. Without the rights to install, it prints the
# command to run and fails.
set -eu

missing=""
need() { missing="$missing $1"; }
command_or() { command -v "$1" >/dev/null 2>&1 || need "$2"; }
library_or() { ldconfig -p 2>/dev/null | grep -q "$1" || need "$2"; }

case "$(uname -s)" in
Linux)
    command_or node nodejs
    command_or npm npm
    # pymeshlab loads both; without the second, its decimation filters are silently missing.
    library_or libGL.so.1 libgl1
    library_or libOpenGL.so.0 libopengl0
    python="${PYTHON:-python3}"
    command -v "$python" >/dev/null 2>&1 || need python3
    "$python" -c 'import ensurepip' >/dev/null 2>&1 || need python3-venv
    if [ "${1:-}" = test ]; then
        # Tests run the files of deploy/ with these programs, which may be in sbin.
        PATH="$PATH:/usr/sbin:/sbin"
        command_or nginx nginx
        command_or caddy caddy
        command_or prometheus prometheus
        command_or openssl openssl
        # Publishing is tested against Ceph's S3 server, which runs for the time of the tests.
        command_or ceph ceph-common
        command_or ceph-mon ceph-mon
        command_or ceph-osd ceph-osd
        command_or radosgw radosgw
        library_or libatomic.so.1 libatomic1 # Playwright's own Node needs it
        [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null 2>&1 ||
            command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || need chromium
    fi
    [ -n "$missing" ] || exit 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "please install what Debian calls:$missing" >&2
        exit 1
    fi
    line="apt-get update && apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" != 0 ]; then
        echo "missing:$missing; please run:" >&2
        echo "  sudo sh -c '$line'" >&2
        exit 1
    fi
    echo "installing:$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    ;;
Darwin)
    command_or node node
    command_or npm node
    if [ "${1:-}" = test ]; then
        command_or nginx nginx
        command_or prometheus prometheus
    fi
    [ -n "$missing" ] || exit 0
    echo "missing:$missing; please run:  brew install$missing" >&2
    exit 1
    ;;
*)
    command_or node nodejs
    command_or npm npm
    [ -z "$missing" ] || { echo "please install:$missing" >&2; exit 1; }
    ;;
esac
