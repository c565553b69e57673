//! `--help` with the commands in groups, which clap can't do.

use std::fmt::Write;

use clap::Command;

/// Each command is in one group.
pub(super) const GROUPS: [(&str, &[&str]); 5] = [
    ("Run members", &["serve", "cluster"]),
    ("Get numbers", &["get"]),
    ("Look at a set", &["draws", "verify", "peers", "leader", "health"]),
    ("Look after a member", &["journal", "ledger", "admin"]),
    ("Other", &["completions", "man", "help"]),
];

/// `command` with its main help in groups.
pub(super) fn grouped(command: Command) -> Command {
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (title, names) in GROUPS {
        // Writing to a String does not fail.
        let _ = writeln!(text, "\n{title}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = match about {
                Some(about) => about.to_string(),
                None => "Print this message or the help of a command".to_owned(),
            };
            let _ = writeln!(text, "  {name:12} {about}");
        }
    }
    text.push_str("\nOptions:\n{options}{after-help}");
    command.help_template(text)
}
