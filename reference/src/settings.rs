//! The settings: variables, and files of properties that SPRING_CONFIG_LOCATION names. A variable wins.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::{Environment, OF_THE_IMAGE, ROOT, VERSION};
use crate::java_number;
use crate::properties;

/// Bytes of a file of properties: more than a ConfigMap may have.
const PROPERTIES_MAX: u64 = 2 * 1024 * 1024;

/// A wrong setting: exit 1, as in the image.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is '{value}': {allowed}")]
    Value {
        name: &'static str,
        value: String,
        allowed: &'static str,
    },
    #[error("SPRING_CONFIG_LOCATION: {} can't be read: {source}", path.display())]
    Location { path: PathBuf, source: io::Error },
}

/// All settings; none of them is empty text.
#[derive(Debug)]
pub struct Settings {
    /// A host's address or name; none for all addresses.
    pub address: Option<String>,
    /// 0 for any that is free.
    pub port: u16,
    pub log_file: Option<PathBuf>,
    pub log_url: Option<String>,
    /// None for unpredictable numbers; never 0.
    pub seed: Option<i64>,
    pub pattern: Option<String>,
    /// Shown in `/info` if `pattern` is none.
    pub random_pattern: Option<String>,
    pub build_type: Option<String>,
    pub version: String,
    pub pod_ip: Option<String>,
    pub node_name: Option<String>,
    /// What `/actuator/health` begins with.
    pub healthy: bool,
    /// Whether `/actuator/health` has the groups for probes.
    pub has_probes: bool,
    pub delay: Duration,
    pub wait_for_post_start: bool,
    /// The environment as `/info` shows it: the image's variables alone.
    pub variables: Vec<(&'static str, String)>,
    /// `/tmp` and `/pod-info` are below it.
    pub root: PathBuf,
}

impl Settings {
    /// Reads the files that SPRING_CONFIG_LOCATION names as well.
    pub fn read(environment: &Environment) -> Result<Settings, SettingsError> {
        let variable = |name: &str| environment.get(name).map(str::to_owned);
        let mut files = Vec::new();
        for location in environment
            .get("SPRING_CONFIG_LOCATION")
            .map(locations)
            .unwrap_or_default()
        {
            files.extend(location.read()?);
        }
        // The last one counts, within a file and between files.
        let property = |key: &str| {
            let found = files.iter().rev().find(|(there, _)| there == key);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let either = |name: &str, key: &str| variable(name).or_else(|| property(key));
        let is = |name: &str, word: &str| {
            environment
                .get(name)
                .is_some_and(|text| text.trim().eq_ignore_ascii_case(word))
        };
        let given = OF_THE_IMAGE.iter().filter_map(|name| Some((*name, variable(name)?)));
        Ok(Settings {
            address: variable("SERVER_ADDRESS"),
            port: port(
                variable("SERVER_PORT").filter(|port| !is_injected(port)),
                property("server.port"),
            )?,
            log_file: either("LOG_FILE", "log.file").map(PathBuf::from),
            log_url: variable("LOG_URL"),
            seed: either("SEED", "seed")
                .map(|text| whole("SEED", &text))
                .transpose()?
                .filter(|seed| *seed != 0),
            pattern: either("PATTERN", "pattern"),
            random_pattern: variable("RANDOM_PATTERN"),
            build_type: variable("BUILD_TYPE"),
            version: either("VERSION", "version")
                .or_else(|| variable(VERSION))
                .unwrap_or_else(|| String::from("1.0")),
            pod_ip: variable("POD_IP"),
            node_name: variable("NODE_NAME"),
            healthy: !is("HEALTHY", "false"),
            has_probes: environment.has_service(),
            delay: variable("DELAY_STARTUP")
                .map_or(Ok(0), |text| whole("DELAY_STARTUP", &text))
                .map(seconds)?,
            wait_for_post_start: is("WAIT_FOR_POST_START", "true"),
            variables: given.collect(),
            root: PathBuf::from(environment.get(ROOT).unwrap_or("/")),
        })
    }
}

/// A negative count is 0.
fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.try_into().unwrap_or(0))
}

fn whole(name: &'static str, text: &str) -> Result<i64, SettingsError> {
    java_number::long(text).ok_or_else(|| SettingsError::Value {
        name,
        value: text.to_owned(),
        allowed: "a whole number of at most 64 bits",
    })
}

/// A Service named `server` beside the Pod sets SERVER_PORT=tcp://...; the image ends by it.
fn is_injected(text: &str) -> bool {
    text.starts_with("tcp://") || text.starts_with("udp://")
}

fn port(variable: Option<String>, property: Option<String>) -> Result<u16, SettingsError> {
    let Some(text) = variable.or(property) else {
        return Ok(8080);
    };
    let number = java_number::long(&text).and_then(|port| u16::try_from(port).ok());
    number.ok_or(SettingsError::Value {
        name: "SERVER_PORT",
        value: text,
        allowed: "a port, 0 to 65535",
    })
}

/// One place of SPRING_CONFIG_LOCATION.
#[derive(Debug, PartialEq, Eq)]
struct Location {
    path: PathBuf,
    optional: bool,
}

/// `[optional:][file:]PATH`, separated by commas or semicolons.
fn locations(text: &str) -> Vec<Location> {
    let one = |text: &str| {
        let (optional, rest) = match text.strip_prefix("optional:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix("file:").unwrap_or(rest);
        // A URL of a file has an empty host before its path.
        let path = rest
            .strip_prefix("//")
            .filter(|path| path.starts_with('/'))
            .unwrap_or(rest);
        Location {
            path: PathBuf::from(path),
            optional,
        }
    };
    text.split([',', ';'])
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(one)
        .collect()
}

impl Location {
    /// A folder may lack application.properties; a path that isn't there is an error, unless optional.
    fn read(self) -> Result<Vec<(String, String)>, SettingsError> {
        let inside = self.path.join("application.properties");
        let (path, may_be_absent) = match self.path.is_dir() {
            true => (inside.as_path(), true),
            false => (self.path.as_path(), self.optional),
        };
        match text_of(path) {
            Ok(text) => Ok(properties::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_absent => Ok(Vec::new()),
            Err(source) => Err(SettingsError::Location {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

/// UTF-8, or ISO 8859-1 as such files were written before.
fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PROPERTIES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PROPERTIES_MAX {
        return Err(io::Error::other("it is larger than 2 MiB"));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(&Environment::of(variables))
    }

    #[test]
    fn without_variables_everything_has_the_images_default() {
        let settings = with(&[]).unwrap();
        assert_eq!((settings.port, settings.version.as_str()), (8080, "1.0"));
        assert!(settings.healthy && !settings.wait_for_post_start && settings.seed.is_none());
    }

    #[test]
    fn a_variable_wins_over_a_property_and_a_later_file_over_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("first.properties");
        fs::write(&first, "version=2.0\nseed=7\nlog.file=/a\n").unwrap();
        let folder = dir.path().join("config");
        fs::create_dir(&folder).unwrap();
        fs::write(
            folder.join("application.properties"),
            "server.port=9090\nseed=8\npattern=P\n",
        )
        .unwrap();
        let location = format!("file:{},optional:/not/there,{}/", first.display(), folder.display());
        let settings = with(&[("SPRING_CONFIG_LOCATION", &location), ("PATTERN", "mine")]).unwrap();
        assert_eq!((settings.version.as_str(), settings.port), ("2.0", 9090));
        assert_eq!((settings.seed, settings.pattern.as_deref()), (Some(8), Some("mine")));
        assert_eq!(settings.log_file, Some(PathBuf::from("/a")));
    }

    #[test]
    fn what_is_no_number_or_not_there_is_named() {
        for (name, value) in [("SEED", "abc"), ("DELAY_STARTUP", "5s"), ("SERVER_PORT", "70000")] {
            let error = with(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let error = with(&[("SPRING_CONFIG_LOCATION", "/not/there.properties")]).unwrap_err();
        assert!(error.to_string().contains("/not/there.properties"), "{error}");
    }

    #[test]
    fn what_a_service_named_server_injects_is_no_port() {
        assert_eq!(with(&[("SERVER_PORT", "tcp://10.0.0.1:80")]).unwrap().port, 8080);
    }

    #[test]
    fn a_place_is_a_path_with_or_without_the_prefixes_of_the_image() {
        let one = |text: &str| locations(text).pop().map(|location| location.path);
        for text in ["/c/a.properties", "file:/c/a.properties", "file:///c/a.properties"] {
            assert_eq!(one(text), Some(PathBuf::from("/c/a.properties")), "{text}");
        }
    }
}
