#!/usr/bin/env bash
# rand 0.10.4: for floating-point numbers `random_range(a..b)` and `random_range(a..=b)` draw the very same numbers.
#
# Both are the same code, so the end is neither excluded nor included by how the range is written, but by rounding. Between two
# neighbouring doubles `..` gives the end, which it excludes, as often as the start. From 0 to 1 `..=` never gives 1, even from
# a generator whose bits are all ones; a `Uniform::new_inclusive` of the same ends does.
#
# Seen:
#   10000 of 10000 numbers are the same
#   1e15..neighbour gave the neighbour: true
#   0.0..=1.0 of all ones: 0.9999999999999998, and by Uniform 1
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "rand-range"
version = "0.0.0"
edition = "2024"

[dependencies]
rand = "=0.10.4"
TOML
cat >src/main.rs <<'RUST'
use std::convert::Infallible;

use rand::distr::{Distribution, Uniform};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng, TryRng};

struct Ones;

impl TryRng for Ones {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::MAX)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::MAX)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(u8::MAX);
        Ok(())
    }
}

fn main() {
    let (mut one, mut other) = (StdRng::seed_from_u64(1), StdRng::seed_from_u64(1));
    let (low, high) = (1e15, 1e15_f64.next_up());
    let (mut same, mut reached) = (0, false);
    for _ in 0..10_000 {
        let (without, with) = (one.random_range(low..high), other.random_range(low..=high));
        same += i32::from(without == with);
        reached |= without == high;
    }
    println!("{same} of 10000 numbers are the same");
    println!("1e15..neighbour gave the neighbour: {reached}");
    let by_range: f64 = Ones.random_range(0.0..=1.0);
    let by_uniform = Uniform::new_inclusive(0.0, 1.0).unwrap().sample(&mut Ones);
    println!("0.0..=1.0 of all ones: {by_range}, and by Uniform {by_uniform}");
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
10000 of 10000 numbers are the same
1e15..neighbour gave the neighbour: true
0.0..=1.0 of all ones: 0.9999999999999998, and by Uniform 1
SEEN
echo "still so"
