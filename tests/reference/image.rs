//! The Dockerfile's workshop target, as far as its text says.

/// A stage's instructions, each on one line.
fn stage(name: &str) -> Vec<String> {
    let joined = include_str!("../../Dockerfile").replace("\\\n", " ");
    let mut stages = joined.split("\nFROM ").skip(1);
    let found = stages.find(|stage| stage.lines().next().unwrap().ends_with(&format!(" AS {name}")));
    found.unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_workshop_image_stands_in_and_the_members_does_not() {
    let workshop = stage("workshop");
    let has = |wanted: &str| {
        assert!(
            workshop.iter().any(|line| line.contains(wanted)),
            "{wanted}: {workshop:#?}"
        )
    };
    has("ENV RANDOM_GENERATOR_REFERENCE=true");
    has("ARG REFERENCE_VERSION=1.0");
    has("RANDOM_GENERATOR_REFERENCE_VERSION=$REFERENCE_VERSION");
    // In the image's path, so that `java ...` finds it.
    has("ln -s random-generator /usr/local/bin/java");
    // The tools that manifests call beside those of Debian's base (sh, sleep, echo, cat, ls, stat, touch, env).
    for package in ["bind9-dnsutils", "wget"] {
        has(package);
    }
    assert!(!stage("member").iter().any(|line| line.contains("REFERENCE")));
    let makefile = include_str!("../../Makefile");
    for tag in ["1.0", "2.0"] {
        assert!(
            makefile.contains(&format!("k8spatterns/random-generator:{tag}")),
            "{tag}"
        );
    }
}
