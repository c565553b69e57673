//! What the page shows while members live, die and pause.

use std::time::Duration;

use random_generator::clock::Clock;
use rustix::process::Signal;

use crate::harness::Member;
use crate::page::{Page, WIDE};
use crate::relay::Relay;
use crate::set::Set;
use crate::waiting::until;
use crate::{card, url};

/// Within so long the page says what happened.
pub const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// How long it takes until the condition holds.
pub fn takes(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let clock = Clock::system();
    let began = clock.boot();
    until(what, || holds().then_some(()));
    clock.boot().since(began)
}

fn seen_in_time(what: &str, holds: impl FnMut() -> bool) {
    let took = takes(what, holds);
    assert!(took <= SEEN_WITHIN, "{what}: only after {took:?}");
}

#[test]
fn a_healthy_set_is_shown_by_ordinal_and_only_its_member_is_asked() {
    let set = Set::start(3, &["--node-name", "worker-1"]);
    let holder = set.holder();
    let page = Page::open(&url(&set, 0), WIDE);
    page.until("three cards", "document.querySelectorAll('#members h3').length === 3");
    let names = page.value("[...document.querySelectorAll('#members h3')].map(name => name.innerText).join(' ')");
    assert_eq!(names, "rg-0 rg-1 rg-2");
    until("each says how it is", || {
        let cards: Vec<String> = (0..3).map(|n| card(&page, &format!("rg-{n}"))).collect();
        let ready = cards
            .iter()
            .all(|text| text.contains("ready") || text.contains("leads"));
        let leads =
            cards[usize::from(holder)].contains("leads") && cards[usize::from(holder)].contains("s left, fence ");
        let rest = cards
            .iter()
            .all(|text| text.contains("worker-1") && text.contains("% full") && text.contains(" rounds, newest "));
        (ready && leads && rest).then_some(())
    });
    assert!(card(&page, "rg-0").contains("this page"));
    assert!(page.text("#served").contains("live, from rg-0"));
    // What is left of the lease runs down smoothly between two answers.
    let lease =
        "Number(document.querySelector('#members .leads .bar.lease > span').style.transform.match(/[0-9.]+/)[0])";
    let values = format!(
        "new Promise(done => {{ const seen = new Set(); const timer = setInterval(() => {{ seen.add({lease}); if (seen.size > 5) {{ clearInterval(timer); done(seen.size); }} }}, 20) }})"
    );
    assert!(page.value(&values).as_u64().unwrap() > 5);
    let origin = url(&set, 0);
    let elsewhere: Vec<String> = page
        .requests()
        .into_iter()
        .filter(|asked| !asked.starts_with(&origin))
        .collect();
    assert_eq!(elsewhere, [""; 0]);
    let heights =
        "new Set([...document.querySelectorAll('#members dl')].map(rows => rows.getBoundingClientRect().top)).size";
    assert_eq!(page.value(heights), 1, "the rows of the cards are not at one height");
    assert_eq!(page.complaints(), [""; 0]);
    assert_eq!(page.text("#banner"), "");
}

#[test]
fn when_the_holder_is_killed_the_page_says_who_is_gone_and_then_who_leads() {
    let mut set = Set::start(3, &[]);
    let holder = set.holder();
    let asked = (holder + 1) % 3;
    let page = Page::open(&url(&set, asked), WIDE);
    let name = format!("rg-{holder}");
    until("the leader is shown", || {
        card(&page, &name).contains("leads").then_some(())
    });
    set.take(holder).kill();
    seen_in_time("who is gone", || card(&page, &name).contains("silent for"));
    assert!(card(&page, &name).contains("No answer since ") && card(&page, &name).contains("refused"));
    page.until_text("#events", &format!("{name} is gone: "));
    // The lease of two seconds, its acquisition, and what the page may take.
    let led = takes("who leads", || {
        let leads = |ordinal: u16| card(&page, &format!("rg-{ordinal}")).contains("leads");
        (0..3).filter(|ordinal| *ordinal != holder).any(leads)
    });
    assert!(led <= Duration::from_secs(2 + 2) + SEEN_WITHIN, "only after {led:?}");
    page.until_text("#events", " leads, fence ");
    set.start_member(holder, &[]);
    until("it is back", || {
        let text = card(&page, &name);
        (text.contains("ready") && !text.contains("silent")).then_some(())
    });
    page.until_text("#events", &format!("{name} was gone: its process ended"));
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_paused_member_is_shown_as_silent_and_its_old_report_as_old() {
    let set = Set::start(3, &[]);
    let paused = set.follower();
    let asked = (0..3).find(|ordinal| *ordinal != paused).unwrap();
    let page = Page::open(&url(&set, asked), WIDE);
    let name = format!("rg-{paused}");
    until("it answers", || card(&page, &name).contains("newest").then_some(()));
    set.member(paused).signal(Signal::STOP);
    seen_in_time("who is silent", || card(&page, &name).contains("silent for"));
    assert!(card(&page, &name).contains("no answer within 1 s"));
    until("how old its report is", || {
        let text = card(&page, &name);
        let (_, age) = text.split_once("Report")?;
        let age: f64 = age.split_whitespace().next()?.parse().ok()?;
        (age >= 3.0).then_some(())
    });
    set.member(paused).signal(Signal::CONT);
    page.until_text("#events", &format!("{name} answers again"));
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn when_its_own_member_dies_or_pauses_the_page_says_so_and_goes_on_when_it_answers() {
    let mut set = Set::start(3, &[]);
    let asked = set.follower();
    let name = format!("rg-{asked}");
    let page = Page::open(&url(&set, asked), WIDE);
    page.until_text("#served", "live");
    set.member(asked).signal(Signal::STOP);
    seen_in_time("that it is paused", || {
        page.text("#banner").contains("hasn't answered since")
    });
    set.member(asked).signal(Signal::CONT);
    page.until_text("#banner", &format!("{name} answers again"));
    set.take(asked).kill();
    seen_in_time("that it is gone", || {
        page.text("#banner")
            .starts_with(&format!("{name}, which this page came from, hasn't answered since"))
    });
    assert_eq!(
        page.value("document.getElementById('members').className"),
        "cards stale"
    );
    // What was known stays.
    assert!(card(&page, &name).contains("newest"));
    set.start_member(asked, &[]);
    page.until_text("#banner", &format!("{name} answers again"));
    page.until_text("#served", &format!("live, from {name}"));
    page.until(
        "the good news goes",
        "document.getElementById('banner').innerText === ''",
    );
    assert_eq!(page.complaints_of_the_page(), [""; 0]);
}

#[test]
fn a_leader_that_the_page_came_from_and_that_falls_silent_is_not_shown_to_lead_beyond_its_lease() {
    let set = Set::start(3, &[]);
    let holder = set.holder();
    let name = format!("rg-{holder}");
    let page = Page::open(&url(&set, holder), WIDE);
    until("it leads", || card(&page, &name).contains("leads").then_some(()));
    set.member(holder).signal(Signal::STOP);
    page.until_text("#banner", "hasn't answered since");
    page.until_text("#next-draw", "unknown");
    until("its lease has run out", || {
        let text = card(&page, &name);
        (text.contains("Its lease has run out") && !text.contains("leads")).then_some(())
    });
    set.member(holder).signal(Signal::CONT);
    page.until_text("#banner", &format!("{name} answers again"));
    page.until_text("#next-draw", "Next draw in");
}

#[test]
fn behind_one_address_another_member_takes_over_and_the_page_says_which() {
    let mut set = Set::start(3, &[]);
    let relay = Relay::start(&[set.member(0).base, set.member(1).base, set.member(2).base]);
    let page = Page::open(&relay.url(), WIDE);
    page.until_text("#served", "live, from rg-0");
    set.take(0).kill();
    seen_in_time("who answers now", || page.text("#served").contains("live, from rg-1"));
    page.until_text("#events", "rg-1 answers now");
    assert!(card(&page, "rg-1").contains("this page"));
    until("rg-0 is shown as silent", || {
        card(&page, "rg-0").contains("silent").then_some(())
    });
    assert_eq!(page.complaints_of_the_page(), [""; 0]);
}

#[test]
fn a_member_without_ordinal_says_that_it_takes_part_in_no_draws() {
    let directory = tempfile::tempdir().unwrap();
    let member = Member::start(&directory.path().join("volume"), &["--pod-name", "web-7d4b9c5f6-24568"]);
    let page = Page::open(&format!("http://127.0.0.1:{}/dashboard", member.base), WIDE);
    page.until_text("#next-draw", "web-7d4b9c5f6-24568 has no ordinal");
    assert!(card(&page, "web-7d4b9c5f6-24568").contains("none: a member without ordinal"));
    assert_eq!(page.text("#newest-by"), "…");
    assert_eq!(page.text("#set-name"), "");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_member_of_a_set_that_has_not_drawn_yet_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--pod-name", "rg-0", "--draw-schedule", "0 0 29 2 *"];
    let member = Member::start(&directory.path().join("volume"), &arguments);
    let page = Page::open(&format!("http://127.0.0.1:{}/", member.base), WIDE);
    page.until_text("#newest-by", "nobody yet");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_page_that_is_opened_in_a_hidden_tab_asks_nothing_until_it_is_seen() {
    let set = Set::start(1, &[]);
    let page = Page::open("about:blank", WIDE);
    page.before_others("Object.defineProperty(document, 'hidden', { value: true, configurable: true })");
    page.go(&url(&set, 0));
    page.value("new Promise(done => setTimeout(done, 1500))");
    let loads = |asked: &String| asked.contains("/dashboard/") || *asked == url(&set, 0);
    let asked: Vec<String> = page.requests().into_iter().filter(|asked| !loads(asked)).collect();
    assert_eq!(asked, [""; 0]);
    page.value("Object.defineProperty(document, 'hidden', { value: false }), document.dispatchEvent(new Event('visibilitychange'))");
    page.until_text("#served", "live");
    page.until_text("#newest-title", "Draw ");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_hidden_page_asks_nothing_and_goes_on_once_it_is_seen() {
    let set = Set::start(1, &[]);
    let page = Page::open(&url(&set, 0), WIDE);
    page.until_text("#served", "live");
    let hide = |hidden: bool| {
        let hide = format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}), document.dispatchEvent(new Event('visibilitychange')), true"
        );
        page.value(&hide);
    };
    hide(true);
    page.until_text("#served", "paused");
    let rounds = || set.member(0).metric("random_generator_set_rounds_total");
    let before = rounds();
    assert!(before > 0.0);
    // The time for three views, by the page's own clock.
    page.value("new Promise(done => setTimeout(done, 3500))");
    assert_eq!(rounds(), before);
    hide(false);
    page.until_text("#served", "live");
    // What it said of its member before it was hidden doesn't stay.
    set.member(0).signal(Signal::STOP);
    page.until_text("#banner", "hasn't answered since");
    hide(true);
    set.member(0).signal(Signal::CONT);
    hide(false);
    page.until_text("#banner", "rg-0 answers again");
    assert_eq!(page.complaints_of_the_page(), [""; 0]);
}
