use std::cell::RefCell;

use super::*;

fn address(text: &str) -> ListenAddress {
    text.parse().unwrap()
}

/// What a host binds whose kernel answers `refuse` with these errors; port 0 becomes 4000, then 4001 and so on.
fn bound(text: &str, refuse: impl Fn(&str) -> Option<Errno>) -> Result<Vec<String>, String> {
    let next = RefCell::new(4000..);
    let listen = |wanted: SocketAddr| match refuse(&wanted.to_string()) {
        Some(errno) => Err(io::Error::from(errno)),
        None if wanted.port() == 0 => Ok(SocketAddr::new(wanted.ip(), next.borrow_mut().next().unwrap())),
        None => Ok(wanted),
    };
    let bound = address(text).bind_by(listen, |socket| Ok(socket.port()));
    let shown = |(first, second)| std::iter::once(first).chain(second).map(|s: SocketAddr| s.to_string());
    match bound {
        Ok(sockets) => Ok(shown(sockets).collect()),
        Err(error) => Err(error.address.to_string()),
    }
}

#[test]
fn all_addresses_are_ipv6_and_ipv4_where_there_is_ipv6_and_else_ipv4() {
    assert_eq!(bound(":8080", |_| None).unwrap(), ["[::]:8080"]);
    for missing in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT] {
        let no_ipv6 = |wanted: &str| wanted.starts_with('[').then_some(missing);
        assert_eq!(bound(":8080", no_ipv6).unwrap(), ["0.0.0.0:8080"]);
        assert_eq!(bound("localhost:8082", no_ipv6).unwrap(), ["127.0.0.1:8082"]);
        let no_ipv4 = |wanted: &str| wanted.starts_with("127.").then_some(missing);
        assert_eq!(bound("localhost:8082", no_ipv4).unwrap(), ["[::1]:8082"]);
        assert_eq!(
            bound("[::]:8080", no_ipv6),
            Err("[::]:8080".into()),
            "as given, or not at all"
        );
    }
}

#[test]
fn an_address_in_use_is_never_replaced_by_the_other_family() {
    for wrong in [Errno::ADDRINUSE, Errno::ACCESS, Errno::MFILE] {
        assert_eq!(bound(":8080", |_| Some(wrong)), Err("[::]:8080".into()));
        let of_ipv6 = |wanted: &str| wanted.starts_with('[').then_some(wrong);
        assert_eq!(bound("localhost:8082", of_ipv6), Err("[::1]:8082".into()));
    }
}

#[test]
fn both_loopbacks_have_one_port_even_if_the_first_that_comes_is_taken_on_one() {
    assert_eq!(
        bound("localhost:8082", |_| None).unwrap(),
        ["127.0.0.1:8082", "[::1]:8082"]
    );
    let taken = |wanted: &str| (wanted == "[::1]:4000").then_some(Errno::ADDRINUSE);
    assert_eq!(bound("localhost:0", taken).unwrap(), ["127.0.0.1:4001", "[::1]:4001"]);
    let all_taken = |wanted: &str| wanted.starts_with("[::1]").then_some(Errno::ADDRINUSE);
    assert!(bound("localhost:0", all_taken).is_err(), "with an end");
}

#[test]
fn an_address_is_read_and_shown_alike() {
    for text in [
        ":8080",
        "localhost:0",
        "0.0.0.0:80",
        "127.0.0.1:1",
        "[::]:8080",
        "[::1]:0",
        "[fe80::1%2]:8080",
    ] {
        assert_eq!(address(text).to_string(), text);
    }
    assert_eq!(address("LocalHost:8082"), ListenAddress::Localhost(8082));
    for wrong in [
        "",
        ":",
        "8080",
        "::1:8080",
        "[::1]",
        "[::1]:",
        "[::1]:65536",
        "[::1",
        "::",
        ":-1",
        ":+1 ",
        ":+8080",
        "localhost:+8080",
        "localhost",
        "localhost:",
        "localhost:http",
        "rg-0:8080",
        "*:8080",
        "[localhost]:8080",
        "http://[::1]:8080",
        "[::1]:8080/",
    ] {
        let parsed: Result<ListenAddress, _> = wrong.parse();
        assert!(parsed.is_err(), "{wrong:?} is {parsed:?}");
    }
}

#[test]
fn two_addresses_collide_if_the_kernel_would_refuse_the_second() {
    let collides = |one: &str, other: &str| {
        let both = address(one).collides(&address(other));
        assert_eq!(both, address(other).collides(&address(one)), "{one} {other}");
        both
    };
    for (one, other) in [
        (":8080", ":8080"),
        (":8080", "0.0.0.0:8080"),
        (":8080", "127.0.0.1:8080"),
        (":8080", "[::1]:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
        ("localhost:8080", "127.0.0.1:8080"),
        ("localhost:8080", "[::1]:8080"),
        ("localhost:8080", "0.0.0.0:8080"),
        ("0.0.0.0:8080", "10.0.0.1:8080"),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"),
    ] {
        assert!(collides(one, other), "{one} {other}");
    }
    for (one, other) in [
        (":8080", ":8081"),
        (":0", ":0"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:8080", "[::1]:8080"),
        ("127.0.0.1:8080", "[::1]:8080"),
        ("localhost:8080", "127.0.0.2:8080"),
    ] {
        assert!(!collides(one, other), "{one} {other}");
    }
}

#[test]
fn a_loopback_is_one_in_either_family_and_form() {
    for text in [
        "localhost:1",
        "127.0.0.1:1",
        "127.1.2.3:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert!(address(text).is_loopback(), "{text}");
    }
    for text in [":1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
        assert!(!address(text).is_loopback(), "{text}");
    }
}

/// Bound addresses, and a client at each of `from`.
async fn accepted(sockets: &Sockets, from: &[&str]) -> Vec<String> {
    let port = sockets.addresses().unwrap()[0].port();
    let mut clients = Vec::new();
    for ip in from {
        let client = TcpStream::connect((*ip, port)).await.unwrap();
        let (_stream, seen) = sockets.accept().await.unwrap();
        let local = client.local_addr().unwrap();
        assert_eq!(seen.port(), local.port());
        clients.push(seen.ip().to_string());
    }
    clients
}

#[tokio::test]
async fn one_socket_takes_both_families_and_shows_ipv4_clients_as_such() {
    for text in [":0", "[::]:0"] {
        let sockets = address(text).bind().unwrap();
        let shown = sockets.to_string();
        assert!(shown.starts_with("[::]:") && !shown.ends_with(":0"), "{shown}");
        let clients = accepted(&sockets, &["127.0.0.1", "::1"]).await;
        assert_eq!(clients, ["127.0.0.1", "::1"]);
    }
    let mapped = address("[::ffff:127.0.0.1]:0").bind().unwrap();
    assert!(mapped.to_string().starts_with("127.0.0.1:"), "{mapped}");
    assert_eq!(accepted(&mapped, &["127.0.0.1"]).await, ["127.0.0.1"]);
}

#[tokio::test]
async fn both_loopbacks_are_served_in_turn() {
    let sockets = address("localhost:0").bind().unwrap();
    let [v4, v6] = sockets.addresses().unwrap()[..] else {
        panic!("{sockets}");
    };
    assert_eq!(sockets.to_string(), format!("127.0.0.1:{0} and [::1]:{0}", v4.port()));
    let mut waiting = Vec::new();
    for to in [v4, v4, v4, v6, v6] {
        waiting.push(TcpStream::connect(to).await.unwrap());
    }
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(sockets.accept().await.unwrap().1.ip().to_string());
    }
    assert_eq!(clients, ["127.0.0.1", "::1", "127.0.0.1", "::1"]);
    assert_eq!(
        address(&v6.to_string()).bind().unwrap_err().source.kind(),
        io::ErrorKind::AddrInUse
    );
}
