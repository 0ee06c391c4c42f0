#!/usr/bin/env bash
# Builds the firmware, runs it on QEMU's mps2-an386, and prints what it logs. Fails unless all octets of
# both streams of all connections arrived.
#
#   ./run.sh [TARGET-DIR]
#
# Needs Debian's rustc-web, cargo-web, rust-web-src, libstd-rust-web-dev, lld and qemu-system-arm, and gcc for
# the decoder.
set -euo pipefail
cd "$(dirname "$0")"
. ./environment
export CARGO_TARGET_DIR=${1:-$PWD/target}

build --features firmware --bin firmware
RUSTFLAGS="" /usr/bin/cargo build --locked -q -p decode
frames=$(mktemp)
trap 'rm -f "$frames"' EXIT
result=0
emulate firmware >"$frames" || result=$?
"$CARGO_TARGET_DIR/debug/decode" "$(program firmware)" <"$frames"
exit $result
