//! The image's commands are Java's: `java RandomRunner ...`, `java -classpath / RandomRunner ...`, `java -jar ...`. A file `java` in
//! the workshop image is this program under another name, and these become arguments of its own.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The class that is the batch.
const RUNNER: &str = "RandomRunner";
/// Options of Java that the next argument belongs to.
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

/// Why arguments are nothing that this image runs: exit 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JavaError {
    #[error("java needs a class or -jar FILE: `java RandomRunner FILE LINES`, or `java -jar FILE` for the service")]
    Nothing,
    #[error("there is no class {0}: only RandomRunner, and the service by -jar")]
    NoSuchClass(String),
}

/// The program's own arguments in place of Java's; none when it was not called `java`.
///
/// `-jar FILE` is the service, and the batch where the batch's arguments follow: the image has both in one file.
pub fn translated(arguments: &[OsString]) -> Option<Result<Vec<OsString>, JavaError>> {
    let (program, rest) = arguments.split_first()?;
    let called = Path::new(program).file_name();
    (called == Some(OsStr::new("java"))).then(|| own(program, rest))
}

fn own(program: &OsStr, arguments: &[OsString]) -> Result<Vec<OsString>, JavaError> {
    let with = |first: &[&str], more: &[OsString]| {
        let first = first.iter().map(OsString::from);
        Ok([program.to_owned()]
            .into_iter()
            .chain(first)
            .chain(more.iter().cloned())
            .collect())
    };
    let batch = |arguments: &[OsString]| with(&["batch"], arguments);
    let mut rest = arguments;
    while let Some((first, more)) = rest.split_first() {
        let text = first.to_string_lossy();
        rest = match text.as_ref() {
            "-version" | "--version" => return with(&["--version"], &[]),
            "-jar" => {
                let more = more.get(1..).ok_or(JavaError::Nothing)?;
                return match more.split_first() {
                    Some((class, arguments)) if class == RUNNER => batch(arguments),
                    // Properties of the service (`--server.port=9090`) are no argument of the batch.
                    Some((first, _)) if first == "--seed" || !first.to_string_lossy().starts_with("--") => batch(more),
                    _ => with(&["serve", "--reference"], &[]),
                };
            }
            option if WITH_VALUE.contains(&option) => more.get(1..).ok_or(JavaError::Nothing)?,
            option if option.starts_with('-') && option.len() > 1 => more,
            RUNNER => return batch(more),
            other => return Err(JavaError::NoSuchClass(other.to_owned())),
        };
    }
    Err(JavaError::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Option<Result<String, JavaError>> {
        let arguments: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        let own = translated(&arguments)?;
        Some(own.map(|own| own.join(OsStr::new(" ")).into_string().unwrap()))
    }

    #[test]
    fn the_commands_of_manifests_lead_to_the_batch_or_to_the_service() {
        for (java, own) in [
            ("java RandomRunner /numbers.txt 10000", "java batch /numbers.txt 10000"),
            ("java -cp / RandomRunner - -5", "java batch - -5"),
            ("java -classpath / RandomRunner --seed 7 - 3", "java batch --seed 7 - 3"),
            ("/usr/bin/java -Xmx64m -Da=b RandomRunner", "/usr/bin/java batch"),
            ("java -jar app.jar", "java serve --reference"),
            ("java -jar app.jar --server.port=9090", "java serve --reference"),
            ("java -jar app.jar - 3", "java batch - 3"),
            ("java -jar app.jar RandomRunner /f 3 30", "java batch /f 3 30"),
            ("java -version", "java --version"),
        ] {
            assert_eq!(of(java), Some(Ok(own.to_owned())), "{java}");
        }
        assert_eq!(of("random-generator -jar x"), None);
    }

    #[test]
    fn what_this_image_does_not_run_is_named() {
        for nothing in ["java", "java -cp", "java -jar", "java -Xmx1g"] {
            assert_eq!(of(nothing), Some(Err(JavaError::Nothing)), "{nothing}");
        }
        assert_eq!(of("java Hello"), Some(Err(JavaError::NoSuchClass("Hello".into()))));
    }
}
