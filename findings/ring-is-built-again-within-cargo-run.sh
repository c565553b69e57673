#!/usr/bin/env bash
# ring 0.17.14: `cargo check` or `cargo build` builds it again, with all that depends on it, when it runs within `cargo run` or
# `cargo test` of another package, and once more when it runs in the shell again.
#
# Its build script prints `cargo:rerun-if-env-changed` for each variable that it reads, CARGO_MANIFEST_DIR and CARGO_PKG_… among
# them. Cargo sets these for the script in any case; but it compares those of its own environment, which a program that cargo
# runs inherits from another package. Its own build dependency cc, which has no build script, stays as it was. Known to its
# authors (briansmith/ring#2454), and still so.
#
# Seen, with cargo 1.95.0:
#   in the shell, again: Fresh cc, Fresh ring
#   within cargo run: Fresh cc, Dirty ring (CARGO_MANIFEST_DIR)
#   in the shell, after that: Fresh cc, Dirty ring (CARGO_MANIFEST_DIR)
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir -p app/src tool/src
cat >app/Cargo.toml <<'TOML'
[package]
name = "uses-ring"
version = "0.0.0"
edition = "2024"

[dependencies]
ring = "=0.17.14"
TOML
touch app/src/lib.rs
cat >tool/Cargo.toml <<'TOML'
[package]
name = "runs-cargo"
version = "0.0.0"
edition = "2024"
TOML
cat >tool/src/main.rs <<'RUST'
use std::process::Command;

fn main() {
    let check = Command::new("cargo").args(["check", "--verbose"]).current_dir("../app").status();
    assert!(check.unwrap().success());
}
RUST
# What cargo said of ring and of its build dependency cc, in one line.
summary() {
    sed -nE 's/^ *(Fresh|Dirty) (cc|ring) v[^:]*(: the env variable (\S+) changed)?$/\1 \2 (\4)/p' log |
        sed 's/ ()//' | sort -k2 | paste -sd, | sed 's/,/, /g'
}
(cd app && nice -n 10 cargo check --quiet)
(cd app && nice -n 10 cargo check --verbose) 2>log
echo "in the shell, again: $(summary)" >seen
(cd tool && nice -n 10 cargo run --quiet) 2>log
echo "within cargo run: $(summary)" >>seen
(cd app && nice -n 10 cargo check --verbose) 2>log
echo "in the shell, after that: $(summary)" >>seen
diff seen - <<'SEEN'
in the shell, again: Fresh cc, Fresh ring
within cargo run: Fresh cc, Dirty ring (CARGO_MANIFEST_DIR)
in the shell, after that: Fresh cc, Dirty ring (CARGO_MANIFEST_DIR)
SEEN
echo "still so"
