//! The dashboard over HTTP: who gets it, with which headers, and that it loads nothing from anywhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::collections::BTreeSet;

use http_world::{Member, Reply, request};
use random_generator::dashboard::{FILES, PAGE};
use random_generator::server::limits::Limits;

const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

async fn ask(member: &Member, method: &str, target: &str, headers: &str) -> Reply {
    request(member.running.address, method, target, headers, b"").await
}

fn is_page(reply: &Reply) -> bool {
    reply.header("content-type") == Some("text/html; charset=utf-8") && reply.text() == PAGE.content
}

#[tokio::test]
async fn a_browser_gets_the_page_at_the_root_and_everyone_else_a_number() {
    let member = Member::start(Limits::public()).await;
    for (headers, page) in [
        (BROWSER, true),
        ("accept: text/html\r\n", true),
        ("", false),
        ("accept: */*\r\n", false),
        ("accept: application/json\r\n", false),
        ("accept: text/plain\r\n", false),
        ("accept: text/html, application/json\r\n", false),
        ("accept: text/html;q=0.5, */*\r\n", false),
    ] {
        let before = member.numbers.given();
        let reply = ask(&member, "GET", "/", headers).await;
        assert_eq!((reply.status, is_page(&reply)), (200, page), "{headers}");
        assert_eq!(reply.header("vary"), Some("accept"), "{headers}");
        let cache = if page { "no-cache" } else { "no-store" };
        assert_eq!(reply.header("cache-control"), Some(cache), "{headers}");
        assert_eq!(
            member.numbers.given() - before,
            usize::from(!page),
            "{headers}: a page is no number"
        );
    }
    // `?format=` wins over the header, and a parameter that there isn't is refused as ever.
    let json = ask(&member, "GET", "/?format=json", BROWSER).await;
    assert!(json.json()["random"].is_number());
    assert_eq!(ask(&member, "GET", "/?from=1", BROWSER).await.status, 400);
    let head = ask(&member, "HEAD", "/", BROWSER).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), Some("text/html; charset=utf-8"));
    // Another path has no page.
    assert_eq!(
        ask(&member, "GET", "/integers", "accept: text/html\r\n").await.status,
        406
    );
}

#[tokio::test]
async fn the_page_is_at_its_own_path_whatever_is_accepted_and_only_asks_its_member() {
    let member = Member::start(Limits::public()).await;
    for headers in ["", BROWSER, "accept: application/json\r\n"] {
        let reply = ask(&member, "GET", "/dashboard", headers).await;
        assert!(reply.status == 200 && is_page(&reply), "{headers}");
        let policy = reply.header("content-security-policy").unwrap();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    }
    // Nothing is inline, and what is named is there.
    let page = PAGE.content;
    let handlers = page
        .split_whitespace()
        .filter(|word| word.starts_with("on") && word.contains('='));
    assert_eq!(handlers.count(), 0, "inline handlers");
    assert!(!page.contains("<style") && !page.contains("style="), "inline style");
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count()
    );
    let mut named: BTreeSet<String> = ["href=\"dashboard/", "src=\"dashboard/"]
        .iter()
        .flat_map(|begins| page.split(begins).skip(1))
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    for script in FILES.iter().filter(|file| file.name.ends_with(".js")) {
        let imports = script.content.split("from \"./").skip(1);
        named.extend(imports.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let there: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
    assert_eq!(
        named, there,
        "what page and scripts load (left) and what is there (right)"
    );
    let elsewhere = FILES.iter().chain([&PAGE]).filter(|file| {
        let content = file.content.replace("http://www.w3.org/2000/svg", "");
        content.contains("http://") || content.contains("https://") || content.contains("innerHTML")
    });
    assert_eq!(elsewhere.map(|file| file.name).collect::<Vec<_>>(), [""; 0]);
    let size: usize = FILES.iter().chain([&PAGE]).map(|file| file.content.len()).sum();
    assert!(size < 100_000, "the dashboard takes {size} bytes of the binary");
}

#[tokio::test]
async fn each_file_comes_with_its_type_and_is_not_sent_again_to_who_has_it() {
    let member = Member::start(Limits::public()).await;
    let mut tags = BTreeSet::new();
    for target in FILES
        .iter()
        .map(|file| format!("/dashboard/{}", file.name))
        .chain(["/dashboard".to_owned()])
    {
        let reply = ask(&member, "GET", &target, "").await;
        assert_eq!(reply.status, 200, "{target}");
        let kind = match target.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(reply.header("content-type"), Some(kind), "{target}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-cache"), "{target}");
        let tag = reply.header("etag").expect(&target);
        let again = ask(&member, "GET", &target, &format!("if-none-match: {tag}\r\n")).await;
        assert_eq!((again.status, again.text()), (304, ""), "{target}");
        assert!(tags.insert(tag.to_owned()), "{target}: two files with one tag");
    }
    for missing in [
        "/dashboard/",
        "/dashboard/nothing.js",
        "/dashboard/..%2fmain.js",
        "/dashboard/main.js/",
    ] {
        let reply = ask(&member, "GET", missing, BROWSER).await;
        assert_eq!(reply.status, 404, "{missing}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json"),
            "{missing}"
        );
    }
    assert_eq!(ask(&member, "POST", "/dashboard", "").await.status, 405);
}
