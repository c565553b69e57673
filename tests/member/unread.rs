//! Clients that ask for large answers and never read them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use random_generator::clock::Clock;
use socket2::{Domain, Socket, Type};

use crate::harness::{Member, PATIENCE, volume};

const MIB: u64 = 1 << 20;
const AT_ONCE: Duration = Duration::from_millis(100);

/// 1,048,576 characters of 4 bytes each.
fn long_strings() -> String {
    let characters: String = (0x80..0xc0).map(|last| format!("%F0%9F%98%{last:02X}")).collect();
    format!("/strings?count=1024&length=1024&characters={characters}")
}

/// Asks, and reads nothing; its own kernel takes little of the answer.
fn unread(member: &Member, target: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket
        .connect(&std::net::SocketAddr::from(([127, 0, 0, 1], member.base)).into())
        .unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    stream
}

fn resident_bytes(member: &Member) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// How long each request of the two took, the slowest last.
fn ask_small(member: &Member, took: &mut Vec<Duration>) {
    let clock = Clock::system();
    for target in ["/", "/integers?count=10"] {
        let began = clock.boot();
        assert_eq!(member.get(target).unwrap().status, 200);
        took.push(clock.boot().since(began));
    }
    took.sort_unstable();
}

/// A machine with other work is slow now and then, a member that lets others wait is slow each time.
fn hold_out(target: &str, clients: usize) {
    let mut slow = Vec::new();
    while let Err(waited) = try_to_hold_out(target, clients) {
        slow.push(waited);
        assert!(slow.len() < 3, "{slow:?}");
    }
}

/// `clients` ask for `target`. Others are answered all the while, as soon as by a member that nobody else asks.
fn try_to_hold_out(target: &str, clients: usize) -> Result<(), String> {
    let ((_one, volume), (_other, calm_volume)) = (volume(), volume());
    let (member, calm) = (Member::start(&volume, &[]), Member::start(&calm_volume, &[]));
    let (mut took, mut took_calm) = (Vec::new(), Vec::new());
    ask_small(&member, &mut took);
    took.clear();
    let idle = resident_bytes(&member);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let streams: Vec<_> = (0..clients).map(|_| unread(&member, target)).collect();
            for stream in &streams {
                assert_eq!(stream.peek(&mut [0; 12]).unwrap(), 12);
            }
            done.store(true, Ordering::SeqCst);
            streams
        });
        let mut after = 0;
        while after < 50 {
            after += usize::from(done.load(Ordering::SeqCst) || asking.is_finished());
            ask_small(&member, &mut took);
            ask_small(&calm, &mut took_calm);
            let grown = resident_bytes(&member).saturating_sub(idle);
            assert!(grown < 64 * MIB, "{} MiB above idle", grown / MIB);
        }
        let streams = asking.join().unwrap();
        assert!(streams.iter().all(|stream| {
            let mut status = [0; 12];
            stream.peek(&mut status).unwrap();
            status == *b"HTTP/1.1 200"
        }));
    });
    // This machine may have other work: then a member that nobody else asks is slow as well.
    let (median, nearly_all) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let slow = AT_ONCE + took_calm[took_calm.len() - 1];
    assert_eq!(member.get("/livez").unwrap().status, 200);
    match median < AT_ONCE && nearly_all < slow {
        true => Ok(()),
        false => Err(format!(
            "half waited {median:?}, a hundredth {nearly_all:?}, where {slow:?} is allowed"
        )),
    }
}

#[test]
fn five_hundred_clients_that_never_read_4_mib_take_little_memory_and_delay_nobody() {
    hold_out(&long_strings(), 500);
}

#[test]
fn clients_that_never_read_bytes_as_text_take_little_memory_and_delay_nobody() {
    hold_out("/bytes?count=1048576&format=text", 200);
}
