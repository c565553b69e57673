#!/usr/bin/env bash
# utoipa 6.0.0: schemas that no value of their type satisfies: of a map with numbers as keys, and of a field with a doc comment.
#
# The names of a JSON object are strings, and serde_json writes a number that is a key as one. The schema of such a map says that
# each name is an integer (`propertyNames`), so only the empty map satisfies it. The doc comment on a field with an inline enum
# becomes an `allOf` with `"type": "object"`, so the variants that are strings no longer satisfy it; without the comment they do.
# Clients and tests that are made from the description then refuse what the server sends.
#
# Seen:
#   {"counts":{},"plain":{"Two":2},"described":{"Two":2}}: valid
#   {"counts":{"7":1},"plain":{"Two":2},"described":{"Two":2}}: counts: '7' is not of type 'integer'
#   {"counts":{},"plain":"One","described":{"Two":2}}: valid
#   {"counts":{},"plain":{"Two":2},"described":"One"}: described: 'One' is not of type 'object'
#
# Needs Rust, and python3 with venv.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check jsonschema==4.26.0
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "utoipa-refuses"
version = "0.0.0"
edition = "2024"

[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
utoipa = { version = "=6.0.0", default-features = false, features = ["macros"] }
TOML
cat >src/main.rs <<'RUST'
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{PartialSchema, ToSchema};

#[derive(Serialize, ToSchema)]
enum Choice {
    One,
    Two(u32),
}

#[derive(Serialize, ToSchema)]
struct Answer {
    counts: BTreeMap<u32, u32>,
    #[schema(inline)]
    plain: Choice,
    /// What was chosen.
    #[schema(inline)]
    described: Choice,
}

fn main() {
    println!("{}", serde_json::to_string(&Answer::schema()).unwrap());
    let answer = |counts: &[(u32, u32)], plain, described| {
        let answer = Answer { counts: counts.iter().copied().collect(), plain, described };
        println!("{}", serde_json::to_string(&answer).unwrap());
    };
    answer(&[], Choice::Two(2), Choice::Two(2));
    answer(&[(7, 1)], Choice::Two(2), Choice::Two(2));
    answer(&[], Choice::One, Choice::Two(2));
    answer(&[], Choice::Two(2), Choice::One);
}
RUST
cat >validate.py <<'PYTHON'
import json, sys

import jsonschema

schema, *answers = sys.stdin.read().splitlines()
# OpenAPI 3.1 has the JSON Schema of 2020-12.
validator = jsonschema.Draft202012Validator(json.loads(schema))
for answer in answers:
    wrong = [f"{error.path[0]}: {error.message}" for error in validator.iter_errors(json.loads(answer))]
    print(f"{answer}: {'; '.join(wrong) or 'valid'}")
PYTHON
nice -n 10 cargo run --quiet >made
python/bin/python validate.py <made >seen
diff seen - <<'SEEN'
{"counts":{},"plain":{"Two":2},"described":{"Two":2}}: valid
{"counts":{"7":1},"plain":{"Two":2},"described":{"Two":2}}: counts: '7' is not of type 'integer'
{"counts":{},"plain":"One","described":{"Two":2}}: valid
{"counts":{},"plain":{"Two":2},"described":"One"}: described: 'One' is not of type 'object'
SEEN
echo "still so"
