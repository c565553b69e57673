//! The project's own promises: doors, sizes, and documents that agree with the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every document, so that a new page is held to what the others are.
fn documents() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(root())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".md"))
        .map(|name| (name.clone(), text(&name)))
        .collect();
    found.extend(files("docs", "md"));
    found.extend(files("workshop", "md"));
    assert!(found.len() > 12, "{} documents", found.len());
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `directory` with this extension, as (path from the root, content), in order.
fn files(directory: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The tests of every package.
fn test_sources() -> Vec<(String, String)> {
    let mut tests = files("tests", "rs");
    tests.extend(files("reference", "rs"));
    tests
}

/// What is built into the binary: the service, and the crates beside it.
fn sources() -> Vec<(String, String)> {
    let crates = files("crates", "rs");
    let built = crates.into_iter().filter(|(path, _)| path.contains("/src/"));
    files("src", "rs").into_iter().chain(built).collect()
}

/// Lines of code, without comments.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The cells of the Markdown table whose first heading is `heading`.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        // A cell may be empty.
        line.trim()
            .trim_start_matches('|')
            .trim_end_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = document
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {heading}{}|", if heading.is_empty() { "" } else { " " })))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(!rows.is_empty(), "no table begins with {heading:?}");
    rows
}

/// Dependency → doors, as CONTRIBUTING.md has them; no doors for one that may be used anywhere.
fn doors() -> Vec<(String, Vec<String>)> {
    let list = |cell: &str| cell.split(", ").map(str::to_owned).collect::<Vec<_>>();
    table(&text("CONTRIBUTING.md"), "dependency")
        .iter()
        .flat_map(|row| {
            let doors = if row[1] == "anywhere" {
                Vec::new()
            } else {
                list(&row[1])
            };
            list(&row[0]).into_iter().map(move |name| (name, doors.clone()))
        })
        .collect()
}

/// `src/draw/ledger` is the door of src/draw/ledger.rs and of all below src/draw/ledger/.
fn within(path: &str, door: &str) -> bool {
    path == door || path == format!("{door}.rs") || path.starts_with(&format!("{door}/"))
}

/// Whether a line of code names the crate: `rand::`, but neither `operand::` nor `crate::rand::`.
fn names(line: &str, krate: &str) -> bool {
    line.match_indices(&format!("{krate}::")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn each_dependency_is_used_only_behind_its_door() {
    for (name, doors) in doors().into_iter().filter(|(_, doors)| !doors.is_empty()) {
        for door in &doors {
            let there = root().join(door).exists() || root().join(format!("{door}.rs")).exists();
            assert!(there, "{name}: there is no {door}");
        }
        let krate = name.replace('-', "_");
        for (path, source) in sources() {
            let used = code(&source).any(|line| names(line, &krate));
            let allowed = doors.iter().any(|door| within(&path, door));
            assert!(
                !used || allowed,
                "{path} uses {name}, whose door is {}",
                doors.join(", ")
            );
        }
    }
}

#[test]
fn every_dependency_says_where_it_is_used_and_why() {
    let mut manifests = files("crates", "toml");
    manifests.push(("Cargo.toml".to_owned(), text("Cargo.toml")));
    let dependencies = |manifest: &str| -> Vec<String> {
        manifest
            .lines()
            .skip_while(|line| *line != "[dependencies]")
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned()))
            .collect()
    };
    let declared: BTreeSet<String> = manifests.iter().flat_map(|(_, text)| dependencies(text)).collect();
    let doors = doors();
    let told: BTreeSet<String> = doors.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        declared, told,
        "the Cargo.tomls (left) and CONTRIBUTING.md (right) differ"
    );
}

#[test]
fn the_environment_is_read_in_config_alone() {
    for (path, source) in sources() {
        let reads = code(&source).any(|line| line.contains("env::var"));
        assert!(!reads || within(&path, "src/config"), "{path} reads the environment");
    }
}

#[test]
fn unjoined_tasks_and_ambient_time_are_not_allowed_back_in() {
    for (path, source) in sources() {
        for banned in [
            "allow(clippy::disallowed_methods)",
            "allow(clippy::unwrap_used",
            "allow(clippy::expect_used",
        ] {
            let back = code(&source).filter(|line| line.contains(banned)).count();
            let allowed = usize::from(path == "src/config/environment.rs" && banned.contains("disallowed"));
            assert_eq!(back, allowed, "{path}: {banned}");
        }
    }
}

#[test]
fn no_test_is_skipped_and_nothing_is_left_to_do() {
    // Put together here, so that this file doesn't hold them.
    let ignored = concat!("#[", "ignore");
    let later = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    for (path, source) in sources().into_iter().chain(test_sources()) {
        assert!(!source.contains(ignored), "{path} skips a test");
        for word in later {
            assert!(!source.contains(word), "{path}: {word}");
        }
    }
}

#[test]
fn a_file_is_short_enough_to_have_one_reason() {
    for (path, source) in sources() {
        let lines = source.lines().count();
        assert!(
            lines <= 600,
            "{path} has {lines} lines: two files, each with one reason to exist"
        );
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap();
        let vague = ["utils", "util", "common", "helper", "helpers", "manager", "misc"];
        assert!(!vague.contains(&name), "{path}: say what it is for");
    }
    assert!(text("src/main.rs").lines().count() < 60);
}

/// The paths that a file of src routes, or the files below it; those of questions that members ask each other are named
/// where the questions are.
fn routed(door: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    if within("src/peer", door) {
        let questions = text("src/peer/message.rs");
        let named = questions.split("PATH: &'static str = \"").skip(1);
        paths.extend(named.filter_map(|path| path.split('"').next()).map(str::to_owned));
    }
    for (_, source) in files("src", "rs").iter().filter(|(path, _)| within(path, door)) {
        for call in source.split(".route(").skip(1) {
            let literal = call.trim_start().strip_prefix('"').unwrap_or_default();
            paths.extend(
                literal
                    .split('"')
                    .next()
                    .filter(|path| path.starts_with('/'))
                    .map(str::to_owned),
            );
        }
    }
    paths
}

/// What stands in backticks in one column of a document's table.
fn in_column(document: &str, heading: &str, column: usize) -> BTreeSet<String> {
    table(document, heading)
        .iter()
        .flat_map(|row| quoted(&row[column]))
        .collect()
}

#[test]
fn the_readme_has_every_public_path_and_no_other() {
    let named = in_column(&text("README.md"), "for", 1);
    assert_eq!(
        named,
        routed("src/http/public"),
        "README.md (left) and src/http (right) differ"
    );
}

#[test]
fn the_protocol_has_every_path_that_peers_use() {
    let protocol = text("docs/protocol.md");
    for path in routed("src/peer") {
        let path = path.split('{').next().unwrap();
        assert!(protocol.contains(path), "docs/protocol.md doesn't have {path}");
    }
}

#[test]
fn the_page_about_http_lists_and_describes_every_path_and_no_other() {
    let page = text("docs/http.md");
    let (before, rest) = page.split_once("\n## All paths\n").unwrap();
    let (list, after) = rest.split_once("\n## ").unwrap();
    assert_eq!(
        in_column(list, "path", 0),
        routed("src/http/public"),
        "the list in docs/http.md (left) and src/http (right) differ"
    );
    let described = before.lines().chain(after.lines());
    let described = described.filter(|line| line.starts_with("| `/") || line.starts_with("### `/"));
    let mut described: BTreeSet<String> = described.map(|line| quoted(line).remove(0)).collect();
    // They describe the others, and not themselves.
    described.extend(
        ["/openapi.json", "/docs"]
            .map(str::to_owned)
            .into_iter()
            .filter(|path| before.contains(&format!("`{path}`"))),
    );
    assert_eq!(
        described,
        &routed("src/http") | &routed("src/peer"),
        "docs/http.md (left) and src (right) differ"
    );
}

/// What tests say in code: of the tests themselves, of unit tests, and of the queries, alerts and sections that tests/operator
/// runs one by one. Not what only makes documents, and so names all there is.
fn said_by_tests() -> String {
    let makes_documents = |path: &str| ["tests/project.rs", "tests/operator/configuration.rs"].contains(&path);
    let mut said = String::new();
    for (_, source) in test_sources().into_iter().filter(|(path, _)| !makes_documents(path)) {
        said.extend(code(&source).map(|line| line.to_owned() + "\n"));
    }
    for (path, source) in sources() {
        let tests = if path.ends_with("/tests.rs") {
            Some(&*source)
        } else {
            source.split_once("#[cfg(test)]").map(|(_, tests)| tests)
        };
        said.extend(code(tests.unwrap_or_default()).map(|line| line.to_owned() + "\n"));
    }
    for document in [
        "docs/dashboards/queries.promql",
        "docs/dashboards/alerts.yaml",
        "docs/operating.md",
    ] {
        said += &text(document);
    }
    said
}

/// Whether `said` has `name`, and not only as a part of a longer one.
fn has(said: &str, name: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    said.match_indices(name).any(|(at, _)| {
        let (before, after) = (said[..at].chars().next_back(), said[at + name.len()..].chars().next());
        let before = before.is_some_and(goes_on) && goes_on(name.chars().next().unwrap());
        !before && !after.is_some_and(goes_on)
    })
}

/// That documents name all there is and nothing else is checked where each is made: docs/command_line.md and
/// docs/configuration.md, docs/metrics.md, and docs/http.md above. So what they name is what there is.
#[test]
fn each_command_argument_variable_metric_and_path_that_docs_name_is_named_by_a_test() {
    let said = said_by_tests();
    let mut missing = Vec::new();
    let mut seen = 0;
    let mut want = |what: String, forms: Vec<String>| {
        seen += 1;
        if !forms.iter().any(|form| has(&said, form)) {
            missing.push(what);
        }
    };
    let page = text("docs/command_line.md");
    let (_, reference) = page.split_once("<!-- Below").unwrap();
    for line in reference.lines() {
        if let Some(command) = line.strip_prefix('#') {
            // Tests give it as arguments, one a literal.
            let command = command.trim_start_matches('#').trim();
            want(
                command.to_owned(),
                vec![format!("\"{}\"", command.rsplit(' ').next().unwrap())],
            );
        } else if let Some(argument) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            for name in argument.split([' ', ',']).filter(|name| name.starts_with("--")) {
                let variable = name.trim_start_matches("--").replace('-', "_").to_uppercase();
                want(
                    name.to_owned(),
                    vec![name.to_owned(), format!("RANDOM_GENERATOR_{variable}")],
                );
            }
        }
    }
    for row in table(&text("docs/configuration.md"), "variable") {
        let name = quoted(&row[0]).remove(0);
        want(name.clone(), vec![name]);
    }
    for line in text("docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `random_generator_"))
    {
        let whole = quoted(line).remove(0);
        let short = whole.strip_prefix("random_generator_").unwrap();
        let suffixes = ["", "_total", "_bucket", "_sum", "_count", "_info"];
        let forms = [&*whole, short]
            .into_iter()
            .flat_map(|name| suffixes.map(|suffix| format!("{name}{suffix}")));
        want(whole.clone(), forms.collect());
    }
    for path in &routed("src/http") | &routed("src/peer") {
        // What stands for a round or a hash is a number in a test.
        let begins = path.split('{').next().unwrap().to_owned();
        seen += 1;
        let named = if begins == path {
            has(&said, &path)
        } else {
            said.contains(&begins)
        };
        if !named {
            missing.push(path);
        }
    }
    assert!(missing.is_empty(), "no test names {missing:?}");
    assert!(seen > 250, "only {seen} names seen");
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

#[test]
fn documents_link_only_to_what_exists() {
    for (document, body) in documents() {
        let base = root().join(&document);
        for link in body.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => base.clone(),
                file => base.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{document} links to {link}");
            if !place.is_empty() && target.extension().is_some_and(|e| e == "md") {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    there.contains(place),
                    "{document} links to {link}, and there is no such heading"
                );
            }
        }
    }
}

#[test]
fn the_book_has_every_page_of_docs_and_of_the_workshop_once() {
    let summary = text("SUMMARY.md");
    let mut pages = files("docs", "md");
    pages.extend(files("workshop", "md"));
    for (page, _) in pages {
        let named = summary.matches(&format!("]({page})")).count();
        assert_eq!(named, 1, "SUMMARY.md names {page} {named} times");
    }
}

/// What stands in single backticks, outside of fenced blocks.
fn quoted(document: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut fenced = false;
    for line in document.lines() {
        if line.trim_start_matches(['/', '!', ' ']).starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_path_that_documents_and_sources_name_exists() {
    for (name, body) in documents().into_iter().chain(sources()) {
        for path in quoted(&body) {
            let begins = ["src/", "crates/", "tests/", "docs/", ".ci/", "k8s/", "docker/"]
                .iter()
                .any(|room| path.starts_with(room));
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let is_document = path.ends_with(".md") && plain;
            if (begins && plain) || is_document {
                assert!(root().join(&path).exists(), "{name} names {path}");
            }
        }
    }
}

#[test]
fn architecture_names_each_invariants_files_tests_and_mutations() {
    let mut tests: BTreeSet<String> = BTreeSet::new();
    for (_, source) in sources().into_iter().chain(test_sources()) {
        let names = source.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        tests.extend(names.map(str::to_owned));
    }
    let mut named = BTreeSet::new();
    let document = text("ARCHITECTURE.md");
    let (_, always) = document.split_once("\n## What always holds\n").unwrap();
    let invariants: Vec<&str> = always.split("\n### ").skip(1).collect();
    assert!(invariants.len() >= 10, "{} invariants", invariants.len());
    for (number, invariant) in (1..).zip(invariants) {
        assert!(invariant.starts_with(&format!("{number}. ")), "{invariant}");
        let list = |label: &str| {
            let begins = format!("- {label}: ");
            let mut lines = invariant.lines().filter_map(|line| line.strip_prefix(&*begins));
            let list = quoted(lines.next().unwrap_or_else(|| panic!("{number} has no {label}")));
            assert!(!list.is_empty() && lines.next().is_none(), "{number}: {label}");
            list
        };
        for file in list("Kept in") {
            assert!(root().join(&file).is_file(), "there is no {file}");
        }
        for test in list("Tests") {
            assert!(tests.contains(&test), "there is no test {test}");
        }
        named.extend(list("Mutations"));
    }
    let planted: BTreeSet<String> = files("tests/mutations", "patch")
        .iter()
        .map(|(path, _)| Path::new(path).file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        named, planted,
        "ARCHITECTURE.md (left) and tests/mutations (right) differ"
    );
}

#[test]
fn a_room_uses_only_the_rooms_that_architecture_says() {
    let rows = table(&text("ARCHITECTURE.md"), "room");
    let rooms: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    for (place, row) in rows.iter().enumerate() {
        let (room, uses) = (&quoted(&row[0])[0], row.get(2).map_or("", String::as_str));
        // Rooms that use only those above them can't form a circle.
        let above: Vec<String> = rows[..place].iter().flat_map(|row| quoted(&row[0])).collect();
        let allowed = if uses.starts_with("everything") {
            above.clone()
        } else {
            quoted(uses)
        };
        for used in &allowed {
            assert!(
                above.contains(used),
                "ARCHITECTURE.md: {room} uses {used}, which is not above it"
            );
        }
        for (path, source) in files("src", "rs") {
            if !within(&path, &format!("src/{room}")) {
                continue;
            }
            for line in code(&source) {
                for used in line.split("crate::").skip(1) {
                    let used = used
                        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .next()
                        .unwrap();
                    let known = used == room || allowed.iter().any(|room| room == used);
                    assert!(
                        known || !rooms.contains(used),
                        "{path} uses {used}, which ARCHITECTURE.md doesn't say"
                    );
                    assert!(
                        !line.contains("crate::{"),
                        "{path}: one `use` a room, which this test can read"
                    );
                }
            }
        }
    }
    let modules: BTreeSet<String> = text("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    assert_eq!(modules, rooms, "src/lib.rs (left) and ARCHITECTURE.md (right) differ");
}

/// The modules that a source names after `crate::`, `super::` or `self::`, as segments from the crate's root. Unit tests don't count.
fn imports(module: &[&str], source: &str) -> Vec<Vec<String>> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let source: String = code(source)
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    let of_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let path = |text: &str| text.split(|c| !of_path(c)).next().unwrap().to_owned();
    let mut found = Vec::new();
    for (at, _) in ["crate::", "super::", "self::"]
        .iter()
        .flat_map(|head| source.match_indices(head))
    {
        if source[..at].ends_with("::") {
            continue;
        }
        let stem = path(&source[at..]);
        let mut names = vec![String::new()];
        if let Some(group) = source[at + stem.len()..].strip_prefix('{') {
            let mut depth = 0;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(path(&group[at + 1..])),
                    _ => {}
                }
            }
            names[0] = path(group);
        }
        for name in names {
            let mut from: Vec<&str> = if stem.starts_with("crate") {
                Vec::new()
            } else {
                module.to_vec()
            };
            for segment in stem.split("::").chain(name.split("::")) {
                match segment {
                    "super" => drop(from.pop()),
                    "crate" | "self" | "" => {}
                    segment => from.push(segment),
                }
            }
            found.push(from.into_iter().map(str::to_owned).collect());
        }
    }
    found
}

/// A path through `edges` from `at` that comes back to a module on it.
fn circle<'a>(
    at: &'a str,
    edges: &'a BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<String> {
    if let Some(start) = path.iter().position(|module| *module == at) {
        return Some(path[start..].join(" -> ") + " -> " + at);
    }
    if done.contains(at) {
        return None;
    }
    path.push(at);
    let found = edges[at].iter().find_map(|next| circle(next, edges, path, done));
    path.pop();
    done.insert(at);
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let name = |path: &str| {
        let path = path
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .trim_end_matches("/mod");
        path.replace('/', "::")
    };
    let sources: BTreeMap<String, String> = files("src", "rs")
        .into_iter()
        .map(|(path, source)| (name(&path), source))
        .collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, source) in &sources {
        let segments: Vec<&str> = module.split("::").collect();
        let used = imports(&segments, source).into_iter().filter_map(|mut path| {
            while !sources.contains_key(&path.join("::")) {
                path.pop()?;
            }
            Some(path.join("::"))
        });
        // A file and the files below it are parts of one module.
        let apart = |used: &String| {
            let below = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}::"));
            !below(used, module) && !below(module, used)
        };
        edges.insert(module.clone(), used.filter(apart).collect());
    }
    let mut done = BTreeSet::new();
    for module in edges.keys() {
        assert_eq!(circle(module, &edges, &mut Vec::new(), &mut done), None);
    }
    assert!(
        edges.values().map(BTreeSet::len).sum::<usize>() > 200,
        "imports are not found"
    );
}

#[test]
fn the_stand_in_for_the_reference_image_uses_few_rooms_and_none_knows_of_it() {
    let allowed = [
        "clock",
        "shutdown",
        "exit",
        "metrics",
        "telemetry",
        "generator",
        "client",
        "listen",
        "server",
    ];
    for (path, source) in files("reference/src", "rs") {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for used in code(source).flat_map(|line| line.split("random_generator::").skip(1)) {
            let room = used.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            assert!(allowed.contains(&room), "{path} uses {room}");
        }
    }
    for (path, source) in sources() {
        let named = ["random-generator-reference", "GENERATOR_REFERENCE", "k8spatterns"];
        assert!(
            !named.iter().any(|name| source.contains(name)),
            "{path} knows of reference/"
        );
    }
}

#[test]
fn every_make_target_that_the_pages_name_exists() {
    let makefile = text("Makefile");
    for (document, before) in [
        ("README.md", "\nmake "),
        ("CONTRIBUTING.md", "`make "),
        ("docs/kubernetes.md", "`make "),
        ("docs/kubernetes.md", "\nmake "),
        ("docs/performance.md", "`make "),
        ("docs/reference.md", "`make "),
        ("docs/try_it.md", "`make "),
        ("workshop/README.md", "`make "),
        ("workshop/cluster.md", "\nmake "),
        ("workshop/teacher.md", "`make "),
        (".ci/run", "step \"make "),
    ] {
        let body = text(document);
        let targets: Vec<_> = body
            .split(before)
            .skip(1)
            .filter_map(|rest| {
                rest.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
                    .next()
            })
            .collect();
        assert!(!targets.is_empty(), "{document} tells of no make target");
        for target in targets {
            assert!(
                makefile.contains(&format!("\n{target}: ")),
                "{document}: there is no make {target}"
            );
        }
    }
}

#[test]
fn every_module_is_on_the_map() {
    let map = text("src/lib.rs");
    for module in map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        assert!(
            map.contains(&format!("[`{module}`]")),
            "src/lib.rs doesn't say what {module} is for"
        );
    }
}
