#!/bin/sh
# Runs nginx, and reloads it within a minute after its certificate or its configuration has changed. Open connections
# keep the old certificate; clients of the relay reconnect (worker_shutdown_timeout).
#   run.sh [CONF [TLS_FOLDER [SECONDS]]]
set -eu
conf=${1:-/etc/nginx/streamxr/nginx.conf}
tls=${2:-/etc/nginx/tls}
seconds=${3:-60}

contents() {
    cat "$(dirname "$conf")"/*.conf "$tls"/*.pem 2>/dev/null | cksum
}

watch() {
    loaded=$(contents)
    # $$ is nginx, which replaces this shell.
    while sleep "$seconds" && kill -0 $$ 2>/dev/null; do
        found=$(contents)
        [ "$found" = "$loaded" ] && continue
        # Certificate and key that do not match are being replaced: look again later.
        if nginx -t -q -c "$conf"; then
            kill -HUP $$
            loaded=$found
        else
            echo "run.sh: nginx is not reloaded, and goes on with the old configuration and certificate" >&2
        fi
    done
}

watch &
exec nginx -c "$conf" -g "daemon off;"
