//! `/set`: every member, as this one sees it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::{Answer, PublicRequest};
use crate::clock::{Boot, Clock};
use crate::identity::MemberName;
use crate::peer::report::MemberReport;
use crate::server::budget::Budget;
use crate::server::format::{JsonAlone, respond};
use crate::server::problem::Problem;
use crate::set::{MemberView, NoView, SetHandle};

/// What a member takes in the answer without its report: a name, and why it is silent.
const MEMBER_BYTES: usize = 1024;
/// `Retry-After` of a 503: a round of questions ends within it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Set {
    pub name: MemberName,
    pub views: SetHandle,
    pub memory: Budget,
    pub clock: Clock,
}

/// The answer of `/set`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Set)]
pub struct SetAnswer {
    /// The member that says this.
    #[serde(rename = "self")]
    pub own: String,
    /// When it had asked the others.
    #[schema(format = "date-time")]
    pub at: String,
    pub age_ms: u64,
    /// By ordinal: those that DNS lists, every voter, and members that DNS has ceased to list within ten minutes.
    pub members: Vec<SetMember>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SetMember {
    pub name: String,
    /// Null for a member without ordinal, which no other lists.
    #[schema(required, maximum = 1023)]
    pub ordinal: Option<u16>,
    #[serde(rename = "self")]
    pub own: bool,
    /// Whether DNS lists it.
    pub published: bool,
    /// Null for a member that answers.
    #[schema(required)]
    pub silent: Option<Silent>,
    /// Its newest report; null if it never answered this member.
    #[schema(value_type = Option<MemberReport>, required)]
    pub report: Option<Arc<MemberReport>>,
    #[schema(required)]
    pub report_age_ms: Option<u64>,
}

/// A member that doesn't answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Silent {
    /// The first time that it was asked in vain since it last answered.
    #[schema(format = "date-time")]
    pub since: String,
    /// Why, in one line.
    pub why: String,
}

/// `GET /set` → `{"self", "at", "age_ms", "members": [{"name", "ordinal", "self", "published", "silent", "report",
/// "report_age_ms"}]}` by ordinal.
#[utoipa::path(
    get, path = "/set", tag = "members", summary = "Every member, as this one sees it",
    description = "This member asks the others at most once a second, each for at most a second; requests in between get the \
        same view.",
    params(("format" = Option<JsonAlone>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "How each member is", content((SetAnswer = "application/json", example = json!({
            "self": "rg-1", "at": "2027-01-15T08:00:00.250114Z", "age_ms": 12, "members": [
                {"name": "rg-0", "ordinal": 0, "self": false, "published": true,
                    "silent": {"since": "2027-01-15T07:59:41.101377Z", "why": "no answer within 1 s"},
                    "report": null, "report_age_ms": null},
                {"name": "rg-1", "ordinal": 1, "self": true, "published": true, "silent": null, "report": {
                    "node": "worker-2", "version": "0.2.0", "started_at": "2027-01-15T07:00:00.311408Z",
                    "readiness": {"ready": true, "stopping": false, "degraded": [],
                        "latches": {"listeners": true, "volume": true, "entropy": true, "journal": true}},
                    "volume": {"bytes": 1_040_187_392, "used_bytes": 183_500_800},
                    "journal": {"bytes": 50_331_648, "max_bytes": 624_112_435, "fill": 0.07, "lag_ms": 2},
                    "ledger": {"rounds": 360, "oldest": 1, "newest": 360},
                    "lease": {"holder": "rg-1_2c5f0a1e-6b0b-4a3c-8a39-0d3f7a1e9c11-9f31c2d0", "member": "rg-1", "self": true,
                        "fence": 3, "acquired_at": "2027-01-15T07:59:58.250114Z", "remaining_ms": 13_870, "view_age_ms": 1_130},
                    "draws": {"head": {"round": 360, "slot": "2027-01-15T08:00:00Z", "missed": 1,
                        "missing": [{"ordinal": 0, "reason": "timeout"}]}, "next_slot": "2027-01-15T08:00:10Z"}
                }, "report_age_ms": 12}
            ]
        })))),
    ),
)]
pub(in crate::http) async fn set(request: PublicRequest<Set>) -> Answer {
    let (_, format) = request.read::<JsonAlone>(&["format"])?;
    let Set {
        name,
        views,
        memory,
        clock,
    } = &*request.state;
    let view = views.view().await.map_err(unavailable)?;
    let reports = view.members.iter().filter_map(|member| member.reported.as_ref());
    let reports: usize = reports.map(|reported| reported.bytes).sum();
    let hold = memory.take(view.members.len() * MEMBER_BYTES + reports).await?;
    let now = clock.boot();
    let answer = SetAnswer {
        own: name.to_string(),
        at: view.at.wall.timestamp().to_string(),
        age_ms: age_ms(view.at.boot, now),
        members: view.members.iter().map(|member| SetMember::of(member, now)).collect(),
    };
    let json = serde_json::to_vec(&answer).unwrap_or_default();
    Ok(respond(format, hold.attach(json)))
}

impl SetMember {
    fn of(member: &MemberView, now: Boot) -> SetMember {
        let silent = member.silence.as_ref().map(|silence| Silent {
            since: silence.since.timestamp().to_string(),
            why: silence.why.to_string(),
        });
        let reported = member.reported.as_ref();
        SetMember {
            name: member.name.to_string(),
            ordinal: member.name.ordinal,
            own: member.is_self,
            published: member.is_published,
            silent,
            report: reported.map(|reported| reported.report.clone()),
            report_age_ms: reported.map(|reported| age_ms(reported.at, now)),
        }
    }
}

fn age_ms(at: Boot, now: Boot) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
}

fn unavailable(error: NoView) -> Problem {
    Problem::unavailable(error.to_string(), RETRY_AFTER)
}
