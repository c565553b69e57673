//! The Dockerfile against the manifests.

use super::{Manifests, at, configuration, pod, ports, root, text};

/// The instructions of a stage, each on one line.
fn stage(name: &str) -> Vec<String> {
    let joined = text("Dockerfile").replace("\\\n", " ");
    let mut stages = joined.split("\nFROM ").skip(1);
    let found = stages.find(|stage| stage.lines().next().unwrap().ends_with(&format!(" AS {name}")));
    let lines = found.unwrap_or_else(|| panic!("no stage {name}")).lines().skip(1);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn base_of(name: &str) -> String {
    let dockerfile = text("Dockerfile");
    let line = dockerfile
        .lines()
        .find(|line| line.starts_with("FROM ") && line.ends_with(&format!(" AS {name}")));
    line.unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_last_stage_is_the_member_on_a_base_without_a_shell() {
    let dockerfile = text("Dockerfile");
    let last = dockerfile.lines().rfind(|line| line.starts_with("FROM ")).unwrap();
    assert!(last.ends_with(" AS member"), "{last}");
    assert_eq!(base_of("member"), "gcr.io/distroless/static-debian12:nonroot");
}

#[test]
fn both_images_run_as_the_user_and_on_the_ports_that_the_manifests_name() {
    let base = Manifests::base();
    let security = at(pod(base.workload()), "/securityContext");
    let user = format!("USER {}:{}", security["runAsUser"], security["runAsGroup"]);
    let numbers = ports(base.workload()).into_values().map(|port| port.to_string());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort();
    let directory = configuration(base.workload()).volume.data_dir.display().to_string();
    for name in ["member", "workshop"] {
        let lines = stage(name);
        let has = |wanted: &str| {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{name}: {wanted} in {lines:#?}"
            )
        };
        has(&user);
        has(&format!("EXPOSE {}", numbers.join(" ")));
        has(&format!("ENV RANDOM_GENERATOR_DATA_DIR={directory}"));
        has(r#"ENTRYPOINT ["/usr/local/bin/random-generator"]"#);
        let labels = lines.iter().find(|line| line.starts_with("LABEL ")).unwrap();
        for label in ["title", "description", "licenses", "source", "version", "revision"] {
            assert!(
                labels.contains(&format!("org.opencontainers.image.{label}=")),
                "{name}: {label}"
            );
        }
    }
}

#[test]
fn the_build_uses_the_rust_that_the_manifest_asks_for() {
    let cargo = text("Cargo.toml");
    let version = cargo
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap();
    assert_eq!(
        base_of("build"),
        format!("rust:{}-slim-bookworm", version.trim_matches('"'))
    );
}

#[test]
fn the_build_is_given_what_it_reads_and_nothing_else() {
    let ignore = text(".dockerignore");
    let lines: Vec<_> = ignore.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*");
    for path in &lines[1..] {
        let path = path.strip_prefix('!').expect("what is let in");
        assert!(root().join(path).exists(), "{path}");
    }
    // Cargo refuses a manifest that names a test which isn't there.
    for name in text("Cargo.toml").split("[[test]]").skip(1) {
        let name = name.lines().find_map(|line| line.strip_prefix("name = ")).unwrap();
        let name = name.trim_matches('"');
        let files = [format!("!tests/{name}/main.rs"), format!("!tests/{name}.rs")];
        assert!(files.iter().any(|file| lines.contains(&file.as_str())), "{files:?}");
    }
}
