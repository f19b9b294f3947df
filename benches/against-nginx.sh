#!/bin/sh
# Gateway and nginx side by side on this machine: TLS off and on, one and 32 transactions a document.
# Prints the ratios that docs/performance.md is about. Further arguments go to `impsgw load`, such as --json or --seconds 20.
set -eu
cd "$(dirname "$0")/.."
if ! command -v nginx >/dev/null; then
    apt-get install -y --no-install-recommends nginx-light || {
        echo "nginx is missing and can't be installed: apt-get install nginx" >&2
        exit 1
    }
fi
cargo build --release --quiet
exec target/release/impsgw load --against-nginx "$@"
