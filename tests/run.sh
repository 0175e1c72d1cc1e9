#!/bin/sh
# Builds Seedbank and runs all its tests:
#
#     sh tests/run.sh [ARGUMENTS of cargo test]
set -eu
cd "$(dirname "$0")/.."
. .ci/prepare.sh
want_interop
build_all
SEEDBANK_BIN_DIR=$CARGO_TARGET_DIR/debug
export SEEDBANK_BIN_DIR
exec cargo test --workspace --locked "$@"
