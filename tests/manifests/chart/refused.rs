//! Values that the chart refuses, each with a line that names the value and what is allowed; the member would refuse them too.

use serde_json::{Value, json};

use super::{helms, nested, one};
use crate::{Manifests, try_configuration};

/// Value | what it is set to | what a line says of it, beside its name; parts with `…` between. Those of a member's arguments end
/// with the variable.
const REFUSED: &str = r#"
replcas | 4 | additional properties 'replcas' not allowed
draw.schedul | "@every 1m" | at '/draw': additional properties 'schedul' not allowed
pod.topologySpread.maxskew | 1 | at '/pod/topologySpread': additional properties 'maxskew' not allowed
monitoring.podMonitor.intervall | 15s | at '/monitoring/podMonitor': additional properties 'intervall' not allowed
resources.limit | {memory: 1Gi} | at '/resources': additional properties 'limit' not allowed
env | [{nam: A}] | at '/env/0': additional properties 'nam' not allowed
env | [{value: A}] | at '/env/0': missing property 'name'
lease | null | missing property
draw | {schedule: null} | missing property
replicas | many | got string, want integer
replicas | "3" | got string, want integer
replicas | 1.5 | got number, want integer
replicas | -1 | minimum: got -1, want 0
replicas | 2000 | maximum: got 2,000, want 1,024
ordinals.start | 1024 | maximum: got 1,024, want 1,023
ordinals.start | 1022 | replicas 3: the last ordinal may be 1023 at most
voters.count | 0 | minimum: got 0, want 1
voters.count | 33 | maximum: got 33, want 32
voters.start | 1022 | the last voter may be ordinal 1023 at most | VOTERS=1022-1024
voters.count | 6 | ordinals 0 to 5…replicas 3 runs 3 of them: a draw needs more than half
replicas | 1 | ordinals 0 to 2…replicas 1 runs 1 of them: a draw needs more than half
ordinals.start | 5 | ordinals 0 to 2…runs 0 of them: a draw needs more than half
podManagementPolicy | parallel | value must be one of 'OrderedReady', 'Parallel'
update.type | Recreate | value must be one of 'RollingUpdate', 'OnDelete'
storage.size | 10 | got number, want string
storage.size | "10" | does not match pattern…Mi
storage.size | 10MB | does not match pattern…Mi
storage.size | 3Mi | room for a journal of 2MiB (journal.max) and a ledger of 1536KiB (ledger.max)
storage.className | Fast Disk | does not match pattern…a-z0-9
storage.accessMode | ReadWriteMany | value must be one of 'ReadWriteOnce', 'ReadWriteOncePod'
retention.whenScaled | Keep | value must be one of 'Retain', 'Delete'
draw.schedule | 10s | does not match pattern…@every | DRAW_SCHEDULE=10s
draw.schedule | "" | does not match pattern…@every | DRAW_SCHEDULE=
draw.schedule | "@every 1.5s" | does not match pattern…@every +[0-9]+[smh] | DRAW_SCHEDULE=@every 1.5s
draw.schedule | "@every 0s" | allowed after @every are 1s to 24h | DRAW_SCHEDULE=@every 0s
draw.schedule | "@every 25h" | allowed after @every are 1s to 24h | DRAW_SCHEDULE=@every 25h
draw.schedule | "@sometimes" | does not match pattern…daily | DRAW_SCHEDULE=@sometimes
draw.schedule | "* * * * * *" | does not match pattern | DRAW_SCHEDULE=* * * * * *
draw.schedule | "TZ=UTC 0 * * * *" | does not match pattern | DRAW_SCHEDULE=TZ=UTC 0 * * * *
draw.schedule | "61 * * * *" | its minute is 61, allowed are 0 to 59 | DRAW_SCHEDULE=61 * * * *
draw.schedule | "0 9-24 * * *" | its hour is 24, allowed are 0 to 23 | DRAW_SCHEDULE=0 9-24 * * *
draw.schedule | "0 0 0 * *" | its day of month is 0, allowed are 1 to 31 | DRAW_SCHEDULE=0 0 0 * *
draw.schedule | "0 0 * 1,13 *" | its month is 13, allowed are 1 to 12 | DRAW_SCHEDULE=0 0 * 1,13 *
draw.schedule | "0 0 * * 8" | its day of week is 8, allowed are 0 to 7 | DRAW_SCHEDULE=0 0 * * 8
draw.schedule | "0 0 31 2,4 *" | no month of 2,4 has a day of 31 | DRAW_SCHEDULE=0 0 31 2,4 *
draw.schedule | "5-1 * * * *" | its minute is "5-1"; allowed is a range | DRAW_SCHEDULE=5-1 * * * *
draw.schedule | "1-2-3 * * * *" | its minute is "1-2-3"; allowed is a range | DRAW_SCHEDULE=1-2-3 * * * *
draw.schedule | "1- * * * *" | its minute is , allowed are 0 to 59 | DRAW_SCHEDULE=1- * * * *
draw.schedule | "* */0 * * *" | its hour has the step "0"; allowed is a number from 1 on | DRAW_SCHEDULE=* */0 * * *
draw.schedule | "* * * FOO *" | its month is FOO, allowed are 1 to 12, or JAN to DEC | DRAW_SCHEDULE=* * * FOO *
draw.schedule | "MON * * * *" | its minute is MON, allowed are 0 to 59 | DRAW_SCHEDULE=MON * * * *
draw.schedule | "* * * * SAT-SUN" | its day of week is "SAT-SUN"; allowed is a range | DRAW_SCHEDULE=* * * * SAT-SUN
draw.schedule | "* , * * *" | its hour chooses nothing; allowed is * | DRAW_SCHEDULE=* , * * *
draw.schedule | "** * * * *" | its minute is **, allowed are 0 to 59 | DRAW_SCHEDULE=** * * * *
draw.deadline | 30 | got number, want string
draw.deadline | "30" | does not match pattern…(ms|s|m|h) | DRAW_DEADLINE=30
draw.deadline | 99ms | allowed are 100ms to 3600s | DRAW_DEADLINE=99ms
draw.deadline | 61s | at most the period of draw.schedule, 1m | DRAW_DEADLINE=61s
lease.duration | 1s | allowed are 2s to 1h | LEASE_DURATION=1s
lease.duration | 61m | allowed are 2s to 1h | LEASE_DURATION=61m
lease.duration | 2.5s | whole seconds | LEASE_DURATION=2.5s
lease.renewDeadline | 15s | more than 1s, and less than lease.duration, 15s | LEASE_RENEW_DEADLINE=15s
lease.renewDeadline | 1s | more than 1s, and less than lease.duration, 15s | LEASE_RENEW_DEADLINE=1s
lease.retry | 9ms | allowed are 10ms to 1h | LEASE_RETRY=9ms
lease.retry | 9s | 1.2 times it must be less than lease.renewDeadline | LEASE_RETRY=9s
journal.durability | fast | value must be one of '', 'none', 'crash', 'power' | DURABILITY=fast
journal.max | 2MB | allowed are 2MiB to 1024GiB | JOURNAL_MAX=2MB
journal.max | 1025GiB | allowed are 2MiB to 1024GiB | JOURNAL_MAX=1025GiB
journal.max | 10 Mi | does not match pattern…MiB | JOURNAL_MAX=10 Mi
ledger.max | 511KiB | allowed are 512KiB to 64GiB | LEDGER_MAX=511KiB
ledger.max | 65Gi | allowed are 512KiB to 64GiB | LEDGER_MAX=65Gi
ledger.keep | 0.5h | allowed are 1h to 36500d | LEDGER_KEEP=0.5h
ledger.max | 9MiB | storage.size is 10Mi: it must have room for a journal of 2MiB (journal.max) and a ledger of 9MiB
journal.max | 9MiB | storage.size is 10Mi: it must have room for a journal of 9MiB (journal.max) and a ledger of 1536KiB
http.connectionLimit | 0 | minimum: got 0, want 1 | CONNECTION_LIMIT=0
http.connectionLimit | 1000001 | maximum: got 1 | CONNECTION_LIMIT=1000001
http.answerMemory | 1MB | allowed are 1MiB to 1024GiB | ANSWER_MEMORY=1MB
http.allowedOrigins | [example.org] | does not match pattern…https? | ALLOWED_ORIGINS=example.org
http.allowedOrigins | ["https://example.org/a"] | does not match pattern…https? | ALLOWED_ORIGINS=https://example.org/a
http.allowedOrigins | ["https://a:80:80"] | does not match pattern…https?
shutdown.delay | 601s | allowed are 0s to 600s | SHUTDOWN_DELAY=601s
shutdown.drainLimit | 11m | allowed are 0s to 600s | DRAIN_LIMIT=11m
shutdown.gracePeriodSeconds | 47 | allowed is more than delay + drainLimit + 22 seconds
shutdown.gracePeriodSeconds | 60s | got string, want integer
discovery.interval | 10ms | allowed are 100ms to 3600s | DISCOVERY_INTERVAL=10ms
peerSecret.name | My_Secret | does not match pattern…a-z0-9
peerSecret.key | a/b | does not match pattern…A-Za-z0-9
peerSecret.key | ..a | does not match pattern…A-Za-z0-9
peerSecret.name | a..b | does not match pattern…a-z0-9
log.format | yaml | value must be one of '', 'auto', 'text', 'json' | LOG_FORMAT=yaml
log.filter | debug; info | does not match pattern | LOG_FILTER=debug; info
log.filter | verbose | does not match pattern…off|error|warn|info|debug|trace | LOG_FILTER=verbose
log.filter | "info,a=all" | does not match pattern…off|error|warn|info|debug|trace | LOG_FILTER=info,a=all
image.repository | Random Generator | does not match pattern…a-z0-9
image.repository | example.org/random-generator:1.0 | does not match pattern…a-z0-9
image.repository | example.org//random-generator | does not match pattern…a-z0-9
image.tag | 1.0 | got number, want string
image.digest | sha256:abc | does not match pattern…64
image.pullPolicy | Sometimes | value must be one of 'IfNotPresent', 'Always', 'Never'
image.pullSecrets | [{name: a}] | got object, want string
env | [{name: RANDOM_GENERATOR_VOTERS, value: "3"}] | RANDOM_GENERATOR_VOTERS is set by the chart; allowed is any other variable
env | [{name: POD_NAME, value: a}] | POD_NAME is set by the chart; allowed is any other variable
env | [{name: RANDOM_GENERATOR_LEASE_DURATION, value: 30s}] | LEASE_DURATION is set by the chart; allowed is any other
env | [{name: RANDOM_GENERATOR_PUBLIC_LISTEN, value: ":80"}] | PUBLIC_LISTEN is set by the chart…only ADMIN_LISTEN
env | [{name: A, value: b}, {name: A, value: c}] | A is there twice; allowed is once
env | [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}] | A has value and valueFrom; allowed is one
pod.labels | {app.kubernetes.io/name: mine} | is the chart's own; allowed is any other label
labels | {app.kubernetes.io/component: mine} | is the chart's own; allowed is any other label
labels | {team: true} | got boolean, want string
labels | {a b: c} | additional properties 'a b' not allowed
pod.labels | {team: a b} | does not match pattern…A-Za-z0-9
pod.annotations | {a/b/c: d} | additional properties 'a/b/c' not allowed
pod.nodeSelector | {disk: -fast} | does not match pattern…A-Za-z0-9
resources.limits.memory | 1.1.1Gi | does not match pattern…Mi
resources.limits.memory | 256m | does not match pattern…Mi
resources.limits.memory | -1 | minimum: got -1, want 0
resources.requests.cpu | 1Gi | does not match pattern…m
resources.requests.memory | 257Mi | allowed is at most resources.limits.memory, 256Mi
resources | {requests: {cpu: 1500m}, limits: {cpu: 1}} | resources.requests.cpu is 1500m: allowed is at most resources.limits.cpu, 1
pod.topologySpread.whenUnsatisfiable | Never | value must be one of 'ScheduleAnyway', 'DoNotSchedule'
ipFamilyPolicy | DualStack | value must be one of 'PreferDualStack', 'SingleStack', 'RequireDualStack'
ipFamilies | [IPv5] | value must be one of 'IPv4', 'IPv6'
ipFamilies | [IPv4, IPv4] | items at 0 and 1 are equal
service.type | ExternalName | value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'
service.port | http | got string, want integer
service.port | 65536 | maximum: got 65,536, want 65,535
networkPolicy.enabled | "yes" | got string, want boolean
disruption.maxUnavailable | half | does not match pattern…%
disruption.maxUnavailable | -1 | minimum: got -1, want 0
serviceAccount.create | false | with serviceAccount.create false, name one that exists
monitoring.podMonitor.interval | 15 | got number, want string
monitoring.podMonitor.interval | 2m | allowed are 1s to 1m
monitoring.podMonitor.namespace | a/b | does not match pattern…a-z0-9
monitoring.rules.namespace | a.b | does not match pattern…a-z0-9
test.deadlineSeconds | 5 | minimum: got 5, want 10
"#;

/// Whether the line speaks of this value, or of what it is in: `a.b`, `at '/a/b'`, or `at '/a'`.
fn names(line: &str, path: &str) -> bool {
    let slashed = format!("/{}", path.replace('.', "/"));
    let around = slashed.rsplit_once('/').map_or("", |(around, _)| around);
    line.contains(path) || line.contains(&format!("at '{slashed}")) || line.contains(&format!("at '{around}':"))
}

fn says(errors: &str, path: &str, parts: &str) -> bool {
    errors.lines().any(|line| {
        let mut rest = line;
        let mut follows = |part: &str| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some();
        names(line, path) && parts.split('…').all(&mut follows)
    })
}

#[test]
fn a_value_that_is_wrong_is_refused_with_a_line_that_names_it_and_what_is_allowed() {
    let helms = helms();
    let mut wrong = Vec::new();
    // The two take turns.
    for (row, helm) in REFUSED.trim().lines().zip(helms.iter().cycle()) {
        let columns: Vec<_> = row.split(" | ").collect();
        let errors = helm.refusal(&nested(columns[0], one(columns[1])));
        if !says(&errors, columns[0], columns[2]) {
            wrong.push(format!("{row}\n{errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_chart_refuses_of_a_members_arguments_the_member_refuses() {
    let base = Manifests::base();
    let mut seen = 0;
    for row in REFUSED.trim().lines() {
        let Some(variable) = row.split(" | ").nth(3) else {
            continue;
        };
        let (name, value) = variable.split_once('=').unwrap();
        let mut workload = base.workload().clone();
        let list = workload
            .pointer_mut("/spec/template/spec/containers/0/env")
            .unwrap()
            .as_array_mut()
            .unwrap();
        let name = format!("RANDOM_GENERATOR_{name}");
        list.retain(|entry| entry["name"] != json!(name));
        assert!(try_configuration(&workload).is_ok());
        list_of(&mut workload).push(json!({"name": name, "value": value}));
        assert!(try_configuration(&workload).is_err(), "a member takes {variable}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

/// What a member takes, the chart takes: `draw.schedule` has a reader of its own here.
#[test]
fn schedules_that_a_member_takes_are_not_refused() {
    let schedules = [
        "0 0 08 09 *",
        "? * ? * ?",
        "1-5/2,7/3 * * jan-mar sun",
        "*/100 * * * *",
        "1,,2 * * * *",
        "* * * * 5-7",
        "0 0 29 2 *",
        "0 0 31 4 1",
        "0 0 30,31 4,6 *",
        "*/070 0-023 31 */2 SUN-7",
    ];
    for (schedule, helm) in schedules.iter().zip(helms().iter().cycle()) {
        let rendered = helm.with(&nested("draw.schedule", json!(schedule)));
        crate::configuration(rendered.workload());
        assert_eq!(
            crate::variables(rendered.workload())["RANDOM_GENERATOR_DRAW_SCHEDULE"],
            *schedule
        );
    }
}

fn list_of(workload: &mut Value) -> &mut Vec<Value> {
    workload
        .pointer_mut("/spec/template/spec/containers/0/env")
        .unwrap()
        .as_array_mut()
        .unwrap()
}

#[test]
fn lint_finds_nothing() {
    for helm in helms() {
        for values in std::iter::once(None).chain(super::cases().iter().map(|case| Some(super::values_file(case)))) {
            let mut arguments = vec!["lint", "--strict", "k8s/chart"];
            if let Some(file) = &values {
                arguments.extend(["--values", file.to_str().unwrap()]);
            }
            let output = helm.run(&arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
