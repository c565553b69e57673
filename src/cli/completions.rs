//! `completions` and `man`: what shells and man(1) read, made from the arguments themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::console::Console;
use super::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell to write it for
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory, created if missing [default: the main page, to standard output]
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Writes the script.
pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    // clap_complete 4.6 gives bash two different labels for the commands of a program that has a hyphen in its name, and so
    // completes nothing.
    let script = String::from_utf8_lossy(&script).replace("random__subcmd__generator", "random__generator");
    console.put(&script).map(|_| ())
}

/// Writes the page, or all of them.
pub(super) fn man(args: &ManArgs, command: Command, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let failed = |path: &Path, error: io::Error| Failure::new(Exit::Io, format!("{}: {error}", path.display()));
    let Some(directory) = &args.directory else {
        let (_, page) = page(command).map_err(|error| failed(Path::new("standard output"), error))?;
        return console.put(&String::from_utf8_lossy(&page)).map(|_| ());
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let mut pages = vec![command];
    while let Some(command) = pages.pop() {
        pages.extend(command.get_subcommands().cloned());
        let (name, page) = page(command).map_err(|error| failed(directory, error))?;
        let path = directory.join(name);
        fs::write(&path, page).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The page's file name, with the parent command's (`random-generator-get.1`), and its text.
fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    let page = Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok((page.get_filename(), text))
}
