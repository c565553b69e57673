//! What a running set shows: a table of the members, then a line on each change. For people, or as JSON lines.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::layout::Place;
use crate::clock::Clock;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Started {
        ordinal: u16,
        pid: u32,
    },
    /// It died by itself, and will be started again.
    Exited {
        ordinal: u16,
        code: Option<i32>,
        how: String,
        again_in: Duration,
    },
    /// It was ended because the set ends.
    Ended {
        ordinal: u16,
        how: String,
    },
    /// Who leads, as a member reports it; None: nobody.
    Leader {
        member: Option<String>,
        fence: u64,
    },
    Draw(Drawn),
    Trouble(String),
}

/// A final record, as much of it as is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    pub round: u64,
    pub slot: String,
    /// `rg-1`
    pub holder: String,
    /// First digits of the output; None when there was no reveal.
    pub output: Option<String>,
    /// Slots before this one that nobody drew.
    pub missed: u64,
    /// `rg-2 (timeout)`
    pub missing: Vec<String>,
}

/// Writes events. The table waits until each member has started or failed to.
pub struct Output {
    to: Box<dyn Write + Send>,
    json: bool,
    colour: bool,
    clock: Clock,
    places: Vec<Place>,
    /// The Service whose SRV records list the members, and where to ask for them.
    dns: Option<(&'static str, SocketAddr)>,
    /// Process ids for the table, until it is written.
    table: Option<Vec<Option<u32>>>,
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

impl Output {
    pub fn new(to: Box<dyn Write + Send>, json: bool, colour: bool, clock: Clock, places: Vec<Place>) -> Output {
        let table = Some(vec![None; places.len()]);
        Output {
            to,
            json,
            colour: colour && !json,
            clock,
            places,
            dns: None,
            table,
        }
    }

    /// Tells with the table where the commands find the set by `srv://`.
    pub fn telling(mut self, service: &'static str, nameserver: SocketAddr) -> Output {
        self.dns = Some((service, nameserver));
        self
    }

    /// One event: one line, save for the table. Errors are the writer's (a reader that went away).
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        if let Some(mut table) = self.table.take() {
            if let Event::Started { ordinal, pid } = event {
                if let Some(row) = table.get_mut(usize::from(*ordinal)) {
                    *row = Some(*pid);
                }
                if table.iter().any(Option::is_none) {
                    self.table = Some(table);
                    return Ok(());
                }
                return self.write_table(&table);
            }
            self.write_table(&table)?;
        }
        let time = self.clock.wall().timestamp();
        if self.json {
            let mut line = self.as_json(event);
            line["time"] = json!(format!("{time:.3}"));
            writeln!(self.to, "{line}")?;
        } else {
            let (colour, text) = self.as_text(event);
            let (begin, end) = if self.colour && !colour.is_empty() {
                (colour, PLAIN)
            } else {
                ("", "")
            };
            writeln!(self.to, "{} {begin}{text}{end}", time.strftime("%H:%M:%S"))?;
        }
        self.to.flush()
    }

    fn write_table(&mut self, pids: &[Option<u32>]) -> io::Result<()> {
        if self.json {
            let row = |(place, pid): (&Place, &Option<u32>)| json!({"name": place.name, "url": url(place), "volume": place.volume, "log": place.log_file, "pid": pid});
            let members: Vec<Value> = self.places.iter().zip(pids).map(row).collect();
            let mut line = json!({"event": "members", "members": members});
            if let Some((service, nameserver)) = self.dns {
                line["service"] = json!(service);
                line["nameserver"] = json!(nameserver);
            }
            writeln!(self.to, "{line}")?;
            return self.to.flush();
        }
        let volumes = self.places.iter().map(|place| place.volume.display().to_string());
        let rows: Vec<[String; 4]> = std::iter::once(["member", "url", "volume", "pid"].map(str::to_owned))
            .chain(self.places.iter().zip(volumes).zip(pids).map(|((place, volume), pid)| {
                [
                    place.name.clone(),
                    url(place),
                    volume,
                    pid.map_or("-".to_owned(), |pid| pid.to_string()),
                ]
            }))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for (n, [name, url, volume, pid]) in rows.iter().enumerate() {
            let (begin, end) = if self.colour && n == 0 { (BOLD, PLAIN) } else { ("", "") };
            let [a, b, c] = widths;
            writeln!(self.to, "{begin}{name:a$}  {url:b$}  {volume:c$}  {pid}{end}")?;
        }
        if let Some((service, nameserver)) = self.dns {
            writeln!(self.to, "all: --discovery-nameserver {nameserver} srv://{service}")?;
        }
        self.to.flush()
    }

    fn name(&self, ordinal: u16) -> &str {
        self.places
            .get(usize::from(ordinal))
            .map_or("?", |place| place.name.as_str())
    }

    fn as_text(&self, event: &Event) -> (&'static str, String) {
        match event {
            Event::Started { ordinal, pid } => ("", format!("{} started, pid {pid}", self.name(*ordinal))),
            Event::Exited {
                ordinal, how, again_in, ..
            } => {
                let name = self.name(*ordinal);
                (RED, format!("{name} {how}; again in {} ms", again_in.as_millis()))
            }
            Event::Ended { ordinal, how } => ("", format!("{} {how}", self.name(*ordinal))),
            Event::Leader {
                member: Some(member),
                fence,
            } => (GREEN, format!("{member} leads, fence {fence}")),
            Event::Leader { member: None, .. } => (RED, "nobody leads".to_owned()),
            Event::Draw(draw) => {
                let output = draw
                    .output
                    .as_deref()
                    .map_or("none".to_owned(), |digits| format!("{digits}…"));
                let mut text = format!("draw {} of {} by {}: {output}", draw.round, draw.slot, draw.holder);
                if draw.missed > 0 {
                    text.push_str(&format!(", {} slots missed before", draw.missed));
                }
                if !draw.missing.is_empty() {
                    text.push_str(&format!(", without {}", draw.missing.join(", ")));
                }
                ("", text)
            }
            Event::Trouble(text) => (RED, text.clone()),
        }
    }

    fn as_json(&self, event: &Event) -> Value {
        match event {
            Event::Started { ordinal, pid } => json!({"event": "started", "member": self.name(*ordinal), "pid": pid}),
            Event::Exited {
                ordinal,
                code,
                how,
                again_in,
            } => json!({
                "event": "exited", "member": self.name(*ordinal), "code": code, "how": how,
                "again_in_ms": u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX),
            }),
            Event::Ended { ordinal, how } => json!({"event": "ended", "member": self.name(*ordinal), "how": how}),
            Event::Leader { member, fence } => json!({"event": "leader", "member": member, "fence": fence}),
            Event::Draw(draw) => json!({
                "event": "draw", "round": draw.round, "slot": draw.slot, "holder": draw.holder,
                "output": draw.output, "missed": draw.missed, "missing": draw.missing,
            }),
            Event::Trouble(text) => json!({"event": "trouble", "text": text}),
        }
    }
}

fn url(place: &Place) -> String {
    format!("http://127.0.0.1:{}/", place.public_port)
}
