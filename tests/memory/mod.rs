//! What a process has in memory at most.

use std::process::Command;
use std::time::Duration;

/// Runs what its arguments say, and prints what that had in memory at most, in KiB (getrusage(2)).
const MEASURE: &str = "\
import resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL, timeout=float(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

/// In KiB, of a command that succeeds within `patience`.
pub fn most_memory(command: &Command, patience: Duration) -> u64 {
    let output = Command::new("python3")
        .args(["-c", MEASURE, &patience.as_secs().to_string()])
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
