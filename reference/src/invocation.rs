//! Which of three programs this process is: the image's service, its batch `RandomRunner`, or the member beside this file.
//!
//! The image's commands are Java's: `java RandomRunner ...`, `java -classpath / RandomRunner ...`, `java -jar ...`. In the image,
//! `java` is a link to this program.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::environment::{Environment, OF_A_MEMBER};

/// The class that is the batch.
const RUNNER: &str = "RandomRunner";
/// Java's options that take the next argument as their value.
const WITH_VALUE: [&str; 9] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--add-modules",
    "--add-opens",
    "--add-exports",
    "--add-reads",
];

#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    Service,
    /// With its own arguments.
    Batch(Vec<OsString>),
    Version,
    /// With all arguments: they are the member's.
    Member(Vec<OsString>),
}

/// Arguments of `java` that name nothing in this image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JavaError {
    #[error("java needs a class or -jar FILE: `java RandomRunner FILE LINES`, or `java -jar FILE` for the service")]
    NoClass,
    #[error("there is no class {0}: only RandomRunner, and the service by -jar")]
    UnknownClass(String),
}

/// Whether this process was started as `java`.
pub fn is_java(arguments: &[OsString]) -> bool {
    let program = arguments.first().and_then(|program| Path::new(program).file_name());
    program == Some(OsStr::new("java"))
}

/// `arguments` begin with the program. Without any, variables of a member choose the member.
pub fn parse(arguments: &[OsString], environment: &Environment) -> Result<Invocation, JavaError> {
    let given = arguments.get(1..).unwrap_or_default();
    if is_java(arguments) {
        return parse_java(given);
    }
    Ok(match given.split_first() {
        Some((first, rest)) if first == "batch" => Invocation::Batch(rest.to_vec()),
        Some(_) => Invocation::Member(given.to_vec()),
        None if OF_A_MEMBER.iter().any(|name| environment.get(name).is_some()) => Invocation::Member(Vec::new()),
        None => Invocation::Service,
    })
}

/// `-jar FILE` is the service, or the batch if arguments of the batch follow: the image has both in one file.
fn parse_java(mut rest: &[OsString]) -> Result<Invocation, JavaError> {
    let batch = |arguments: &[OsString]| Ok(Invocation::Batch(arguments.to_vec()));
    while let Some((first, more)) = rest.split_first() {
        let text = first.to_string_lossy();
        rest = match text.as_ref() {
            "-version" | "--version" => return Ok(Invocation::Version),
            "-jar" => {
                let more = more.get(1..).ok_or(JavaError::NoClass)?;
                return match more.split_first() {
                    Some((class, arguments)) if class == RUNNER => batch(arguments),
                    // A property of the service (`--server.port=9090`) is no argument of the batch.
                    Some((first, _)) if first == "--seed" || !first.to_string_lossy().starts_with("--") => batch(more),
                    _ => Ok(Invocation::Service),
                };
            }
            option if WITH_VALUE.contains(&option) => more.get(1..).ok_or(JavaError::NoClass)?,
            option if option.starts_with('-') && option.len() > 1 => more,
            RUNNER => return batch(more),
            other => return Err(JavaError::UnknownClass(other.to_owned())),
        };
    }
    Err(JavaError::NoClass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn of(command: &str) -> Result<Invocation, JavaError> {
        parse(&words(command), &Environment::default())
    }

    #[test]
    fn the_commands_of_manifests_lead_to_the_batch_or_to_the_service() {
        for (java, batch) in [
            ("java RandomRunner /numbers.txt 10000", "/numbers.txt 10000"),
            ("java -cp / RandomRunner - -5", "- -5"),
            ("java -classpath / RandomRunner --seed 7 - 3", "--seed 7 - 3"),
            ("/usr/bin/java -Xmx64m -Da=b RandomRunner", ""),
            ("java -jar app.jar - 3", "- 3"),
            ("java -jar app.jar RandomRunner /f 3 30", "/f 3 30"),
            ("random-generator-reference batch /f 3", "/f 3"),
        ] {
            assert_eq!(of(java), Ok(Invocation::Batch(words(batch))), "{java}");
        }
        for service in [
            "java -jar app.jar",
            "java -jar app.jar --server.port=9090",
            "random-generator-reference",
        ] {
            assert_eq!(of(service), Ok(Invocation::Service), "{service}");
        }
        assert_eq!(of("java -version"), Ok(Invocation::Version));
    }

    #[test]
    fn what_this_image_does_not_run_is_named() {
        for nothing in ["java", "java -cp", "java -jar", "java -Xmx1g"] {
            assert_eq!(of(nothing), Err(JavaError::NoClass), "{nothing}");
        }
        assert_eq!(of("java Hello"), Err(JavaError::UnknownClass("Hello".into())));
    }

    #[test]
    fn arguments_or_variables_of_a_member_lead_to_the_member() {
        assert_eq!(
            of("reference serve --voters 1"),
            Ok(Invocation::Member(words("serve --voters 1")))
        );
        for name in OF_A_MEMBER {
            let environment = Environment::of(&[(name, "1")]);
            assert_eq!(
                parse(&words("reference"), &environment),
                Ok(Invocation::Member(vec![])),
                "{name}"
            );
        }
        let around = [
            ("RANDOM_GENERATOR_DATA_DIR", "/logs"),
            ("RANDOM_GENERATOR_PORT", "tcp://10.0.0.1:80"),
        ];
        assert_eq!(
            parse(&words("reference"), &Environment::of(&around)),
            Ok(Invocation::Service)
        );
    }
}
