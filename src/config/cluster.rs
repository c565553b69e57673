//! The arguments of `random-generator cluster`, and their variables.

use std::path::PathBuf;

/// Start a set of members on this machine: one process each, with a DNS server and a shared lease directory
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// Number of members, 1 to 32
    #[arg(long, value_name = "N", default_value_t = 3, env = "RANDOM_GENERATOR_MEMBERS")]
    pub members: u16,
    /// Member n listens on this port + 10 n for the public, then + 1 for peers, + 2 for administration, + 3 for metrics
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8080,
        env = "RANDOM_GENERATOR_BASE_PORT"
    )]
    pub base_port: u16,
    /// Directory for the members' volumes, logs, process ids and the lease
    #[arg(
        long,
        value_name = "DIR",
        default_value = "random-generator-data",
        env = "RANDOM_GENERATOR_DATA_DIR"
    )]
    pub data_dir: PathBuf,
    /// Print events as JSON lines
    #[arg(long, env = "RANDOM_GENERATOR_JSON")]
    pub json: bool,
    /// Options of `serve`, passed to every member, such as --lease-duration 2s
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SERVE OPTIONS")]
    pub serve: Vec<String>,
}

impl ClusterArgs {
    /// The order of options is free: clap leaves everything after the first option of `serve` to the members, and this takes those
    /// of `cluster` out again.
    pub fn with_trailing_options(mut self) -> Result<ClusterArgs, String> {
        let mut passed = Vec::new();
        let mut rest = std::mem::take(&mut self.serve).into_iter();
        while let Some(argument) = rest.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (argument.clone(), None),
            };
            match option.as_str() {
                "--" => {}
                "--json" if value.is_none() => self.json = true,
                "--members" | "--base-port" | "--data-dir" => {
                    let value = value.or_else(|| rest.next());
                    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
                    let number = |most: u16| {
                        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                        number.ok_or_else(|| format!("{option} {value:?}: give a number from 1 to {most}"))
                    };
                    match option.as_str() {
                        "--members" => self.members = number(32)?,
                        "--base-port" => self.base_port = number(u16::MAX)?,
                        _ => self.data_dir = PathBuf::from(value),
                    }
                }
                _ => passed.push(argument),
            }
        }
        self.serve = passed;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        cluster: ClusterArgs,
    }

    fn parsed(line: &str) -> Result<ClusterArgs, String> {
        Line::try_parse_from(line.split(' '))
            .unwrap()
            .cluster
            .with_trailing_options()
    }

    #[test]
    fn options_of_serve_are_passed_on_wherever_they_stand() {
        for line in [
            "cluster --members 5 --data-dir d --lease-duration 2s --draw-schedule x",
            "cluster --lease-duration 2s --draw-schedule x --data-dir=d --members 5",
            "cluster --members=5 --lease-duration 2s --data-dir d --draw-schedule x",
        ] {
            let args = parsed(line).unwrap();
            assert_eq!((args.members, args.data_dir.as_path()), (5, Path::new("d")), "{line}");
            assert_eq!(args.serve, ["--lease-duration", "2s", "--draw-schedule", "x"], "{line}");
        }
        for (value, most) in [
            ("--members many", 32),
            ("--members 70000", 32),
            ("--base-port 0", 65535),
        ] {
            let refused = parsed(&format!("cluster --x {value}")).unwrap_err();
            assert!(
                refused.contains(&format!("give a number from 1 to {most}")),
                "{refused}"
            );
        }
        assert!(parsed("cluster --x --members").unwrap_err().contains("needs a value"));
    }
}
