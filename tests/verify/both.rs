//! Both verifiers behind one question: which rule is broken first, and in which line?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use random_generator::record::chain::{Summary, Verifier, VerifyError};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// `verified`, or the broken rule.
    pub rule: String,
    /// 0 where a verdict is on the whole list.
    pub line: u64,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub list: Vec<u8>,
    pub head: Option<String>,
}

/// Integers that are asked of one round of a list that verifies.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub round: u64,
    pub min: i64,
    pub max: i64,
    pub count: u64,
    pub unique: bool,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

pub fn summary(list: &[u8], head: Option<&str>) -> Result<Summary, VerifyError> {
    let mut verifier = Verifier::new();
    for line in list.split_inclusive(|byte| *byte == b'\n') {
        verifier.push_line(line)?;
    }
    verifier.finish(head.map(|head| head.parse().unwrap()))
}

pub fn rust(case: &Case) -> Verdict {
    match summary(&case.list, case.head.as_deref()) {
        Ok(_) => Verdict {
            rule: "verified".into(),
            line: 0,
        },
        Err(error) => Verdict {
            rule: error.rule().name().into(),
            line: error.line().unwrap_or(0),
        },
    }
}

/// All cases in one Python process.
pub fn python(cases: &[Case]) -> Vec<Verdict> {
    let questions = cases
        .iter()
        .map(|case| format!("{} {}\n", hex::encode(&case.list), case.head.as_deref().unwrap_or("-")));
    let verdicts: Vec<Verdict> = driver(questions.collect()).lines().map(parse).collect();
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

/// What Python derives from one list, one question after the other; none where no such draw has an output.
pub fn python_integers(list: &[u8], asked: &[Asked]) -> Vec<Option<Vec<i64>>> {
    let questions = asked.iter().map(|asked| {
        let Asked {
            round,
            min,
            max,
            count,
            unique,
        } = asked;
        format!(
            "{} - {round} {min} {max} {count} {}\n",
            hex::encode(list),
            u8::from(*unique)
        )
    });
    let told = driver(questions.collect());
    let answers = told.lines().map(|line| match line.strip_prefix("verified: ") {
        Some(line) => {
            let values = line.split('\t').skip(1);
            Some(values.map(|value| value.parse().unwrap()).collect())
        }
        None => {
            assert_eq!(parse(line).rule, "drawn", "{line}");
            None
        }
    });
    answers.collect()
}

fn driver(input: String) -> String {
    let mut process = Command::new("python3")
        .arg(root().join("tests/verify/driver.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn parse(text: &str) -> Verdict {
    let mut line = 0;
    let mut rest = text;
    if let Some(after) = text.strip_prefix("line ") {
        let (number, after) = after.split_once(": ").unwrap();
        line = number.parse().unwrap();
        rest = after;
    }
    let rule = rest.split(':').next().unwrap().to_owned();
    Verdict { rule, line }
}
