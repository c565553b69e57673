#!/usr/bin/env bash
# rusqlite 0.41.1 with the feature `bundled` (libsqlite3-sys 0.39.1): SQLite calls fsync(2) for each commit that waits for the disk.
#
# SQLite's Unix layer prefers fdatasync(2), "when available" (its os_unix.c), and its own configure script finds it, so that the
# packages of distributions use it. libsqlite3-sys compiles the amalgamation without configure and without HAVE_FDATASYNC, so
# fdatasync is defined as fsync. That also writes the file's times: on ext4 a commit may wait for the file system's journal. With
# LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC it is as elsewhere.
#
# Needs strace and a C compiler. Seen, for ten commits with synchronous = FULL in WAL mode:
#   as it comes: 17 of fsync, 0 of fdatasync
#   with HAVE_FDATASYNC: 0 of fsync, 17 of fdatasync
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "commits"
version = "0.0.0"
edition = "2024"

[dependencies]
libsqlite3-sys = "=0.39.1"
rusqlite = { version = "=0.41.1", features = ["bundled"] }
TOML
cat >src/main.rs <<'RUST'
fn main() {
    let db = rusqlite::Connection::open(std::env::args().nth(1).unwrap()).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    db.pragma_update(None, "synchronous", "full").unwrap();
    db.execute_batch("CREATE TABLE entry (number INTEGER)").unwrap();
    for number in 0..10 {
        db.execute("INSERT INTO entry VALUES (?)", [number]).unwrap();
    }
}
RUST

# Prints how often a build with these flags calls fsync and fdatasync on the database or its log.
calls() {
    LIBSQLITE3_FLAGS="$1" CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}" cargo build --quiet
    rm -f "$folder"/commits.db*
    strace -f -y -e trace=fsync,fdatasync -o "$folder/trace" \
        "${FINDINGS_TARGET:-$folder/target}/debug/commits" "$folder/commits.db"
    for call in fsync fdatasync; do
        grep -c "[^a-z]$call([0-9]*<$folder/commits.db" "$folder/trace" || true
    done | paste -sd' '
}

read -r fsync fdatasync <<<"$(calls "")"
echo "as it comes: $fsync of fsync, $fdatasync of fdatasync"
((fsync > 10 && fdatasync == 0))
read -r fsync fdatasync <<<"$(calls "-DHAVE_FDATASYNC")"
echo "with HAVE_FDATASYNC: $fsync of fsync, $fdatasync of fdatasync"
((fsync == 0 && fdatasync > 10))
echo "still so"
