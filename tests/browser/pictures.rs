//! The pictures in the documents: of a set whose leader was killed, and of what a visitor may press. `make dashboard-pictures`
//! takes them again.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::page::{Page, Screen};
use crate::set::Set;
use crate::url;
use crate::waiting::until;

/// Small enough for a README.
const MOST: usize = 150_000;

/// A calm screen: no block of the chain is half there.
fn screen(scheme: &'static str) -> Screen {
    Screen {
        width: 1000,
        height: 800,
        scheme,
        motion: "reduce",
    }
}

/// Whether it is a picture that a document may show, and so is the one there; that is replaced if asked to.
fn keep(name: &str, picture: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("RANDOM_GENERATOR_UPDATE_DOCS").is_some() {
        fs::write(&path, picture).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}: make dashboard-pictures"));
    for picture in [picture, &kept] {
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() < MOST,
            "{name}: {} bytes",
            picture.len()
        );
    }
}

fn until_rounds(page: &Page, count: u32) {
    page.until(
        "draws",
        &format!("document.querySelectorAll('#chain th.draw').length >= {count}"),
    );
}

#[test]
fn the_picture_in_the_readme_is_of_a_set_whose_leader_was_killed() {
    let mut set = Set::start(3, &[]);
    let holder = set.holder();
    let page = Page::open(&url(&set, (holder + 1) % 3), screen("light"));
    until_rounds(&page, 9);
    set.take(holder).kill();
    page.until_text("#events", " leads, fence ");
    page.until_text("#events", " without rg-");
    let missing = "document.querySelectorAll('#chain tbody .mark.missing').length >= 4";
    page.until("draws without it", missing);
    page.until_text("#next-draw", "Next draw in");
    keep(
        "dashboard.png",
        &page.picture("header", "main > section:nth-of-type(2)", 1.0),
    );
}

#[test]
fn the_picture_in_the_page_about_http_is_of_what_happened_a_chain_that_was_verified_and_a_histogram() {
    let set = Set::start(3, &[]);
    let paused = set.follower();
    let page = Page::open(&url(&set, (paused + 1) % 3), screen("dark"));
    until_rounds(&page, 4);
    set.member(paused).signal(Signal::STOP);
    page.until_text("#events", " is gone: ");
    page.until_text("#events", " without rg-");
    set.member(paused).signal(Signal::CONT);
    page.until_text("#events", "with everyone again");
    until("some numbers", || {
        let text = page.text("#histogram-text").replace(',', "");
        let count: u32 = text.split(' ').next()?.parse().ok()?;
        (count >= 6_000).then_some(())
    });
    page.press_button("draw-number");
    page.press_button("roll-dice");
    page.press_button("verify");
    page.until_text("#verify-text", "verified: ");
    page.until("dice", "document.querySelectorAll('.die').length === 5");
    page.value("document.activeElement.blur()");
    keep(
        "dashboard-dark.png",
        &page.picture("main > .columns", "main > .columns:last-child", 0.8),
    );
}
