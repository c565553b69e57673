//! The dashboard in a real browser: Debian's Chromium, headless, in front of real members. `make dashboard-check` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)] // a test fails by panicking; make dashboard-pictures
#![allow(clippy::duplicate_mod)] // members of both kinds bring the same files

mod chromium;
#[path = "../member/harness.rs"]
#[allow(dead_code)] // what other tests ask of it
mod harness;
#[path = "../http_world/mod.rs"]
mod http_world;
#[path = "../linked/mod.rs"]
mod linked;
mod page;
mod relay;
#[path = "../member/set.rs"]
#[allow(dead_code)] // what other tests ask of it
mod set;
#[path = "../waiting/mod.rs"]
mod waiting;

#[path = "../verify/builder.rs"]
#[allow(dead_code)] // what the other verifiers' tests ask of it
mod builder;

mod asking;
mod cluster;
mod drawing;
mod pictures;
mod reading;
mod verifying;
mod watching;

use page::Page;
use set::Set;

/// The dashboard of a member.
fn url(set: &Set, ordinal: u16) -> String {
    format!("http://127.0.0.1:{}/", set.member(ordinal).base)
}

/// What the card of a member says.
fn card(page: &Page, name: &str) -> String {
    let find = format!(
        "[...document.querySelectorAll('#members > li')].find(card => card.querySelector('h3')?.innerText === '{name}')?.innerText ?? ''"
    );
    page.value(&find).as_str().unwrap().to_owned()
}
