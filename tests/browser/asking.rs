//! What the page asks for: a number, dice, integers for the histogram, and as much as it can.

use std::sync::atomic::Ordering;

use random_generator::server::limits::Limits;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::http_world::Member;
use crate::page::{Page, WIDE};
use crate::waiting::until;

/// A member that counts up in place of random numbers, and the page of it.
fn shown() -> (Runtime, Member, Page) {
    let runtime = Runtime::new().unwrap();
    let member = {
        let _entered = runtime.enter();
        runtime.block_on(Member::start(Limits::public()))
    };
    let page = Page::open(&url(&member), WIDE);
    page.until_text("#served", "live");
    (runtime, member, page)
}

fn url(member: &Member) -> String {
    format!("http://{}/dashboard", member.running.address)
}

/// How often this was asked for.
fn asked(member: &Member, target: &str) -> usize {
    let entries = member.journal.entries.lock().unwrap();
    entries.iter().filter(|entry| entry.target == target).count()
}

#[test]
fn a_number_is_shown_as_it_was_given_out_and_a_refusal_in_its_place() {
    let (_runtime, member, page) = shown();
    page.press_button("draw-number");
    let shown = page.until("a number", "document.querySelector('#number .big')?.innerText");
    let given = member
        .journal
        .entries
        .lock()
        .unwrap()
        .iter()
        .find_map(|entry| entry.value);
    let digits = shown.as_str().unwrap().replace(|c: char| !c.is_ascii_digit(), "");
    assert_eq!(Some(digits.parse().unwrap()), given);
    member.journal.full.store(true, Ordering::SeqCst);
    page.press_button("draw-number");
    page.until_text("#number", "can't write the journal: no space left");
    member.journal.full.store(false, Ordering::SeqCst);
    page.press_button("draw-number");
    page.until("a number again", "document.querySelector('#number .big')?.innerText");
    let complaints = page.complaints().into_iter();
    let others: Vec<String> = complaints.filter(|complaint| !complaint.contains("503")).collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn five_dice_show_as_many_pips_as_they_say_and_their_sum() {
    let (_runtime, _member, page) = shown();
    page.press_button("roll-dice");
    let dice = page.until(
        "five dice",
        "(dice => dice.length === 5 && dice.map(die => [Number(die.getAttribute('aria-label')), die.querySelectorAll('.pip').length]))([...document.querySelectorAll('.die')])",
    );
    let mut sum = 0;
    for die in dice.as_array().unwrap() {
        let value = die[0].as_u64().unwrap();
        assert!((1..=6).contains(&value) && die[1] == value, "{die}");
        sum += value;
    }
    assert!(page.text("#dice").contains(&format!("together {sum}")));
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn the_histogram_counts_what_came_can_be_paused_and_ends_by_itself() {
    let (_runtime, member, page) = shown();
    // Its seconds last 20 ms.
    page.before_others("const later = setTimeout; window.setTimeout = (act, ms, ...more) => later(act, ms === 1000 ? 20 : ms, ...more);");
    page.go(&url(&member));
    page.until_text("#histogram-text", "numbers, ideally");
    page.press_button("histogram-button");
    page.until_text("#histogram-button", "Go on");
    page.value("document.getElementById('counts').open = true");
    let counts = "[...document.querySelectorAll('#counts-rows td')].map(count => Number(count.innerText.replace(/[^0-9]/g, '')))";
    let total = || page.value(&format!("({counts}).reduce((sum, count) => sum + count, 0)"));
    page.until("its table", &format!("({counts}).length === 20"));
    // What was under way when it was paused has come.
    let paused = until("nothing more comes", || {
        let before = total();
        page.value("new Promise(done => requestAnimationFrame(() => later(done, 200)))");
        (before == total()).then_some(before)
    });
    assert!(
        page.text("#histogram-text")
            .replace(',', "")
            .starts_with(&format!("{paused} numbers"))
    );
    page.press_button("histogram-button");
    page.until_text("#histogram-button", "Draw 30,000 more");
    assert_eq!(total(), json!(30_000));
    let painted = "(canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value))(document.getElementById('histogram'))";
    assert_eq!(page.value(painted), json!(true));
    let target = "/integers?min=1&max=20&count=500";
    let all = asked(&member, target);
    page.value("new Promise(done => later(done, 300))");
    assert_eq!(asked(&member, target), all, "it asks no longer");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_burst_of_requests_is_measured_and_ends() {
    let (_runtime, member, page) = shown();
    page.press_button("burst");
    page.until_text("#burst-text", "Asking");
    let said = page.until_text("#burst-text", " a second.");
    let given: usize = said.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    assert!(given > 50, "{said}");
    assert_eq!(asked(&member, "/?format=json"), given);
    page.until_text("#rate-text", "in the last minute");
    // The set was asked meanwhile.
    assert_eq!(page.text("#banner"), "");
    assert_eq!(page.complaints(), [""; 0]);
}
