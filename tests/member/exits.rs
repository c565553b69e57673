//! Each failure to start has its exit code, and one line that says what was wrong and what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::harness::{Ended, Member, free_base, program, run, run_command, volume};
use crate::small_disk::SmallDisk;

/// `serve` on free ports, which is expected to end by itself.
fn refused(volume: &Path, more: &[&str]) -> Ended {
    run_command(program().args(Member::arguments(free_base(), volume, more)))
}

#[test]
fn arguments_that_are_unknown_or_wrong_end_with_64_and_are_named() {
    let cases: [(&[&str], &[&str]); 12] = [
        (&["serve", "--colour"], &["--colour"]),
        (&["serv"], &["serv"]),
        (&["serve", "--durability", "some"], &["--durability", "some", "none"]),
        (&["serve", "--lease-duration", "1"], &["--lease-duration"]),
        (&["serve", "--voters", "0"], &["--voters"]),
        (&["serve", "--voters", "3"], &["--voters 3", "--discovery-name"]),
        (
            &["serve", "--lease-duration", "10s", "--lease-renew-deadline", "10s"],
            &["--lease-duration", "--lease-renew-deadline"],
        ),
        (
            &["serve", "--lease-renew-deadline", "2s", "--lease-retry", "2s"],
            &["--lease-renew-deadline", "--lease-retry"],
        ),
        (
            &[
                "serve",
                "--public-listen",
                "127.0.0.1:9000",
                "--admin-listen",
                "127.0.0.1:9000",
            ],
            &["--public-listen", "--admin-listen"],
        ),
        (&["serve", "--draw-schedule", "@every 1x"], &["--draw-schedule"]),
        (
            &["serve", "--draw-schedule", "@every 1s", "--draw-deadline", "5s"],
            &["--draw-deadline", "--draw-schedule"],
        ),
        (&["cluster", "--members", "33"], &["--members", "32"]),
    ];
    for (arguments, named) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        for name in named {
            assert!(ended.line().contains(name), "{arguments:?}: {name}: {}", ended.line());
        }
    }
}

#[test]
fn a_variable_that_is_wrong_ends_with_64_and_is_named() {
    let ended = run_command(program().arg("serve").env("RANDOM_GENERATOR_VOTERS", "many"));
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.line().contains("RANDOM_GENERATOR_VOTERS"), "{}", ended.line());
}

#[test]
fn a_volume_of_another_ordinal_or_set_ends_with_78() {
    let (_dir, volume) = volume();
    Member::start(&volume, &["--pod-name", "rg-0"]).stop();
    for other in ["rg-1", "dice-0"] {
        let ended = refused(&volume, &["--pod-name", other]);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        for part in [other, "rg-0", volume.to_str().unwrap()] {
            assert!(ended.line().contains(part), "{part}: {}", ended.line());
        }
    }
    Member::start(&volume, &["--pod-name", "rg-0"]).stop();
}

#[test]
fn a_volume_of_a_newer_version_ends_with_78_and_stays_as_it_is() {
    let (_dir, volume) = volume();
    Member::start(&volume, &[]).stop();
    let mark = volume.join("owner.json");
    let newer = fs::read_to_string(&mark)
        .unwrap()
        .replace("\"schema\":1", "\"schema\":2");
    fs::write(&mark, &newer).unwrap();
    let ended = refused(&volume, &[]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.line().contains("newer version"), "{}", ended.line());
    assert_eq!(fs::read_to_string(&mark).unwrap(), newer);
}

#[test]
fn a_volume_in_use_ends_the_second_process_with_75_and_leaves_the_first_alone() {
    let (_dir, volume) = volume();
    let first = Member::start(&volume, &[]);
    let ended = refused(&volume, &[]);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.line().contains("in use"), "{}", ended.line());
    assert!(ended.line().contains(volume.to_str().unwrap()), "{}", ended.line());
    assert_eq!(first.get("/").unwrap().status, 200);
    first.stop();
}

#[test]
fn a_volume_that_cannot_be_written_ends_with_74_and_its_path() {
    let (dir, _) = volume();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let disk = SmallDisk::new(10);
    disk.remount("ro");
    for volume in [file.join("below"), file, disk.path(), disk.path().join("new")] {
        let ended = refused(&volume, &[]);
        assert_eq!(ended.code, Some(74), "{ended:?}");
        assert!(ended.line().contains(volume.to_str().unwrap()), "{}", ended.line());
    }
}

#[test]
fn a_lease_directory_that_cannot_be_created_ends_with_74_and_its_path() {
    let (dir, volume) = volume();
    let lease = dir.path().join("absent/lease");
    let ended = refused(&volume, &["--lease-directory", lease.to_str().unwrap()]);
    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.line().contains(lease.to_str().unwrap()), "{}", ended.line());
}

#[test]
fn a_port_in_use_ends_with_75_and_names_argument_and_address() {
    let (_dir, volume) = volume();
    let base = free_base();
    for (at, argument) in ["--public-listen", "--peer-listen", "--admin-listen", "--metrics-listen"]
        .into_iter()
        .enumerate()
    {
        let address = format!("127.0.0.1:{}", base + at as u16);
        let _taken = TcpListener::bind(&address).unwrap();
        let ended = run_command(program().args(Member::arguments(base, &volume, &[])));
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert!(
            ended.line().contains(argument) && ended.line().contains(&address),
            "{}",
            ended.line()
        );
    }
}

#[test]
fn an_address_of_another_machine_ends_with_74() {
    let (_dir, volume) = volume();
    let mut arguments = Member::arguments(free_base(), &volume, &[]);
    arguments[2] = "192.0.2.1:8080".to_owned();
    let ended = run_command(program().args(arguments));
    assert_eq!(ended.code, Some(74), "{ended:?}");
    for words in ["192.0.2.1:8080", "an address that this host has"] {
        assert!(ended.line().contains(words), "{}", ended.line());
    }
}

#[test]
fn a_peer_secret_that_is_absent_or_too_short_ends_the_member_and_is_not_shown() {
    let (dir, volume) = volume();
    let path = dir.path().join("secret");
    let ended = refused(&volume, &["--peer-secret-file", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.line().contains("--peer-secret-file") && ended.line().contains(path.to_str().unwrap()));

    fs::write(&path, "hunter2\n").unwrap();
    let ended = refused(&volume, &["--peer-secret-file", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.line().contains("16 bytes"), "{}", ended.line());
    assert!(!ended.stderr.contains("hunter2"));
}

#[test]
fn what_is_unsafe_in_the_image_is_nowhere_in_a_member() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &[]);
    for path in [
        "/shutdown",
        "/memory-eater?mb=1",
        "/toggle-live",
        "/toggle-ready",
        "/info",
        "/logs",
        "/actuator/health",
    ] {
        assert_eq!(member.get(path).unwrap().status, 404, "{path}");
    }
    member.stop();
}
