//! A real file system of a few MiB, on a loop device, that a test may fill.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Makes an ext4 file system of `mib` MiB and mounts it. Panics where that isn't permitted: a test that only seems to run
    /// would be worse than one that fails.
    pub fn new(mib: u64) -> SmallDisk {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts a small file system and needs root: run it as root, on a machine or in a container that permits loop mounts"
        );
        let disk = SmallDisk {
            dir: tempfile::tempdir().unwrap(),
        };
        let image = disk.dir.path().join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        fs::create_dir(disk.path()).unwrap();
        // No blocks reserved for root: the test is root, and must meet the end of the disk where others would.
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()));
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// Writes a file until nothing more fits, and returns its size.
    pub fn fill(&self) -> u64 {
        let path = self.path().join("filler");
        let mut file = File::options().append(true).create(true).open(&path).unwrap();
        let mut size = 64 * 1024;
        while size > 0 {
            if file.write(&vec![b'f'; size]).is_err() {
                size /= 2;
            }
        }
        // Blocks that are promised but not written yet could still be missing.
        let _ = file.sync_all();
        fs::metadata(path).unwrap().len()
    }

    /// Gives back what [`fill`](SmallDisk::fill) took.
    pub fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// Makes it read-only, or writable again.
    #[allow(dead_code)] // not every test file that includes this wants it
    pub fn remount(&self, options: &str) {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left files open.
        unmount(&self.path());
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(path).status();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
