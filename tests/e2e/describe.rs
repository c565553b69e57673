//! What a person would look at first when a set isn't as it should be.

use axum::http::Request;

use crate::set::Set;

impl Set {
    /// Of all sets in its namespace.
    pub async fn describe(&self) -> String {
        let mut told = String::new();
        let looks: [&[&str]; 3] = [
            &["get", "pods,leases,pvc", "--output", "wide"],
            &["get", "leases", "--output", "yaml"],
            &["get", "events", "--sort-by", "lastTimestamp"],
        ];
        for look in looks {
            let said = self.kubectl(look).await;
            let lines: Vec<&str> = said.out.lines().collect();
            told.push_str(&format!(
                "$ kubectl {}\n{}\n",
                look.join(" "),
                lines[lines.len().saturating_sub(60)..].join("\n")
            ));
        }
        let members = self.pods_with("app.kubernetes.io/component=member").await;
        for pod in members.unwrap_or_default() {
            for path in ["/readyz", "/draws/latest"] {
                let at = self.path(&format!("pods/{}:8080/proxy{path}", pod.name));
                let said = self.asked(Request::get(at).body(Vec::new()).unwrap()).await;
                told.push_str(&format!("{}{path}: {said:?}\n", pod.name));
            }
            for what in ["journal", "ledger"] {
                let ask = [
                    "exec",
                    &pod.name,
                    "--",
                    "/usr/local/bin/random-generator",
                    "admin",
                    what,
                ];
                let said = self.kubectl(&ask).await;
                told.push_str(&format!("{}, {what}:\n{}{}", pod.name, said.out, said.err));
            }
            let log = self.kubectl(&["logs", &pod.name, "--tail", "25", "--timestamps"]).await;
            told.push_str(&format!("{}:\n{}{}", pod.name, log.out, log.err));
        }
        told
    }
}
