//! An answer that is larger than the process that sends it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Pid;

use crate::harness::{Member, PATIENCE};

const GIB: u64 = 1 << 30;

/// What the process has had in memory at most, in KiB (proc_pid_status(5), VmHWM).
fn most_resident(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_gib_of_bytes_costs_a_few_mib_of_memory() {
    let volume = tempfile::tempdir().unwrap();
    let member = Member::start(volume.path(), &[]);
    assert_eq!(member.get("/bytes?count=65536").unwrap().body.len(), 65_536);
    let before = most_resident(member.pid());

    let mut stream = TcpStream::connect(("127.0.0.1", member.base)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET /bytes?count={GIB} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut part, mut got) = (vec![0; 1 << 18], 0);
    loop {
        match stream.read(&mut part).unwrap() {
            0 => break,
            read => got += read as u64,
        }
    }
    assert!((GIB..GIB + 1_000).contains(&got), "{got} bytes with the headers");
    let grown = most_resident(member.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024, "it grew by {grown} KiB");
}
