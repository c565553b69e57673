//! The text of the Dockerfile's targets.

/// A stage's instructions, each on one line.
fn stage(name: &str) -> Vec<String> {
    let joined = include_str!("../../../Dockerfile").replace("\\\n", " ");
    let mut stages = joined.split("\nFROM ").skip(1);
    let found = stages.find(|stage| stage.lines().next().unwrap().ends_with(&format!(" AS {name}")));
    found.unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_workshop_image_stands_in_and_the_members_does_not() {
    let has = |name: &str, wanted: &str| {
        let lines = stage(name);
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:#?}")
    };
    // Both programs side by side, and `java` in the image's path.
    has("workshop", "/usr/local/bin/random-generator");
    has("workshop", "/usr/local/bin/random-generator-reference");
    has("workshop", "ln -s random-generator-reference /usr/local/bin/java");
    // The tools that manifests call beside those of Debian's base (sh, sleep, echo, cat, ls, stat, touch, env).
    for package in ["bind9-dnsutils", "wget"] {
        has("workshop", package);
    }
    has("reference", "workshop AS reference");
    has("reference", "ARG REFERENCE_VERSION=1.0");
    has("reference", "RANDOM_GENERATOR_REFERENCE_VERSION=$REFERENCE_VERSION");
    has(
        "reference",
        r#"ENTRYPOINT ["/usr/local/bin/random-generator-reference"]"#,
    );
    // Some manifests write to volumes that only root may write.
    for (name, user) in [
        ("workshop", "65532:65532"),
        ("member", "65532:65532"),
        ("reference", "0:0"),
    ] {
        let users: Vec<_> = stage(name)
            .into_iter()
            .filter(|line| line.starts_with("USER "))
            .collect();
        assert_eq!(users, [format!("USER {user}")], "{name}");
    }
    let mut member = stage("member").into_iter();
    assert!(!member.any(|line| line.contains("-reference") || line.contains("REFERENCE")));
    let makefile = include_str!("../../../Makefile");
    for tag in ["1.0", "2.0"] {
        assert!(
            makefile.contains(&format!("k8spatterns/random-generator:{tag}")),
            "{tag}"
        );
    }
}
