//! The table of problems in docs/http.md: each kind that src/server/problem.rs can make, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use random_generator::server::problem::Problem;

const KINDS: &str = "urn:random-generator:problem:";

pub fn table() -> String {
    let soon = Duration::from_secs(1);
    let all = [
        (
            Problem::parameter("", None, "", ""),
            "a parameter is unknown, repeated, missing or not allowed; `parameter`, `given` and `allowed` say which and why",
        ),
        (Problem::malformed(""), "path, header or body can't be understood"),
        (
            Problem::unauthenticated(""),
            "a message between members is not signed with their secret; the peer listener only",
        ),
        (
            Problem::forbidden(""),
            "a web page may have sent it; the admin listener only",
        ),
        (
            Problem::not_found(""),
            "the path is unknown, or the round has not been drawn yet",
        ),
        (
            Problem::method_not_allowed(""),
            "the path allows other methods; the header `Allow` lists them",
        ),
        (
            Problem::not_acceptable(""),
            "the path has none of the requested formats; `allowed` lists those it has",
        ),
        (Problem::too_slow(""), "the body, or the answer to it, took too long"),
        (
            Problem::conflict(""),
            "the state doesn't allow it: a draw without output decides nothing, and only the leader starts a new chain",
        ),
        (
            Problem::gone(1, ""),
            "the round is no longer kept; `oldest` is the oldest round that is",
        ),
        (Problem::body_too_large(1), "the body exceeds the limit"),
        (Problem::uri_too_long(1), "path and query exceed the limit"),
        (
            Problem::unsupported_media_type(""),
            "the body has an unsupported type; the admin listener only",
        ),
        (
            Problem::internal(),
            "a bug in the member; the log has the details under the request's id",
        ),
        (
            Problem::unavailable("", soon),
            "the journal or the ids can't be stored, the ledger can't be read, or the member is overloaded; `Retry-After` says when to try again",
        ),
    ];
    let made: BTreeSet<&str> = all
        .iter()
        .map(|(problem, _)| problem.kind.strip_prefix(KINDS).unwrap())
        .collect();
    let source = include_str!("../../src/server/problem.rs");
    let (_, table) = source.split_once("\nproblems! {\n").unwrap();
    let rows = table
        .lines()
        .take_while(|line| *line != "}")
        .filter(|line| line.ends_with(';'));
    let there: BTreeSet<&str> = rows.map(|row| row.split('"').nth(1).unwrap()).collect();
    assert_eq!(
        made, there,
        "this table (left) and src/server/problem.rs (right) differ"
    );
    let rows = all.iter().map(|(problem, when)| {
        let (status, kind, title) = (problem.status.as_u16(), problem.kind, problem.title);
        format!("| {status} | `{kind}` | {title} | {when} |\n")
    });
    let rows: String = rows.collect();
    format!("| status | `type` | `title` | when |\n| --- | --- | --- | --- |\n{rows}")
}
