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
            "a parameter is unknown, repeated, missing, or none of what is allowed; `parameter`, `given` and `allowed` say which and what",
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
            "there is no such path, or the round has not been drawn yet",
        ),
        (
            Problem::method_not_allowed(""),
            "the path has other methods; the header `Allow` names them",
        ),
        (
            Problem::not_acceptable(""),
            "the path has none of the formats asked for; `allowed` has those that it has",
        ),
        (Problem::too_slow(""), "the body, or the answer to it, took too long"),
        (
            Problem::conflict(""),
            "the state doesn't allow it: a draw without output decides nothing, a member that doesn't lead begins no chain",
        ),
        (
            Problem::gone(1, ""),
            "the round is no longer kept; `oldest` is the oldest that is",
        ),
        (Problem::body_too_large(1), "the body is over the limit"),
        (Problem::uri_too_long(1), "path and query are over the limit"),
        (
            Problem::unsupported_media_type(""),
            "the body is of another type; the admin listener only",
        ),
        (
            Problem::no_such_range(1),
            "`Range` asks for bytes beyond the end; `Content-Range` says how many there are",
        ),
        (
            Problem::internal(),
            "a bug here; the log has more under the request's id",
        ),
        (
            Problem::unavailable("", soon),
            "not now: the journal or the ids can't be kept, the ledger can't be read, all streams are taken, the member is overloaded; `Retry-After` says when to ask again",
        ),
    ];
    let made: BTreeSet<&str> = all
        .iter()
        .map(|(problem, _)| problem.kind.strip_prefix(KINDS).unwrap())
        .collect();
    let source = include_str!("../../src/server/problem.rs").split("kind!(\"").skip(1);
    let there: BTreeSet<&str> = source.map(|rest| rest.split('"').next().unwrap()).collect();
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
