//! `--help`: the commands in groups, which clap can't do, and the texts below each command's arguments.

use std::fmt::Write;

use clap::Command;

/// Each command is in one group.
pub(super) const GROUPS: [(&str, &[&str]); 5] = [
    ("Run members", &["serve", "cluster"]),
    ("Get numbers", &["get"]),
    (
        "Look at a set",
        &["draws", "verify", "peers", "leader", "status", "health"],
    ),
    ("Look after a member", &["journal", "ledger", "admin"]),
    ("Other", &["completions", "man", "help"]),
];

/// What stands below the arguments of each command, under its name.
const BELOW: &str = include_str!("help.txt");

/// `command` with its main help in groups, and the texts below.
pub(super) fn complete(command: Command) -> Command {
    let name = command.get_name().to_owned();
    with_text_below(grouped(command), &name)
}

fn with_text_below(command: Command, name: &str) -> Command {
    let named = |section: &'static str| section.strip_prefix(name)?.strip_prefix('\n');
    let text = BELOW.split("## ").find_map(named);
    let command = command.mut_subcommands(|sub| {
        let name = format!("{name} {}", sub.get_name());
        with_text_below(sub, &name)
    });
    match text {
        Some(text) => command.after_help(text.trim_end()),
        None => command,
    }
}

fn grouped(command: Command) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_stands_below_the_command_that_it_names() {
        let cli = crate::cli::command();
        for section in BELOW.split("## ").skip(1) {
            let (name, text) = section.split_once('\n').unwrap();
            let mut command = Some(&cli);
            for part in name.split(' ').skip(1) {
                command = command.and_then(|command| command.find_subcommand(part));
            }
            let command = command.unwrap_or_else(|| panic!("there is no command {name}"));
            assert_eq!(command.get_after_help().unwrap().to_string(), text.trim_end());
        }
    }
}
