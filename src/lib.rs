//! The clustered random generator: the reference workload for Kubernetes StatefulSets.
//!
//! The modules, in the order in which to read them:
//!
//! - [`lease_election`], a crate of its own: the elector, its stores, and [`clock`]: boot time and wall time.
//! - [`shutdown`]: the order to stop, passed on in stages.
//! - [`identity`]: who this member is; the owner mark and lock of its volume.
//! - [`config`]: the only reader of arguments and environment; raw arguments become a checked configuration once.
//! - [`record`]: what a draw is: [`record::schedule`] says when, [`record::chain`] what follows what.
//! - [`draw`]: how a draw is made: the
//!   holder's side ([`draw::conductor`]), the peer's side ([`draw::contributor`]) and what a volume keeps ([`draw::ledger`]).
//! - [`lease`]: what a draw adds to the election: the record that travels with the lease.
//! - [`discovery`]: SRV records become a watch of peer lists.
//! - [`generator`]: random numbers, ranges without bias, ids from ordinals.
//! - [`journal`]: what was given out, on the volume; one writer thread, group commit.
//! - [`backoff`]: waits between attempts. [`files`]: replaces files whole. [`table`]: text in columns.
//! - [`database`]: opens a SQLite file properly; journal and ledger go through it.
//! - [`client`]: the one HTTP client, for peers, members, sinks and collectors; TCP or TLS, every request bounded.
//! - [`listen`]: where a listener listens: in both families where the host has both.
//! - [`server`]: HTTP as every listener serves it.
//! - [`peer`]: what members ask each other: messages, signature, listener and client.
//! - [`set`]: how every member is, as one view that members collect from each other.
//! - [`dashboard`]: the page for people, and what it loads.
//! - [`http`]: the public, admin and metrics listeners.
//! - [`trace`]: which request or draw a piece of work belongs to, within a member and between members.
//! - [`otlp`](https://opentelemetry.io/docs/specs/otlp/), with the feature of that name: sends what was done to a collector.
//! - [`readiness`], [`telemetry`], [`metrics`]: how a member is, as probes, logs and Prometheus read it.
//! - [`member`]: the composition root: builds the parts, starts and stops them in order.
//! - [`local`]: `cluster`, a set of real members on this machine, with its DNS server.
//! - [`cli`]: one file a subcommand; [`exit`]: the codes that a process ends with.
//!
//! How data flows between them and what holds always is in `ARCHITECTURE.md`; the rules of lease and draw, by their numbers,
//! in `docs/protocol.md`.

pub mod backoff;
pub mod cli;
pub mod client;
pub mod config;
pub mod dashboard;
pub mod database;
pub mod discovery;
pub mod draw;
pub mod exit;
pub mod files;
pub mod generator;
pub mod http;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod listen;
pub mod local;
pub mod member;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod peer;
pub mod readiness;
pub mod record;
pub mod server;
pub mod set;
pub mod shutdown;
pub mod table;
pub mod telemetry;
pub mod trace;

pub use lease_election::clock;
