//! The output of a running set: a table of the members, then a line for each event. For people, or as JSON lines.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Value, json};

use super::layout::Place;
use crate::clock::Clock;
use crate::table::Table;

/// An event of the set; as JSON, one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    Started {
        member: String,
        pid: u32,
    },
    /// It died, and will be restarted.
    Exited {
        member: String,
        code: Option<i32>,
        how: String,
        again_in_ms: u64,
    },
    /// It was stopped with the set.
    Ended {
        member: String,
        how: String,
    },
    /// The leader, as a member reports it; None: nobody leads.
    Leader {
        member: Option<String>,
        fence: u64,
    },
    Draw(Drawn),
    Trouble {
        text: String,
    },
}

/// What is shown of a final record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drawn {
    pub round: u64,
    pub slot: String,
    /// `rg-1`
    pub holder: String,
    /// First digits of the output; None without a reveal.
    pub output: Option<String>,
    /// Slots before this one that nobody drew.
    pub missed: u64,
    /// `rg-2 (timeout)`
    pub missing: Vec<String>,
}

/// Writes events. The table waits until each member has started, or something else happens.
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

    /// Adds to the table how commands find the set by `srv://`.
    pub fn with_dns(mut self, service: &'static str, nameserver: SocketAddr) -> Output {
        self.dns = Some((service, nameserver));
        self
    }

    /// Writes one event as one line, or as the table. Errors are the writer's (its reader is gone).
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        if let Some(mut table) = self.table.take() {
            if let Event::Started { member, pid } = event {
                let place = self.places.iter().position(|place| place.name == *member);
                if let Some(row) = place.and_then(|place| table.get_mut(place)) {
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
            let mut line = serde_json::to_value(event)?;
            line["time"] = json!(format!("{time:.3}"));
            writeln!(self.to, "{line}")?;
        } else {
            let (colour, text) = as_text(event);
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
        let rows = self.places.iter().zip(pids).map(|(place, pid)| {
            let pid = pid.map_or("-".to_owned(), |pid| pid.to_string());
            vec![place.name.clone(), url(place), place.volume.display().to_string(), pid]
        });
        let rows: Vec<_> = rows.collect();
        let mut table = Table::new(&["member", "url", "volume", "pid"]);
        write!(self.to, "{}", table.part(&rows, self.colour))?;
        if let Some((service, nameserver)) = self.dns {
            writeln!(
                self.to,
                "all members: --discovery-nameserver {nameserver} srv://{service}"
            )?;
        }
        self.to.flush()
    }
}

/// The event for people, with its colour.
fn as_text(event: &Event) -> (&'static str, String) {
    match event {
        Event::Started { member, pid } => ("", format!("{member} started, pid {pid}")),
        Event::Exited {
            member,
            how,
            again_in_ms,
            ..
        } => (RED, format!("{member} {how}; restarting in {again_in_ms} ms")),
        Event::Ended { member, how } => ("", format!("{member} {how}")),
        Event::Leader {
            member: Some(member),
            fence,
        } => (GREEN, format!("{member} leads, fence {fence}")),
        Event::Leader { member: None, .. } => (RED, "nobody leads".to_owned()),
        Event::Draw(draw) => {
            let output = draw.output.as_deref();
            let output = output.map_or("no output".to_owned(), |digits| format!("{digits}…"));
            let mut text = format!("draw {} of {} by {}: {output}", draw.round, draw.slot, draw.holder);
            if draw.missed > 0 {
                let slots = if draw.missed == 1 { "slot" } else { "slots" };
                text.push_str(&format!(", {} {slots} missed before", draw.missed));
            }
            if !draw.missing.is_empty() {
                text.push_str(&format!(", without {}", draw.missing.join(", ")));
            }
            ("", text)
        }
        Event::Trouble { text } => (RED, text.clone()),
    }
}

fn url(place: &Place) -> String {
    format!("http://127.0.0.1:{}/", place.public_port)
}
