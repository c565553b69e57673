//! Log lines on standard error: text for a person, JSON for a collector; the filter can be changed while the member runs.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt as layer, reload};

/// Where and how events are logged.
#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Only ever with [`LogFormat::Text`].
    pub colour: bool,
    pub filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which events are logged: a level, or `TARGET=LEVEL`, separated by commas, as in RUST_LOG; without its spans and
/// regular expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a level (off, error, warn, info, debug, trace) or TARGET=LEVEL, separated by commas, such as warn,random_generator::lease=debug"
)]
pub struct FilterError;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut targets = Targets::new();
        for directive in text.split(',').map(str::trim) {
            // A word alone is a level. RUST_LOG takes any other for a target, and a misspelt level silences everything.
            let level = |text: &str| {
                // tracing also takes a number, and nothing at all.
                let named = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic());
                text.parse::<LevelFilter>().ok().filter(|_| named).ok_or(FilterError)
            };
            targets = match directive.split_once('=') {
                None => targets.with_default(level(directive)?),
                Some((target, _)) if !is_target(target) => return Err(FilterError),
                Some((target, text)) => targets.with_target(target, level(text)?),
            };
        }
        Ok(Filter(targets))
    }
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Changes and tells what is logged. Clones control the same log.
#[derive(Clone)]
pub struct LogControl(Arc<dyn Reload>);

/// The subscriber's type differs with the format; its filter doesn't.
trait Reload: Send + Sync {
    fn set(&self, filter: Filter) -> Result<(), reload::Error>;
    fn get(&self) -> Option<Targets>;
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Another subscriber was installed in this process before.
    #[error("the log is already set up in this process")]
    Installed,
    #[error("the log's filter can't be changed: {0}")]
    Reload(#[from] reload::Error),
}

impl LogControl {
    /// Logs by another filter from now on; a wrong one changes nothing.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        Ok(self.0.set(filter.parse()?)?)
    }

    /// The filter in force, in the form that [`set`](LogControl::set) takes.
    pub fn get(&self) -> String {
        self.0.get().unwrap_or_default().to_string()
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.get()).finish()
    }
}

impl<S: 'static> Reload for reload::Handle<Targets, S> {
    fn set(&self, filter: Filter) -> Result<(), reload::Error> {
        self.reload(filter.0)
    }

    fn get(&self) -> Option<Targets> {
        self.clone_current()
    }
}

/// Sends everything that is logged in this process to standard error from now on; once a process.
pub fn start(log: &Log) -> Result<LogControl, LogError> {
    let (subscriber, control) = subscriber(log, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Installed)?;
    Ok(control)
}

fn subscriber<W>(log: &Log, writer: W) -> (impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>, LogControl)
where
    W: for<'w> layer::MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(log.filter.0.clone());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => layer::layer().with_writer(writer).with_ansi(log.colour).boxed(),
        LogFormat::Json => layer::layer().with_writer(writer).json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(lines).with(filter);
    (subscriber, LogControl(Arc::new(handle)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn log(format: LogFormat, filter: &str) -> Log {
        Log {
            format,
            colour: false,
            filter: filter.parse().unwrap(),
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_the_events_own_fields() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _) = subscriber(&log(LogFormat::Json, "info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || tracing::info!(round = 7, "drawn"));
        let line = lines.take();
        let value: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(
            (&value["message"], &value["round"], &value["level"]),
            (&"drawn".into(), &7.into(), &"INFO".into())
        );
    }

    #[test]
    fn the_filter_changes_while_running_and_a_wrong_one_changes_nothing() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, control) = subscriber(&log(LogFormat::Text, "info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("before");
            control.set("warn,random_generator=debug").unwrap();
            tracing::debug!("between");
            assert!(matches!(control.set("verbose"), Err(LogError::Filter(_))));
            assert_eq!(control.get(), "random_generator=debug,warn");
            control.set("off").unwrap();
            tracing::error!("after");
        });
        let text = lines.take();
        assert!(
            !text.contains("before") && text.contains("between") && !text.contains("after"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "colour without a terminal");
    }

    #[test]
    fn a_filter_names_levels_and_nothing_that_only_looks_like_one() {
        for right in ["info", "OFF", "warn, random_generator::lease=trace", "hyper=off"] {
            assert!(right.parse::<Filter>().is_ok(), "{right:?}");
        }
        for wrong in [
            "",
            "inof",
            "3",
            "info,",
            "=info",
            "lease=loud",
            "a b=info",
            "[span]=info",
        ] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong:?} was taken");
        }
    }
}
