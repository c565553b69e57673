//! docs/command_line.md has every command and every argument, and nothing else: its reference is made from the arguments.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::{Arg, Command};

const MARK: &str = "<!-- Below stands what the arguments say of themselves. -->\n";

/// `command` and those below it, in the order of their declaration.
fn reference(text: &mut String, command: &Command, above: &str, level: usize) {
    let name = format!("{above}{}", command.get_name());
    writeln!(text, "\n{} {name}\n", "#".repeat(level)).unwrap();
    let about = command.get_about().unwrap().to_string();
    writeln!(text, "{about}.\n").unwrap();
    let shown = |argument: &&Arg| !["help", "version"].contains(&argument.get_id().as_str());
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        writeln!(text, "| argument | is |\n| --- | --- |").unwrap();
        for argument in arguments {
            writeln!(text, "| `{}` | {} |", written(argument), told(argument)).unwrap();
        }
    }
    if let Some(after) = command.get_after_help() {
        writeln!(text, "\n```text\n{after}\n```").unwrap();
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        reference(text, below, &format!("{name} "), level + 1);
    }
}

fn written(argument: &Arg) -> String {
    let value = argument.get_value_names().map(|names| names[0].to_string());
    let value = value.filter(|_| argument.get_action().takes_values());
    let Some(long) = argument.get_long() else {
        return value.unwrap();
    };
    let short = argument
        .get_short()
        .map_or_else(String::new, |short| format!("-{short}, "));
    let value = value.map_or_else(String::new, |value| format!(" {value}"));
    format!("{short}--{long}{value}")
}

fn told(argument: &Arg) -> String {
    let mut text = argument.get_help().unwrap().to_string();
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    if argument.get_action().takes_values() {
        let allowed: Vec<String> = argument
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        if !allowed.is_empty() {
            text += &format!("; {}", allowed.join(", "));
        }
        if !defaults.is_empty() {
            text += &format!(" [default: {}]", defaults.join(" "));
        }
    }
    text.replace('|', "\\|")
}

#[test]
fn the_documentation_has_every_command_and_argument_and_nothing_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/command_line.md");
    let kept = fs::read_to_string(&path).unwrap();
    let (preface, _) = kept.split_once(MARK).expect("the mark between preface and reference");
    let mut command = random_generator::cli::command().disable_help_subcommand(true);
    command.build();
    let mut fresh = format!("{preface}{MARK}");
    for below in command.get_subcommands() {
        reference(&mut fresh, below, "", 2);
    }
    if std::env::var_os("RANDOM_GENERATOR_UPDATE_DOCS").is_some() {
        fs::write(&path, &fresh).unwrap();
        return;
    }
    let differs = fresh.lines().zip(kept.lines()).find(|(fresh, kept)| fresh != kept);
    assert!(fresh == kept, "{differs:?}: make docs");
}

#[test]
fn the_preface_names_only_exit_codes_that_there_are_and_all_of_them() {
    let kept = include_str!("../../docs/command_line.md");
    let rows = kept
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    let told: Vec<u8> = rows.collect();
    use random_generator::exit::Exit;
    let all = [
        Exit::Done,
        Exit::Usage,
        Exit::Data,
        Exit::Bug,
        Exit::Io,
        Exit::TryAgain,
        Exit::Config,
    ];
    assert_eq!(told, all.map(|exit| exit as u8));
}
