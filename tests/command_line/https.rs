//! Commands that ask a member over TLS.

use std::net::SocketAddr;

use crate::harness::{Ended, Member, program, run_command};
use crate::tls::{authority, in_front_of};

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn trusting(authority: &std::path::Path, arguments: &[&str]) -> Ended {
    run_command(program().args(arguments).env("SSL_CERT_FILE", authority))
}

#[test]
fn every_command_that_asks_a_member_asks_it_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &["--draw-schedule", "@every 1s"]);
    member.until_round(2);
    let public = format!("https://localhost:{}", in_front_of(local(member.base)).port());
    let admin = member.admin_url().parse::<hyper::Uri>().unwrap();
    let admin = in_front_of(local(admin.port_u16().unwrap()));
    let admin = format!("https://{admin}");
    for (arguments, expected) in [
        (&["get", "integers", "--min", "7", "--max", "7", &public][..], "7\n"),
        (&["verify", &public], "verified: set rg"),
        (&["draws", &public], "ROUND"),
        (&["peers", &public], "ORDINAL"),
        (&["leader", &public], "rg-0"),
        (&["health", &public], "MEMBER"),
        (&["admin", "log-level", "--admin", &admin], "info\n"),
        (&["admin", "log-level", "warn", "--admin", &admin], "is warn"),
    ] {
        let ended = trusting(&authority(), arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.contains(expected), "{arguments:?}: {}", ended.stdout);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_one_line_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &[]);
    let public = format!("https://{}", in_front_of(local(member.base)));
    // A certificate that signed nothing but itself.
    let other = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/server.pem");
    let missing = dir.path().join("missing.pem");
    for (trusted, expected) in [
        (
            other,
            "certificate is not trusted: it has an unknown issuer; the variable SSL_CERT_FILE",
        ),
        (
            missing,
            "no certificate to trust can be read; the variable SSL_CERT_FILE",
        ),
    ] {
        for arguments in [&["leader", &public][..], &["draws", "--follow", &public]] {
            let refused = trusting(&trusted, arguments);
            assert_eq!((refused.code, refused.stdout.as_str()), (Some(75), ""), "{arguments:?}");
            assert!(refused.line().contains(expected), "{}", refused.stderr);
            assert!(refused.line().contains(&public), "{}", refused.stderr);
        }
    }
}

#[test]
fn a_server_without_tls_and_one_with_its_own_authority_are_refused_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &[]);
    let without_tls = format!("https://{}", local(member.base));
    let refused = trusting(&authority(), &["leader", &without_tls]);
    assert_eq!(refused.code, Some(75), "{}", refused.stderr);
    assert!(
        refused.line().ends_with("its answer is not TLS: is it an http:// URL?"),
        "{}",
        refused.stderr
    );
    // The server's certificate in place of an authority's.
    let with_tls = format!("https://{}", in_front_of(local(member.base)));
    let server = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/server.pem");
    let refused = trusting(&server, &["leader", &with_tls]);
    for name in ["UnknownIssuer", "CaUsedAsEndEntity", "OtherError", "errors:"] {
        assert!(!refused.stderr.contains(name), "{}", refused.stderr);
    }
}
