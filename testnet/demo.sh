#!/bin/sh
# Builds Seedbank and shows a whole community on this machine, in about a minute after the build:
#
#     sh testnet/demo.sh [OPTIONS of seedbank-testnet demo]
set -eu
cd "$(dirname "$0")/.."
. .ci/prepare.sh
build_all
exec "$CARGO_TARGET_DIR/debug/seedbank-testnet" demo "$@"
