//! The public listener: numbers, ids, draws, members, and this member's state. One file and one state a group.

pub mod derived;
pub mod draws;
pub mod entry;
pub mod ids;
pub mod members;
pub mod numbers;
pub mod request;
pub mod set;
pub mod status;
pub mod stream;

use std::sync::Arc;

use self::draws::Draws;
use self::entry::JournalSink;
use self::ids::{IdSource, Ids};
use self::members::Members;
use self::numbers::{NumberSource, Numbers};
use self::set::Set;
use self::status::Status;
use super::{dashboard, docs};
use crate::server::routes::{Paths, Routes, get};

const READ: &str = "GET, HEAD";

/// The state of each group of paths.
#[derive(Debug)]
pub struct Public<N, I, J> {
    pub numbers: Numbers<N, J>,
    pub ids: Ids<I, J>,
    pub draws: Draws,
    pub members: Members,
    pub set: Set,
    pub status: Status,
}

/// The paths of the public listener.
pub fn paths<N: NumberSource, I: IdSource, J: JournalSink>(public: Public<N, I, J>, routes: Routes) -> Paths {
    routes
        .group(Arc::new(public.numbers), |group| {
            group
                .route("/", READ, get(numbers::root::random))
                .route("/integers", READ, get(numbers::integers::integers))
                .route("/decimals", READ, get(numbers::decimals::decimals))
                .route("/gaussians", READ, get(numbers::gaussians::gaussians))
                .route("/bytes", READ, get(numbers::bytes::bytes))
                .route("/strings", READ, get(numbers::strings::strings))
                .route("/uuids", READ, get(numbers::uuids::uuids))
                .route("/shuffle", READ, get(numbers::shuffle::shuffle))
                .route("/sequence", READ, get(numbers::sequence::sequence))
        })
        .group(Arc::new(public.ids), |group| group.route("/ids", READ, get(ids::ids)))
        .group(Arc::new(public.draws), |group| {
            group
                .route("/draws", READ, get(draws::list))
                .route("/draws/latest", READ, get(draws::latest))
                .route("/draws/stream", READ, get(stream::stream))
                .route("/draws/{round}", READ, get(draws::one))
                .route("/draws/{round}/integers", READ, get(derived::integers))
        })
        .group(Arc::new(public.members), |group| {
            group
                .route("/peers", READ, get(members::peers))
                .route("/leader", READ, get(members::leader))
        })
        .group(Arc::new(public.set), |group| group.route("/set", READ, get(set::set)))
        .group(Arc::new(public.status), |group| {
            group
                .route("/livez", READ, get(status::live))
                .route("/readyz", READ, get(status::ready))
                .route("/version", READ, get(status::version))
                .route("/openapi.json", READ, get(docs::description))
                .route("/docs", READ, get(docs::page))
                .route("/dashboard", READ, get(dashboard::page))
                .route("/dashboard/{file}", READ, get(dashboard::file))
        })
        .finish()
}
