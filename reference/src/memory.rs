//! The memory that this process may use, and `/memory-eater`, which uses it up: enough to get the container killed without
//! harming the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub(super) const MB: u64 = 1024 * 1024;
/// Eaten beyond the container's limit, so that the kernel kills it for certain.
const BEYOND: u64 = 64 * MB;
/// Without a limit, or with one beyond the available memory, at most one part in so many of that is eaten.
const SHARE: u64 = 2;
/// Taken and touched at once.
const BITE: u64 = MB;

/// What the kernel says, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// The container's: the least of its control group and those above that it sees (cgroups(7), both versions).
    pub limit: Option<u64>,
    pub total: u64,
    pub available: u64,
}

impl Memory {
    pub(super) fn read() -> Memory {
        Memory::below(Path::new("/"))
    }

    fn below(root: &Path) -> Memory {
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        let of = |name: &str| {
            let line = meminfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Memory {
            limit: limits(root).min(),
            total: of("MemTotal"),
            available: of("MemAvailable"),
        }
    }

    /// The most that this process may have.
    pub(super) fn most(&self) -> u64 {
        self.limit.map_or(self.total, |limit| limit.min(self.total))
    }

    /// The most that is eaten from now on.
    fn edible(&self) -> u64 {
        match self.limit {
            Some(limit) if limit + BEYOND <= self.available => limit + BEYOND,
            _ => self.available / SHARE,
        }
    }
}

/// Of every control group from this process's own up to the root that it sees. In a container with a namespace of its own
/// that is the mount's top; without one the path leads there.
fn limits(root: &Path) -> impl Iterator<Item = u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files: Vec<PathBuf> = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            of_first if of_first.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mount = root.join(mount);
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| mount.join(group).join(file)));
    }
    // `max`, or near 2^63 in version 1, is none.
    let limit = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    files.into_iter().filter_map(limit).filter(|limit| *limit < 1 << 60)
}

/// What was eaten stays eaten until the process ends.
#[derive(Clone, Default)]
pub(super) struct Eater(Arc<Mutex<Vec<Vec<u8>>>>);

impl Eater {
    /// Eats `mb` more, one caller after the other.
    pub(super) async fn eat(&self, mb: u32) {
        let mut eaten = self.0.clone().lock_owned().await;
        let eating = spawn_blocking(move || {
            let edible = Memory::read().edible();
            let wanted = u64::from(mb) * MB;
            let bites = wanted.min(edible) / BITE;
            for _ in 0..bites {
                let mut bite = Vec::new();
                // The kernel kills rather than refuses; where it does refuse (a limit of address space) this ends well.
                if bite.try_reserve_exact(BITE as usize).is_err() {
                    break;
                }
                // Each page is written: one that is only reserved takes up nothing.
                bite.resize(BITE as usize, 0x5a);
                eaten.push(bite);
            }
            let total = eaten.len() as u64 * BITE / MB;
            tracing::info!(wanted = mb, eaten = bites, total, "/memory-eater, in MB");
            if wanted > edible {
                tracing::warn!(
                    wanted = mb,
                    edible = edible / MB,
                    "/memory-eater stopped: more would harm the node (MB)"
                );
            }
        });
        // A panic has already printed its message, and the answer is the same.
        let _ = eating.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(files: &[(&str, &str)]) -> Memory {
        let dir = tempfile::tempdir().unwrap();
        let meminfo = "MemTotal:        8000000 kB\nMemFree: 1 kB\nMemAvailable:    4000000 kB\n";
        for (path, text) in files.iter().chain(&[("proc/meminfo", meminfo)]) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Memory::below(dir.path())
    }

    #[test]
    fn the_limit_is_found_in_both_versions_with_and_without_a_namespace() {
        let limit = Some(128 * MB);
        let text = &(128 * MB).to_string();
        let second = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", text)];
        assert_eq!(world(&second).limit, limit);
        let inside = [
            ("proc/self/cgroup", "0::/kubepods/pod1/c1\n"),
            ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", text),
            ("sys/fs/cgroup/kubepods/memory.max", "900000000\n"),
        ];
        assert_eq!(world(&inside).limit, limit);
        let first = [
            ("proc/self/cgroup", "11:cpu,cpuacct:/a\n4:memory:/docker/c1\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", text),
        ];
        assert_eq!(world(&first).limit, limit);
        let unlimited = [
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(world(&unlimited).limit, None);
    }

    #[test]
    fn what_is_eaten_is_a_little_more_than_the_limit_and_never_the_machine() {
        let memory = Memory {
            limit: Some(128 * MB),
            total: 8_000 * MB,
            available: 4_000 * MB,
        };
        assert_eq!(memory.edible(), 192 * MB);
        let unlimited = Memory { limit: None, ..memory };
        assert_eq!(unlimited.edible(), 2_000 * MB);
        let beyond = Memory {
            limit: Some(16_000 * MB),
            ..memory
        };
        assert_eq!((beyond.edible(), beyond.most()), (2_000 * MB, 8_000 * MB));
    }
}
