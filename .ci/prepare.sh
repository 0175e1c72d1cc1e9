# Read by testnet/demo.sh, tests/run.sh and .ci/run: what a build needs, checked before it begins.
# Plain sh. Sets CARGO_TARGET_DIR to a place outside the clone, so that a second clone builds fast.

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

as_root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    say "Installing $1 (Debian package) ..."
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1"; } >&2
}

# Whether libclang is where bindgen looks for it.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for pattern in /usr/lib/llvm*/lib /usr/lib /usr/lib64 /usr/lib/*-linux-gnu /usr/lib64/llvm*/lib /usr/local/lib \
        /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib /Library/Developer/CommandLineTools/usr/lib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib; do
        for file in "$pattern"/libclang.so "$pattern"/libclang.so.* "$pattern"/libclang-[0-9]*.so* "$pattern"/libclang.dylib; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

need_rust_and_cxx() {
    if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    command -v cargo >/dev/null 2>&1 || fail "Rust is missing. Get it from https://rustup.rs, then run this again."
    command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 ||
        fail "A C++ compiler is missing (RocksDB, the database, is C++). Debian, Ubuntu: apt install g++" \
            "Fedora: dnf install gcc-c++   Arch: pacman -S gcc   macOS: xcode-select --install"
}

need_libclang() {
    have_libclang && return 0
    if as_root_with_apt && apt_install libclang-dev && have_libclang; then
        return 0
    fi
    say "libclang is missing. The build reads RocksDB's C header with it. Install it, then run this again:"
    say "    Debian, Ubuntu   sudo apt install libclang-dev"
    say "    Fedora           sudo dnf install clang-devel"
    say "    Arch             sudo pacman -S clang"
    say "    macOS            xcode-select --install"
    fail "Or name the directory of libclang in the variable LIBCLANG_PATH."
}

# A libclang without its own headers borrows those of gcc.
borrow_headers() {
    for file in /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
        /usr/lib64/clang/*/include/stddef.h /Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h; do
        [ -e "$file" ] && return 0
    done
    if [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && command -v gcc >/dev/null 2>&1; then
        BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
        export BINDGEN_EXTRA_CLANG_ARGS
    fi
}

# Other BitTorrent programs: tests have them fetch a snapshot, and talk with our DHT nodes.
# SEEDBANK_INTEROP names those that are there; a test that lacks one only says so.
want_interop() {
    interop=${SEEDBANK_TOOLS:-$HOME/.cache/seedbank/tools}/interop
    mkdir -p "$interop"
    SEEDBANK_INTEROP=
    note_interop libtorrent have_libtorrent install_libtorrent
    note_interop bittorrent-dht have_bittorrent_dht install_bittorrent_dht
    note_interop transmission have_transmission install_transmission
    note_interop aria2 have_aria2 install_aria2
    export SEEDBANK_INTEROP
}

note_interop() { # name, how to see that it is there, how to install it
    "$2" || "$3" || true
    if "$2"; then
        SEEDBANK_INTEROP="$SEEDBANK_INTEROP $1"
    else
        say "$1 is missing and cannot be installed here: the tests with it will only say so."
    fi
}

have_libtorrent() { "$interop/python/bin/python" -c 'import libtorrent' 2>/dev/null; }

install_libtorrent() {
    say "Installing libtorrent (PyPI package) into $interop/python ..."
    python3 -m venv --clear "$interop/python" >/dev/null 2>&1 ||
        { as_root_with_apt && apt_install python3-venv && python3 -m venv --clear "$interop/python" >&2; } ||
        return 1
    "$interop/python/bin/python" -m pip install --quiet --retries 1 --disable-pip-version-check libtorrent==2.1.1 >&2
}

have_bittorrent_dht() { command -v node >/dev/null 2>&1 && [ -e "$interop/node_modules/bittorrent-dht/index.js" ]; }

install_bittorrent_dht() {
    command -v npm >/dev/null 2>&1 || { as_root_with_apt && apt_install npm; } || return 1
    say "Installing bittorrent-dht (npm package) into $interop/node_modules ..."
    npm install --prefix "$interop" --ignore-scripts --no-audit --no-fund --loglevel=error \
        --prefer-offline --fetch-retries=1 --fetch-retry-mintimeout=1000 bittorrent-dht@11.0.12 >&2
}

have_transmission() { command -v transmission-cli >/dev/null 2>&1; }

# Not its daemon, which Debian would start at once.
install_transmission() { as_root_with_apt && apt_install transmission-cli; }

have_aria2() { command -v aria2c >/dev/null 2>&1; }

install_aria2() { as_root_with_apt && apt_install aria2; }

# Builds all programs. Cargo shows its progress on a terminal; elsewhere a line a minute says that it lives.
build_all() {
    if ! ls "$CARGO_TARGET_DIR"/debug/build/librocksdb-sys-*/out/librocksdb.a >/dev/null 2>&1; then
        say "The first build takes 20 to 30 minutes on two cores; RocksDB, the database, alone takes about 12, in one step"
        say "without visible progress. Later builds take seconds: the results are kept in $CARGO_TARGET_DIR"
    fi
    if [ -t 2 ]; then
        cargo build --workspace --locked
        return
    fi
    started=$(date +%s)
    # The pause keeps no pipe open, or whoever reads our output would wait for its end.
    (while sleep 60 >/dev/null 2>&1; do say "... still building, $((($(date +%s) - started) / 60)) min"; done) &
    heartbeat=$!
    trap 'kill $heartbeat 2>/dev/null' EXIT
    cargo build --workspace --locked
    kill $heartbeat 2>/dev/null
    trap - EXIT
}

need_rust_and_cxx
need_libclang
borrow_headers
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/seedbank/target}
export CARGO_TARGET_DIR PATH
