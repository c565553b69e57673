//! The memory that this process may use: a container's limit is one of its control group (cgroups(7)), in either version.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The least limit of this process's control groups, in bytes; none if none of them has one.
pub fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_under(Path::new("/sys/fs/cgroup"), &groups)
}

/// `groups` is as in `/proc/self/cgroup`: `ID:CONTROLLERS:PATH` a line. A container may see its own group as the root, or see the
/// path that the host has: so what isn't there is passed over, up to the root.
fn limit_under(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (base, file) = match fields.next() {
            Some("") => (root.to_owned(), "memory.max"),
            Some(names) if names.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let path = Path::new(fields.next().unwrap_or_default()).components();
        let names: PathBuf = path.filter(|part| matches!(part, Component::Normal(_))).collect();
        let group = base.join(names);
        let groups = group.ancestors().take_while(|group| group.starts_with(&base));
        groups.filter_map(|group| limit_in(&group.join(file))).collect()
    });
    limits.min()
}

/// Version 2 writes `max` for none, version 1 a number beyond any machine's memory.
fn limit_in(file: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_to_the_root_counts_in_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups| limit_under(dir.path(), groups);
        assert_eq!(limit("0::/pods/pod/container\n"), None);
        write("pods/pod/container/memory.max", "max\n");
        assert_eq!(limit("0::/pods/pod/container\n"), None);
        write("pods/pod/memory.max", "268435456\n");
        write("pods/memory.max", "536870912\n");
        assert_eq!(limit("0::/pods/pod/container\n"), Some(256 << 20));
        // Another group's limit doesn't count.
        assert_eq!(limit("0::/pods\n"), Some(512 << 20));
        // A container that sees its own group as the root.
        write("memory.max", "1048576\n");
        assert_eq!(limit("0::/\n"), Some(1 << 20));
        assert_eq!(limit("0::/../other\n"), Some(1 << 20));
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("4:memory:/docker/abc\n1:cpu:/docker/abc\n"), None);
        write("memory/docker/memory.limit_in_bytes", "67108864\n");
        assert_eq!(limit("5:cpu,memory:/docker/abc\n"), Some(64 << 20));
        assert_eq!(limit("5:cpu:/docker/abc\nnonsense\n"), None);
    }
}
