//! Log lines on standard error: text for a person, JSON for a collector; the filter can be changed while the member runs.

use std::fmt;
use std::io;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt as layer, reload};

use crate::trace::{self, TraceContext};

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

/// kube logs each failed request as an error; the lease store reports what is wrong, once. `kube_client=LEVEL` shows it.
const QUIET: &str = "kube_client";
const QUIET_DIRECTIVE: &str = "kube_client=off";

/// Which events are logged: a level, or `TARGET=LEVEL`, separated by commas, as in RUST_LOG; without its spans and
/// regular expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a level (off, error, warn, info, debug, trace) or TARGET=LEVEL, separated by commas, such as warn,random_generator::draw=debug"
)]
pub struct FilterError;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut targets = Targets::new().with_target(QUIET, LevelFilter::OFF);
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

/// Reads and changes the log filter. Clones control the same log.
#[derive(Clone)]
pub struct LogControl(reload::Handle<Targets, Layered<Lines, Registry>>);

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

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
        let Filter(targets) = filter.parse()?;
        Ok(self.0.reload(targets)?)
    }

    /// The filter in force, in the form that [`set`](LogControl::set) takes.
    pub fn get(&self) -> String {
        let filter = self.0.clone_current().unwrap_or_default().to_string();
        let shown = filter.split(',').filter(|directive| *directive != QUIET_DIRECTIVE);
        shown.collect::<Vec<_>>().join(",")
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.get()).finish()
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
    let lines: Lines = match log.format {
        LogFormat::Text => layer::layer()
            .with_writer(writer)
            .with_ansi(log.colour)
            .map_event_format(|format| Line(format.with_ansi(log.colour), log.format))
            .boxed(),
        LogFormat::Json => layer::layer()
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .map_event_format(|format| Line(format, log.format))
            .boxed(),
    };
    let subscriber = Registry::default().with(lines).with(filter);
    (subscriber, LogControl(handle))
}

/// A line, and at its end what it belongs to: in JSON as members of the object.
struct Line<F>(F, LogFormat);

impl<S, N, F> FormatEvent<S, N> for Line<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Line(format, kind) = self;
        let Some(ids) = trace::describe(|request, trace| ids(*kind, request, trace)) else {
            return format.format_event(context, writer, event);
        };
        let mut line = String::new();
        format.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        // A line of JSON is one object, which is opened again at its end.
        match line.strip_suffix('}') {
            Some(open) if *kind == LogFormat::Json => writeln!(writer, "{open}{ids}}}"),
            _ => writeln!(writer, "{line}{ids}"),
        }
    }
}

fn ids(kind: LogFormat, request: Option<&str>, trace: &TraceContext) -> String {
    let (trace, span) = (hex::encode(trace.trace), hex::encode(trace.span));
    match kind {
        LogFormat::Text => {
            let request = request.map_or_else(String::new, |id| format!(" request_id={id:?}"));
            format!("{request} trace_id={trace} span_id={span}")
        }
        LogFormat::Json => {
            // A client chose the id, and may have put quotes into it.
            let quoted = |id| format!(r#","request_id":{}"#, serde_json::Value::from(id));
            let request = request.map_or_else(String::new, quoted);
            format!(r#"{request},"trace_id":"{trace}","span_id":"{span}""#)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

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
    fn a_line_says_which_request_and_trace_it_belongs_to_in_either_format() {
        let ids = TraceContext::begin();
        let id = hex::encode(ids.trace);
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = Lines::default();
            let writer = lines.clone();
            let (subscriber, _) = subscriber(&log(format, "info"), move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                let request = trace::Request {
                    id: trace::RequestId::new(r#"a"b\"#),
                    started: crate::clock::Clock::system().now(),
                };
                let scope = trace::Scope::request(request, Some(ids.clone()));
                trace::within_now(scope, || tracing::info!(round = 7, "drawn"));
                trace::within_now(trace::Scope::work(ids.clone()), || tracing::info!("no request"));
                tracing::info!("nobody asked");
            });
            let text = lines.take();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), 3, "{text}");
            if format == LogFormat::Json {
                let lines: Vec<serde_json::Value> =
                    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert_eq!(lines[0]["request_id"], r#"a"b\"#);
                assert_eq!(
                    (&lines[0]["trace_id"], &lines[0]["round"]),
                    (&id.as_str().into(), &7.into())
                );
                assert_eq!(lines[0]["span_id"], hex::encode(ids.span));
                assert_eq!(
                    (&lines[1]["request_id"], &lines[1]["trace_id"]),
                    (&serde_json::Value::Null, &id.as_str().into())
                );
                assert_eq!(lines[2].get("trace_id"), None);
            } else {
                assert!(
                    lines[0].contains(r#"request_id="a\"b\\""#) && lines[0].contains(&id),
                    "{text}"
                );
                assert!(
                    lines[1].contains(&format!("no request trace_id={id} span_id=")),
                    "{text}"
                );
                assert!(lines[2].ends_with("nobody asked"), "{text}");
            }
        }
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
        for right in ["info", "OFF", "warn, random_generator::draw=trace", "hyper=off"] {
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
