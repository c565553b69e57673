//! The chain of draws, as it grows on the page.

use std::sync::Arc;

use random_generator::server::limits::Limits;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http_world::{Member, chain, ledger};
use crate::linked::linked;
use crate::page::{NARROW, Page, WIDE};
use crate::set::Set;
use crate::url;
use crate::waiting::until;

/// The rounds that are shown, oldest first.
fn rounds(page: &Page) -> Vec<u64> {
    let shown = page.value("[...document.querySelectorAll('#chain th.draw')].map(round => Number(round.innerText))");
    shown
        .as_array()
        .unwrap()
        .iter()
        .map(|round| round.as_u64().unwrap())
        .collect()
}

fn is_row(rounds: &[u64]) -> bool {
    rounds.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

/// The class of a member's mark in the column of a round; null while either isn't there.
fn mark(page: &Page, name: &str, round: u64) -> Value {
    page.value(&format!(
        "(() => {{ const row = [...document.querySelectorAll('#chain tbody tr')].find(row => row.cells[0].innerText === '{name}'); \
         const place = [...document.querySelectorAll('#chain thead th')].findIndex(head => head.querySelector('.block')?.innerText === '{round}'); \
         return row?.cells[place]?.querySelector('.mark')?.className ?? null; }})()"
    ))
}

#[test]
fn each_draw_comes_with_who_gave_and_its_output_as_text_and_as_a_picture() {
    let set = Set::start(3, &[]);
    let page = Page::open(&url(&set, 1), WIDE);
    until("draws come", || (rounds(&page).len() >= 4).then_some(()));
    let first = rounds(&page);
    until("one more", || (rounds(&page).last() > first.last()).then_some(()));
    assert!(is_row(&rounds(&page)), "{:?}", rounds(&page));
    // All of one moment, so that no draw comes in between.
    let shown = page.value(
        "(() => { const canvas = document.getElementById('bits'), context = canvas.getContext('2d'), size = canvas.width / 32; \
         const data = context.getImageData(0, 0, canvas.width, canvas.height).data; \
         const colour = (x, y) => { const at = 4 * ((y * size + 2) * canvas.width + x * size + 2); return data.slice(at, at + 4).join(); }; \
         const bits = Array.from({ length: 512 }, (_, bit) => colour(bit % 32, Math.floor(bit / 32))); \
         return { round: Number(document.getElementById('newest-title').innerText.match(/[0-9]+/)[0]), bits, \
           output: document.getElementById('newest-output').innerText, hash: document.getElementById('newest-hash').innerText }; })()",
    );
    let round = shown["round"].as_u64().unwrap();
    let record = set.member(0).json(&format!("/draws/{round}"));
    assert_eq!((&shown["output"], &shown["hash"]), (&record["output"], &record["hash"]));
    let bytes = hex::decode(record["output"].as_str().unwrap()).unwrap();
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    let colours: Vec<&Value> = shown["bits"].as_array().unwrap().iter().collect();
    let seen: std::collections::BTreeSet<(u8, String)> = bits
        .zip(colours)
        .map(|(bit, colour)| (bit, colour.to_string()))
        .collect();
    assert_eq!(seen.len(), 2, "one colour for each kind of bit: {seen:?}");
    let holder = record["holder"].as_str().unwrap().split('_').next().unwrap();
    for name in ["rg-0", "rg-1", "rg-2"] {
        let expected = if name == holder { "mark gave held" } else { "mark gave" };
        until("its mark", || (mark(&page, name, round) == expected).then_some(()));
    }
    page.until_text("#next-draw", "Next draw in");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_member_that_was_missing_and_slots_that_were_missed_leave_their_marks() {
    let mut set = Set::start(3, &[]);
    let holder = set.holder();
    let asked = (holder + 1) % 3;
    let paused = (holder + 2) % 3;
    let page = Page::open(&url(&set, asked), WIDE);
    until("draws come", || (rounds(&page).len() >= 2).then_some(()));
    set.member(paused).signal(Signal::STOP);
    let name = format!("rg-{paused}");
    until("it is missing", || {
        let newest = *rounds(&page).last()?;
        (mark(&page, &name, newest) == "mark missing").then_some(())
    });
    page.until_text("#events", &format!("without {name} ("));
    set.member(paused).signal(Signal::CONT);
    page.until_text("#events", "with everyone again");
    set.take(holder).kill();
    page.until("a gap", "document.querySelectorAll('#chain th.gap').length > 0");
    page.until_text("#events", " missed before draw ");
    assert!(is_row(&rounds(&page)), "{:?}", rounds(&page));
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn after_its_member_was_away_the_chain_goes_on_without_a_draw_twice_or_left_out() {
    let mut set = Set::start(3, &[]);
    let asked = set.follower();
    let page = Page::open(&url(&set, asked), WIDE);
    until("draws come", || (rounds(&page).len() >= 2).then_some(()));
    let first = rounds(&page)[0];
    // Paused, its stream stays open, and silent.
    set.member(asked).signal(Signal::STOP);
    page.until_text("#banner", "hasn't answered since");
    set.member(asked).signal(Signal::CONT);
    page.until_text("#served", "live");
    set.take(asked).kill();
    page.until_text("#served", "no answer");
    let before = *rounds(&page).last().unwrap();
    set.start_member(asked, &[]);
    until("it goes on", || (*rounds(&page).last()? > before + 2).then_some(()));
    let shown = rounds(&page);
    assert!(is_row(&shown) && shown[0] == first, "{shown:?}");
    assert_eq!(page.complaints_of_the_page(), [""; 0]);
}

#[test]
fn a_page_of_a_long_chain_shows_and_holds_the_newest_sixty() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let member = runtime.block_on(Member::start(Limits::public()));
    let records = chain(1..=360);
    member.ledger.send_replace(Arc::new(ledger(records.clone())));
    let page = Page::open(&format!("http://{}/", member.running.address), WIDE);
    until("the newest sixty", || {
        (rounds(&page) == (301..=360).collect::<Vec<_>>()).then_some(())
    });
    let more = chain(1..=420);
    member.ledger.send_replace(Arc::new(ledger(more)));
    until("the sixty after", || {
        (rounds(&page) == (361..=420).collect::<Vec<_>>()).then_some(())
    });
    let scrolled = "(box => Math.abs(box.scrollWidth - box.clientWidth - box.scrollLeft) < 2)(document.getElementById('chain-scroller'))";
    assert_eq!(page.value(scrolled), json!(true), "the newest is in sight");
    // A person began another chain.
    let other = linked(8, 1_900_000_000, 1..=3).into_iter().map(Arc::new).collect();
    member.ledger.send_replace(Arc::new(ledger(other)));
    until("the other chain", || (rounds(&page) == [1, 2, 3]).then_some(()));
    page.until_text("#events", "another chain from round 1 on");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn on_a_screen_of_360_pixels_the_name_of_a_member_stays_on_one_line() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let member = runtime.block_on(Member::start(Limits::public()));
    member.ledger.send_replace(Arc::new(ledger(chain(1..=60))));
    let page = Page::open(&format!("http://{}/", member.running.address), NARROW);
    until("sixty columns", || (rounds(&page).len() == 60).then_some(()));
    let lines = "[...document.querySelectorAll('#chain tbody th')].map(name => { const text = document.createRange(); text.selectNodeContents(name.querySelector('.name').firstChild); \
                 return new Set([...text.getClientRects()].map(line => line.top)).size; })";
    let lines = page.value(lines);
    assert!(lines.as_array().is_some_and(|all| !all.is_empty()), "{lines}");
    assert!(lines.as_array().unwrap().iter().all(|count| *count == 1), "{lines}");
}
