//! The registry of all metrics, and the process's own metrics.

use std::path::Path;
use std::{fs, io};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::clock::Clock;

/// Creates a metric and registers it.
pub fn register<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Metric + Clone + Default,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// As [`register`], with the unit that its name ends with.
pub fn register_with_unit<M>(registry: &mut Registry, name: &str, help: &str, unit: Unit) -> M
where
    M: Metric + Clone + Default,
{
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

/// Owned by the composition root: parts register in `registry`, then the metrics listener gets it.
#[derive(Debug)]
pub struct Metrics {
    pub registry: Registry,
}

impl Metrics {
    /// A registry with the prefix `random_generator`, holding `build_info` and the metrics of this process.
    pub fn new(version: &'static str, clock: &Clock) -> Metrics {
        let mut registry = Registry::with_prefix("random_generator");
        let build = Info::new(vec![("version", version)]);
        registry.register("build", "The version of the program", build);
        registry.register_collector(Box::new(Process {
            started_seconds: clock.wall().0 as f64 / 1e6,
        }));
        Metrics { registry }
    }
}

/// What the kernel knows of this process, read at each scrape.
#[derive(Debug)]
struct Process {
    started_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let resident = resident_memory().map(|bytes| bytes as f64);
        let open = descriptors(Path::new("/proc/self/fd")).ok().map(|open| open as f64);
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = most.map(|most| most as f64);
        let since_epoch = "Start time of this process, since the Unix epoch.";
        for (name, help, unit, value) in [
            (
                "process_start_time",
                since_epoch,
                Some(Unit::Seconds),
                Some(self.started_seconds),
            ),
            (
                "process_resident_memory",
                "Resident memory.",
                Some(Unit::Bytes),
                resident,
            ),
            ("process_open_fds", "Open file descriptors.", None, open),
            (
                "process_max_fds",
                "Maximum number of open file descriptors.",
                None,
                most,
            ),
        ] {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let help = "Processor time used by all threads.";
        let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(seconds).encode(metric)
    }
}

/// How many descriptors a directory like `/proc/self/fd` lists. Since Linux 6.2 that is its size (proc_pid_fd(5)); to read it
/// takes as long as a scrape may with thousands of connections, and is left for a kernel that gives no size.
fn descriptors(directory: &Path) -> io::Result<u64> {
    match fs::metadata(directory)?.len() {
        // Reading the directory opens it too: one less.
        0 => Ok((fs::read_dir(directory)?.count() as u64).saturating_sub(1)),
        size => Ok(size),
    }
}

/// `VmRSS` of `/proc/self/status`, in bytes (proc(5): it is given in kB of 1,024).
pub fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_that_are_open_also_where_the_kernel_gives_no_size() {
        let open: Vec<_> = (0..1_000).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // The same descriptors, in a directory that has no size on any kernel.
        let without = Path::new("/proc/self/fdinfo");
        assert_eq!(fs::metadata(without).unwrap().len(), 0);
        for directory in [Path::new("/proc/self/fd"), without] {
            let counted = descriptors(directory).unwrap();
            assert!((1_000..2_000).contains(&counted), "{}: {counted}", directory.display());
        }
        drop(open);
    }

    #[test]
    fn the_process_exposes_its_memory_descriptors_and_age_with_the_prefix() {
        let metrics = Metrics::new("1.2.3", &Clock::system());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        for line in [
            "random_generator_build_info{version=\"1.2.3\"} 1",
            "random_generator_process_resident_memory_bytes ",
            "random_generator_process_open_fds ",
            "random_generator_process_cpu_seconds_total ",
            "random_generator_process_start_time_seconds 1",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }
}
