//! `get`: fetches any number of random values from the members of a set, and writes them to standard output or a file.
//!
//! [`kind`] has the arguments, [`plan`] splits a request into batches that one response holds, [`fetch`] spreads them over members
//! ([`super::spread`]), [`form`] formats them and [`sink`] writes them.

mod bar;
mod fetch;
mod form;
mod kind;
mod plan;
mod sink;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::console::Progress;
use super::failure::note;
use super::target::{Resolve, resolver};
use super::{Exit, Failure};
use crate::clock::{Boot, Clock};
use crate::config::Terminal;
use crate::config::values::show_duration;
use crate::generator::distinct::Distinct;
use crate::shutdown::StopSignals;
use bar::{Unit, bar};
use fetch::Source;
use form::Form;
use kind::{Kind, Options, Wanted};
use plan::{Plan, Shape};
use sink::Sink;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

/// Writes all values, or returns an error.
///
/// # Errors
/// Usage: arguments that contradict each other, or that members refuse. I/O: it can't be written. Try again: no member gives
/// them in time. Data: an answer that isn't a member's.
pub(super) async fn run(args: &Args, clock: Clock) -> Result<(), Failure> {
    let (wanted, how) = args.kind.read()?;
    let resolve = resolver(&how.nameservers);
    let to_stdout = to_stdout(how);
    let form = Form::of(wanted.plan.shape, wanted.hex, how.json);
    if how.output.is_none() && !form.is_text(wanted.plan.shape) && Terminal::stdout().interactive {
        let line =
            "random bytes would garble the terminal: use --hex, --output FILE, a pipe, or --output - if you mean that";
        return Err(Failure::new(Exit::Usage, line));
    }
    // Catch signals before the draft file exists: an uncaught one would leave it behind.
    let signals = (!to_stdout).then(|| StopSignals::listen().ok()).flatten();
    let sink = match &how.output {
        Some(path) if !to_stdout => Sink::file(path)?,
        _ => Sink::stdout()?,
    };
    let interrupted = match sink.is_draft() {
        true => "interrupted; no file was written",
        false => "interrupted; the output is incomplete",
    };
    let getting = get(&wanted, form, how, sink, &*resolve, &clock);
    let getting = async {
        match how.timeout {
            None => getting.await,
            Some(limit) => match tokio::time::timeout(limit, getting).await {
                Ok(got) => got,
                Err(_) => {
                    let line = format!("not done within --timeout {}", show_duration(limit));
                    Err(Failure::new(Exit::TryAgain, line))
                }
            },
        }
    };
    let Some(mut signals) = signals else {
        return getting.await;
    };
    tokio::select! {
        biased;
        () = signals.next() => Err(Failure::new(Exit::TryAgain, interrupted)),
        got = getting => got,
    }
}

fn to_stdout(how: &Options) -> bool {
    how.output.as_deref().is_none_or(|path| path == Path::new("-"))
}

async fn get(
    wanted: &Wanted,
    form: Form,
    how: &Options,
    sink: Sink,
    resolve: &Resolve,
    clock: &Clock,
) -> Result<(), Failure> {
    let mut report = |line: &str, news: bool| {
        if how.verbose || news && !how.quiet {
            note(line);
        }
    };
    let mut source = Source::open(&how.members, resolve, clock.clone(), &mut report).await?;
    let mut stderr = io::stderr();
    // Values on the terminal already show progress, and a bar would overwrite them.
    let seen = to_stdout(how) && Terminal::stdout().interactive;
    let shown = Terminal::stderr().overwrites && !how.quiet && !seen;
    let unit = match wanted.plan.shape {
        Shape::Bytes => Unit::Bytes,
        Shape::Lines { .. } | Shape::Object => Unit::Values,
    };
    let mut writing = Writing {
        form,
        sink,
        opened: false,
        done: 0,
        total: wanted.plan.total,
        unit,
        began: clock.boot(),
        clock: clock.clone(),
        progress: Progress::new(shown.then_some(&mut stderr as &mut dyn Write), clock.clone()),
    };
    let read = writing.write_all(&mut source, wanted).await?;
    let (done, took) = (writing.done, writing.took());
    drop(writing.progress);
    if read && writing.sink.finish().await? && how.verbose {
        let what = match unit {
            Unit::Bytes => "bytes",
            Unit::Values => "values",
        };
        note(&format!("{done} {what} in {:.1} s", took.as_secs_f64()));
    }
    Ok(())
}

/// The output: where values go, and how many were written.
struct Writing<'a> {
    form: Form,
    sink: Sink,
    opened: bool,
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

    /// Returns false when the reader has closed the pipe.
    async fn put(&mut self, piece: Bytes, values: u64) -> Result<bool, Failure> {
        // Write the opening only with the first piece, so that a command that fails early writes nothing.
        if !self.opened && !self.text(self.form.begin()).await? {
            return Ok(false);
        }
        self.opened = true;
        // A piece may hold no values: a comma is due only after the first value.
        let piece = self.form.piece(piece, self.done == 0);
        if !self.sink.put(piece).await? {
            return Ok(false);
        }
        self.done += values;
        let took = self.took();
        let (done, total, unit) = (self.done, self.total, self.unit);
        self.progress.show(|| bar(done, total, took, unit));
        Ok(true)
    }

    async fn text(&mut self, text: &'static str) -> Result<bool, Failure> {
        match text.is_empty() {
            true => Ok(true),
            false => self.sink.put(Bytes::from_static(text.as_bytes())).await,
        }
    }

    /// All values, formatted.
    async fn write_all(&mut self, source: &mut Source<'_>, wanted: &Wanted) -> Result<bool, Failure> {
        let read = match wanted.distinct {
            None => self.write_plan(source, &wanted.plan).await,
            Some((min, max)) => self.draw_distinct(source, min, max, wanted.plan.total).await,
        }?;
        Ok(read && self.text(self.form.end()).await?)
    }

    async fn write_plan(&mut self, source: &mut Source<'_>, plan: &Plan) -> Result<bool, Failure> {
        let mut number = 0;
        source
            .fetch(plan, async |body| {
                number += 1;
                self.put(body, plan.size(number - 1)).await
            })
            .await
    }

    /// Distinct numbers, drawn from the members' random bytes.
    async fn draw_distinct(
        &mut self,
        source: &mut Source<'_>,
        min: i64,
        max: i64,
        mut left: u64,
    ) -> Result<bool, Failure> {
        let mut distinct = Distinct::new(min, max);
        // Some bits are rejected in a very wide range; another, smaller round replaces them.
        while left > 0 {
            let bytes = Plan::bytes(left.saturating_mul(8));
            let read = source
                .fetch(&bytes, async |body| {
                    let mut text = String::with_capacity(body.len());
                    let mut values = 0;
                    for bits in body.as_chunks::<8>().0 {
                        if let Some(number) = distinct.next(u64::from_be_bytes(*bits)) {
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
