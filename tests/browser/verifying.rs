//! "Verify this chain in my browser": the third verifier, on what the other two are tested with, and on members.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use random_generator::record::{Hex, Record};
use random_generator::server::limits::Limits;
use tokio::runtime::Runtime;

use crate::builder::{eventful, lines, reseal, short};
use crate::chromium::Chromium;
use crate::http_world::{Member, ledger};
use crate::page::{Page, WIDE};
use crate::set::Set;
use crate::url;
use crate::waiting::until;

fn vectors() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The page of a member with these records, and what it takes down with it.
fn shown(records: Vec<Record>) -> (Page, Member, Runtime) {
    let runtime = Runtime::new().unwrap();
    let member = {
        let _entered = runtime.enter();
        runtime.block_on(Member::start(Limits::public()))
    };
    serve(&member, records);
    let page = Page::open(&format!("http://{}/", member.running.address), WIDE);
    page.until_text("#served", "live");
    (page, member, runtime)
}

fn serve(member: &Member, records: Vec<Record>) {
    let records = records.into_iter().map(Arc::new).collect();
    member.ledger.send_replace(Arc::new(ledger(records)));
}

/// `judge(list, head)` in the page: the list in hexadecimal; "rule line".
const JUDGE: &str = "(async () => {
  const { Verifier, linesOf } = await import(new URL('dashboard/verifier.js', document.baseURI));
  const { fromHex } = await import(new URL('dashboard/encoding.js', document.baseURI));
  window.fromHex = fromHex;
  window.judge = async (bytes, head) => {
    const verifier = new Verifier();
    try {
      for (const line of linesOf(bytes)) await verifier.push(line);
      verifier.finish(head);
      return 'verified 0';
    } catch (error) {
      return `${error.rule} ${error.line ?? 0}`;
    }
  };
})()";

#[test]
fn the_verifier_in_the_browser_finds_in_each_vector_the_rule_that_it_breaks() {
    let (page, _member, _runtime) = shown(short());
    page.value(JUDGE);
    let index = fs::read_to_string(vectors().join("expected.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for row in index.lines().skip(1) {
        let [file, head, rule, line] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let list = hex::encode(fs::read(vectors().join(file)).unwrap());
        let head = if head == "-" {
            "null".to_owned()
        } else {
            format!("'{head}'")
        };
        let verdict = page.value(&format!("judge(fromHex('{list}'), {head})"));
        if verdict != format!("{rule} {line}") {
            wrong.push(format!("{file}: {verdict}, not {rule} {line}"));
        }
        tried += 1;
    }
    assert!(tried > 100);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn no_byte_of_a_chain_can_change_unseen_by_the_verifier_in_the_browser() {
    let (page, _member, _runtime) = shown(short());
    page.value(JUDGE);
    let list = hex::encode(lines(&short()));
    let try_all = format!(
        "(async () => {{
           const list = fromHex('{list}');
           const unseen = [];
           let tried = 0;
           for (let at = 0; at < list.length; at += 1) {{
             const changed = list.slice();
             changed[at] ^= 1;
             const shorter = new Uint8Array([...list.slice(0, at), ...list.slice(at + 1)]);
             for (const other of [changed, shorter]) {{
               tried += 1;
               if ((await judge(other, null)).startsWith('verified')) unseen.push(at);
             }}
           }}
           return `${{tried}} tried, unseen: ${{unseen}}`;
         }})()"
    );
    let tried = 2 * lines(&short()).len();
    assert_eq!(page.value(&try_all), format!("{tried} tried, unseen: "));
}

#[test]
fn the_button_verifies_a_good_chain_and_names_the_broken_rule_of_an_altered_one() {
    let (page, member, _runtime) = shown(eventful());
    page.press_button("verify");
    let said = page.until_text("#verify-text", "verified: ");
    let head = eventful().last().unwrap().hash;
    assert!(said.starts_with("verified: set rg, chain "), "{said}");
    assert!(
        said.contains("rounds 1 to 15: 15 records, 13 outputs, 100006 slots missed")
            && said.contains(&head.to_string()),
        "{said}"
    );
    let verdict = "document.getElementById('verify-text').className";
    assert_eq!(page.value(verdict), "verdict good");

    // An output that a holder would have liked, with a hash to match; and a record that hides who was missing.
    let mut altered = eventful();
    altered[6].output = Some(Hex([7; 64]));
    altered[6].hash = altered[6].computed_hash();
    serve(&member, altered);
    page.go(&format!("http://{}/", member.running.address));
    page.until_text("#served", "live");
    page.press_button("verify");
    let said = page.until_text("#verify-text", "not verified: ");
    assert_eq!(
        said,
        "not verified: line 7, round 7: output: it does not follow from the reveals"
    );
    assert_eq!(page.value(verdict), "verdict bad");

    let mut altered = eventful();
    let at = altered.iter().position(|record| !record.missing.is_empty()).unwrap();
    altered[at].missing.clear();
    altered[at] = reseal(altered[at].clone());
    serve(&member, altered);
    page.go(&format!("http://{}/", member.running.address));
    page.press_button("verify");
    let said = page.until_text("#verify-text", "not verified: ");
    let next = at + 2;
    let begins = format!("not verified: line {next}, round {next}: previous: ");
    assert!(said.starts_with(&begins), "{said}");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_list_that_lacks_what_the_stream_gave_is_not_verified() {
    let (page, member, _runtime) = shown(eventful());
    page.until_text("#newest-title", "Draw 15");
    // The same records, and then fewer: as a member would answer that hides the newest.
    serve(&member, eventful()[..12].to_vec());
    page.press_button("verify");
    let said = page.until_text("#verify-text", "not verified: ");
    assert_eq!(
        said,
        "not verified: head: the list ends with round 12, and the stream gave 15"
    );
}

#[test]
fn a_long_chain_is_verified_in_pages_shows_how_far_it_is_and_can_be_stopped() {
    let records = crate::linked::linked(7, 1_800_000_000, 1..=3_000);
    let (page, _member, _runtime) = shown(records);
    page.until_text("#newest-title", "Draw 3000");
    page.press_button("verify");
    page.until("progress", "document.getElementById('verify-progress').value > 100");
    assert_eq!(page.text("#verify"), "Stop");
    page.press_button("verify");
    page.until_text("#verify-text", "Stopped after ");
    page.press_button("verify");
    page.until_text("#verify-text", "rounds 1 to 3000: 3000 records");
    let pages = page
        .requests()
        .into_iter()
        .filter(|asked| asked.contains("/draws?format=jsonl&limit=200&from="));
    assert!(pages.count() >= 14);
    assert_eq!(page.complaints_of_the_page(), [""; 0]);
}

#[test]
fn the_chain_of_a_set_is_verified_while_it_grows_and_after_its_holder_was_killed() {
    let mut set = Set::start(3, &[]);
    let holder = set.holder();
    let asked = (holder + 1) % 3;
    let page = Page::open(&url(&set, asked), WIDE);
    page.until_text("#newest-title", "Draw ");
    page.press_button("verify");
    page.until_text("#verify-text", "verified: set rg");
    set.take(holder).kill();
    page.until_text("#events", " missed before draw ");
    until("the chain with the gap verifies", || {
        page.press_button("verify");
        let said = page.until_text("#verify-text", "In ");
        assert!(said.starts_with("verified: set rg"), "{said}");
        (!said.contains(" 0 slots missed")).then_some(())
    });
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn over_plain_http_from_another_host_the_page_says_why_it_cant_verify_and_what_to_do() {
    let set = Set::start(1, &[]);
    let base = set.member(0).base;
    let chromium = Chromium::start(&["--host-resolver-rules=MAP member.test 127.0.0.1"]);
    let page = Page::open_in(chromium, &format!("http://member.test:{base}/"), WIDE);
    page.until_text("#served", "live");
    assert_eq!(page.value("document.getElementById('verify').disabled"), true);
    assert!(page.text("#verify-text").contains("only for localhost and over HTTPS"));
    // All else works.
    page.until_text("#newest-title", "Draw ");
    page.until_text("#histogram-text", "numbers, ideally");
    assert_eq!(page.complaints(), [""; 0]);
}
