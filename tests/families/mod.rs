//! Hosts that have only one family of addresses, or other defaults: for a process of its own.
#![allow(dead_code)] // each test takes what it needs

use std::fs;
use std::path::Path;
use std::process::Command;

/// Its `socket` knows no IPv6, as under a kernel that was started with `ipv6.disable=1`. Makes the library in `dir`.
pub fn without_ipv6(mut command: Command, dir: &Path) -> Command {
    let (source, library) = (dir.join("no_ipv6.c"), dir.join("no_ipv6.so"));
    fs::write(
        &source,
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <sys/socket.h>\n\
         int socket(int family, int type, int protocol) {\n\
         \x20   if (family == AF_INET6) { errno = EAFNOSUPPORT; return -1; }\n\
         \x20   int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, \"socket\");\n\
         \x20   return real(family, type, protocol);\n}\n",
    )
    .unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    command.env("LD_PRELOAD", library);
    command
}

/// Gives `lo` the link-local address fe80::1: SIOCSIFADDR of netdevice(7), with the index of `lo`.
pub const LINK_LOCAL: &str = "python3 -c 'import fcntl, socket, struct\n\
                              address = socket.inet_pton(socket.AF_INET6, \"fe80::1\") + struct.pack(\"Ii\", 64, 1)\n\
                              fcntl.ioctl(socket.socket(socket.AF_INET6), 0x8916, address)'\n";

/// Runs a shell script in a network and with mounts of its own, where `lo` is up and every port is free, after these settings below
/// /proc/sys/net/ipv6/conf or /proc/sys/net/ipv6 were made.
pub fn in_own_network(settings: &[(&str, &str)], script: &str) -> Command {
    let mut all = String::from("set -e\n");
    for (name, value) in settings {
        all += &format!("echo {value} > /proc/sys/net/ipv6/{name}\n");
    }
    // SIOCSIFFLAGS of netdevice(7), since not every machine has ip(8).
    all += "python3 -c 'import fcntl, socket, struct\n\
            fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh22x\", b\"lo\", 1))'\n";
    all += script;
    // With what it left running, should the script hang.
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "50", "unshare"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &all]);
    command
}
