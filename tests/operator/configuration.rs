//! docs/configuration.md has every argument of a member and of a set, as the command line declares them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::{Arg, Args, Command};
use random_generator::config::{ClusterArgs, ServeArgs};

use crate::page;

/// What is read of the environment beside the arguments' own variables.
const OTHERS: [(&str, &str); 10] = [
    (
        "POD_NAME",
        "`--pod-name`, where that is not given: Kubernetes gives these five to a Pod by the downward API",
    ),
    ("POD_NAMESPACE", "`--pod-namespace`"),
    ("POD_UID", "`--pod-uid`"),
    ("POD_IP", "`--pod-ip`"),
    ("NODE_NAME", "`--node-name`"),
    (
        "KUBERNETES_SERVICE_HOST",
        "where a Pod finds the API server, with `--lease-store kubernetes` and no `--kubeconfig`",
    ),
    ("KUBERNETES_SERVICE_PORT", "its port"),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "`--otlp-endpoint`, where that is not given, in a build with the feature `otlp`",
    ),
    ("NO_COLOR", "no colour on a terminal, whatever it says"),
    ("TERM", "no colour and no progress bar where it is `dumb`"),
];

/// The value's kind and its help, parted from the default that the help tells of.
fn help(argument: &Arg) -> (String, Option<String>) {
    let help = argument.get_help().unwrap().to_string();
    match help.split_once(" [default: ") {
        Some((help, default)) => (help.to_owned(), Some(default.trim_end_matches(']').to_owned())),
        None => (help, None),
    }
}

fn row(page: &mut String, argument: &Arg) {
    let flag = !argument.get_action().takes_values();
    let value = argument
        .get_value_names()
        .map_or(String::new(), |names| names.join(" "));
    let name = match (argument.get_long(), flag) {
        (Some(long), true) => format!("--{long}"),
        (Some(long), false) => format!("--{long} {value}"),
        (None, _) => value,
    };
    let variable = argument
        .get_env()
        .map_or(String::new(), |name| format!("`{}`", name.to_str().unwrap()));
    let (mut text, told) = help(argument);
    let given: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    let default = match (told, given.is_empty()) {
        (Some(told), _) => told,
        (None, false) if !flag => format!("`{}`", given.join(",")),
        _ => String::new(),
    };
    let possible = argument.get_possible_values();
    if !possible.is_empty() && !flag {
        let values: Vec<String> = possible
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        write!(text, ": {}", values.join(", ")).unwrap();
    }
    let (text, default) = (page::cell(&text), page::cell(&default));
    writeln!(page, "| `{name}` | {variable} | {default} | {text} |").unwrap();
}

/// As Kubernetes reads them: tests/schedule.rs and tests/interop show it.
const SCHEDULES: &str = "
## Schedules

`--draw-schedule` takes a period or a cron line. A period is `@every` with seconds, minutes or hours, up to 24 hours: `@every 10s`. Its slots are counted from the epoch, so every member has the same.

A cron line is read as Kubernetes reads that of a CronJob, so you can copy it: five fields (minute, hour, day of month, month, day of week) with numbers, names (`MON-FRI`, `JAN`), lists, ranges, steps (`*/5`, `10-30/5`, or `8/4` for every fourth from 8 on), and `?`, which is `*`; or one of `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and `@yearly` (`@annually`). If both day fields are restricted, either is enough: `0 0 13 * 5` is each 13th and each Friday. Records hold the line in numbers: `15 10 ? * MON-FRI` becomes `15 10 * * 1-5`.

Three things differ from a CronJob. Slots are in UTC, so that all members and verifiers agree: `CRON_TZ=` and `TZ=` are refused. Day of week 7 is Sunday, as 0 is; Kubernetes refuses it. A day that never comes, as in `0 0 30 2 *`, is refused; Kubernetes accepts it, and never runs the job.
";

const HEAD: &str = "| argument | variable | default | what it does |\n| --- | --- | --- | --- |\n";

/// All but help, which is everybody's.
fn arguments(command: &Command) -> Vec<&Arg> {
    command
        .get_arguments()
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .collect()
}

#[test]
fn every_argument_is_documented_as_the_command_line_declares_it() {
    let mut page = String::from(
        "# Configuration\n\n\
         For anyone who configures a member. Generated from the command line's declarations (`make docs`); a test checks it.\n\n\
         Each argument may also be given as its variable; the argument wins. Secrets are in files that an argument names, never \
         in an argument or a variable. A duration is a number and a unit (`500ms`, `1.5s`, `2m`), a size is bytes or a number \
         and a unit (`64KB`, `10MiB`). A wrong value, or an empty one, stops the member with exit code 64 and one line that says what is \
         allowed; an unknown `RANDOM_GENERATOR_…` variable is logged.\n",
    );
    let serve = ServeArgs::augment_args(Command::new("serve"));
    let mut heading = None;
    for argument in arguments(&serve).into_iter().filter(|argument| !argument.is_hide_set()) {
        if argument.get_help_heading() != heading {
            heading = argument.get_help_heading();
            write!(page, "\n## `serve`: {}\n\n{HEAD}", heading.unwrap()).unwrap();
        }
        row(&mut page, argument);
    }
    page.push_str(
        "\nIn `--log-filter`, a level alone is for everything, and `TARGET=LEVEL` for a module of the program or of a library and \
         everything below it, such as `lease_election=debug`; the most specific one wins. To change it while the member \
         runs, use `PUT /log-level` on the admin listener.\n",
    );
    page.push_str(SCHEDULES);
    write!(page, "\n## `serve`: set by `cluster` for its members\n\n{HEAD}").unwrap();
    arguments(&serve)
        .into_iter()
        .filter(|argument| argument.is_hide_set())
        .for_each(|argument| row(&mut page, argument));
    write!(page, "\n## `cluster`\n\n{HEAD}").unwrap();
    let cluster = ClusterArgs::augment_args(Command::new("cluster"));
    arguments(&cluster)
        .into_iter()
        .for_each(|argument| row(&mut page, argument));
    page.push_str("\n## Other variables that are read\n\n| variable | gives |\n| --- | --- |\n");
    for (name, gives) in OTHERS {
        writeln!(page, "| `{name}` | {gives} |").unwrap();
    }
    page::check("configuration.md", &page);
}

#[test]
fn every_variable_that_the_sources_read_is_on_the_page() {
    let documented = page::read("configuration.md");
    let mut seen = 0;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        // Of what a call is given as a literal; value names of arguments are not.
        let shown = source
            .lines()
            .filter(|line| !line.contains("value_name"))
            .flat_map(|line| line.split('"').skip(1).step_by(2));
        for name in shown.filter(|text| text.len() > 3 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')) {
            // What begins or ends so is a part of a name; the others are in tests.
            if name.starts_with('_') || name.ends_with('_') || ["HOME", "RANDOM_GENERATOR_VOTRES"].contains(&name) {
                continue;
            }
            let injected =
                name.starts_with("RANDOM_GENERATOR_") && (name.contains("_PORT") || name.contains("_SERVICE_"));
            assert!(injected || documented.contains(&format!("`{name}`")), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} variables seen");
}
