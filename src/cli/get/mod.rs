//! `get`: random values from the members of a set, as many as are wanted, to a pipe or a file.
//!
//! [`kind`] says what can be got, [`plan`] divides it into what one member answers at once, [`fetch`] asks for that, spread over
//! members ([`super::spread`]), [`unique`] makes numbers different from each other, [`form`] is how they are written and [`sink`] where.

mod bar;
mod fetch;
mod form;
mod kind;
mod plan;
mod sink;
mod unique;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};

use super::console::Progress;
use super::target::Resolve;
use super::{Exit, Failure};
use crate::clock::{Boot, Clock};
use crate::config::values::show_duration;
use crate::config::{NameserverArgs, Terminal};
use bar::{Unit, bar};
use fetch::Source;
use form::Form;
use kind::{How, Kind, Wanted};
use plan::{Plan, Shape};
use sink::Sink;
use unique::Unique;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

impl Args {
    pub(super) fn nameservers(&self) -> &NameserverArgs {
        &self.kind.how().nameservers
    }
}

/// Writes what is wanted, all of it or with an error.
///
/// # Errors
/// Usage: arguments that contradict each other, or that members refuse. I/O: it can't be written. Try again: no member gives
/// it, or not in time. Data: answers that are none of a member.
pub(super) async fn run(args: &Args, resolve: &Resolve, clock: Clock) -> Result<(), Failure> {
    let how = args.kind.how();
    let wanted = args.kind.wanted()?;
    let to_stdout = how.output.as_deref().is_none_or(|path| path == Path::new("-"));
    let form = form_of(&wanted, how);
    if how.output.is_none() && !is_text(&wanted, form) && Terminal::stdout().interactive {
        let line =
            "random bytes would garble the terminal: give --hex, --output FILE, a pipe, or --output - if that is meant";
        return Err(Failure::new(Exit::Usage, line));
    }
    let getting = async {
        match how.timeout {
            None => get(&wanted, form, how, resolve, &clock).await,
            Some(limit) => match tokio::time::timeout(limit, get(&wanted, form, how, resolve, &clock)).await {
                Ok(got) => got,
                Err(_) => {
                    let line = format!("not done within --timeout {}", show_duration(limit));
                    Err(Failure::new(Exit::TryAgain, line))
                }
            },
        }
    };
    if to_stdout {
        return getting.await;
    }
    // Otherwise a signal would end the process with its unfinished file left behind.
    tokio::select! {
        biased;
        interrupted = interruption() => Err(interrupted),
        got = getting => got,
    }
}

async fn interruption() -> Failure {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Then a signal ends it as it always does.
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Failure::new(Exit::TryAgain, "interrupted; no file was written")
}

fn shape(wanted: &Wanted) -> Shape {
    match wanted {
        Wanted::Values(plan) => plan.shape,
        Wanted::Bytes { .. } => Shape::Bytes,
        Wanted::Unique { .. } => kind::INTEGERS,
    }
}

fn form_of(wanted: &Wanted, how: &How) -> Form {
    let hex = matches!(wanted, Wanted::Bytes { hex: true, .. });
    Form::of(shape(wanted), hex, how.json)
}

fn is_text(wanted: &Wanted, form: Form) -> bool {
    form.is_text(shape(wanted))
}

async fn get(wanted: &Wanted, form: Form, how: &How, resolve: &Resolve, clock: &Clock) -> Result<(), Failure> {
    let mut note = |line: &str| {
        if how.verbose {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "random-generator: {}", super::failure::one_line(line));
        }
    };
    let mut source = Source::open(&how.members, resolve, clock.clone(), &mut note).await?;
    let sink = match &how.output {
        Some(path) if path != Path::new("-") => Sink::file(path)?,
        _ => Sink::stdout()?,
    };
    let mut stderr = io::stderr();
    let shown = Terminal::stderr().interactive && !how.quiet;
    let (total, unit) = match wanted {
        Wanted::Values(plan) => (plan.total, Unit::Values),
        Wanted::Bytes { count, .. } => (*count, Unit::Bytes),
        Wanted::Unique { count, .. } => (*count, Unit::Values),
    };
    let mut writing = Writing {
        form,
        sink,
        done: 0,
        total,
        unit,
        began: clock.boot(),
        clock: clock.clone(),
        progress: Progress::new(shown.then_some(&mut stderr as &mut dyn Write), clock.clone()),
    };
    let read = match *wanted {
        Wanted::Values(ref plan) => writing.all(&mut source, plan).await,
        Wanted::Bytes { count, .. } => writing.all(&mut source, &kind::random_bytes(count)).await,
        Wanted::Unique { min, max, count } => writing.unique(&mut source, min, max, count).await,
    }?;
    let (done, took) = (writing.done, writing.took());
    drop(writing.progress);
    if read && writing.sink.finish().await? && how.verbose {
        let what = match unit {
            Unit::Bytes => "bytes",
            Unit::Values => "values",
        };
        let _ = writeln!(
            io::stderr(),
            "random-generator: {done} {what} in {:.1} s",
            took.as_secs_f64()
        );
    }
    Ok(())
}

/// What was written, and where the next piece goes.
struct Writing<'a> {
    form: Form,
    sink: Sink,
    done: u64,
    total: u64,
    unit: Unit,
    began: Boot,
    clock: Clock,
    progress: Progress<'a>,
}

impl Writing<'_> {
    fn took(&self) -> Duration {
        self.clock.boot().since(self.began)
    }

    /// False when nobody reads any more.
    async fn put(&mut self, piece: Bytes, values: u64) -> Result<bool, Failure> {
        let first = self.done == 0;
        let mut text = Bytes::new();
        if first && !self.form.begin().is_empty() {
            text = Bytes::from_static(self.form.begin().as_bytes());
        }
        if !text.is_empty() && !self.sink.put(text).await? {
            return Ok(false);
        }
        let piece = self.form.piece(piece, first);
        if !self.sink.put(piece).await? {
            return Ok(false);
        }
        self.done += values;
        let took = self.took();
        let (done, total, unit) = (self.done, self.total, self.unit);
        self.progress.tell(|| bar(done, total, took, unit));
        if self.done == self.total && !self.form.end().is_empty() {
            return self.sink.put(Bytes::from_static(self.form.end().as_bytes())).await;
        }
        Ok(true)
    }

    async fn all(&mut self, source: &mut Source<'_>, plan: &Plan) -> Result<bool, Failure> {
        let mut number = 0;
        source
            .fetch(plan, async |body| {
                number += 1;
                self.put(body, plan.size(number - 1)).await
            })
            .await
    }

    /// One member makes them different from each other as long as they are one answer; beyond that it is done here, from
    /// the members' bytes.
    async fn unique(&mut self, source: &mut Source<'_>, min: i64, max: i64, count: u64) -> Result<bool, Failure> {
        if count <= kind::VALUES {
            match self.all(source, &kind::unique_integers(min, max, count)).await {
                // A range that can't be was found before: an older member doesn't know `unique`.
                Err(failure) if failure.exit == Exit::Usage && self.done == 0 => {}
                ended => return ended,
            }
        }
        let mut unique = Unique::new(min, max);
        let mut left = count;
        // A range of nearly 2^64 numbers refuses some bits; then there is a next, smaller turn.
        while left > 0 {
            let bytes = kind::random_bytes(left.saturating_mul(8));
            let read = source
                .fetch(&bytes, async |body| {
                    let mut text = String::with_capacity(body.len());
                    let mut values = 0;
                    for bits in body.as_chunks::<8>().0 {
                        if let Some(number) = unique.next(u64::from_be_bytes(*bits)) {
                            text.push_str(&number.to_string());
                            text.push('\n');
                            values += 1;
                        }
                    }
                    left -= values;
                    self.put(text.into(), values).await
                })
                .await?;
            if !read {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
