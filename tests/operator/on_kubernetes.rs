//! A member with its lease on an API server, both of which a test breaks.

use std::fs;
use std::path::PathBuf;

use tokio::runtime::Runtime;

use crate::api_server::Server;
use crate::harness::{Member, volume};

pub struct OnKubernetes {
    pub server: Server,
    pub member: Member,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
    _runtime: Runtime,
}

impl OnKubernetes {
    /// One that draws each second, once there is a Lease.
    pub fn start() -> OnKubernetes {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start());
        let (directory, volume) = volume();
        let kubeconfig = directory.path().join("kubeconfig");
        write(&kubeconfig, &server.address.to_string());
        let arguments = [
            ("--lease-store", "kubernetes"),
            ("--lease-name", "random-generator"),
            ("--pod-namespace", "lab"),
            ("--kubeconfig", kubeconfig.to_str().unwrap()),
            ("--lease-duration", "3s"),
            ("--draw-schedule", "@every 1s"),
        ];
        let arguments: Vec<&str> = arguments.into_iter().flat_map(|(name, value)| [name, value]).collect();
        OnKubernetes {
            member: Member::start(&volume, &arguments),
            server,
            kubeconfig,
            _directory: directory,
            _runtime: runtime,
        }
    }

    /// Where the API server is from now on, by the kubeconfig that the member reads with each request.
    pub fn say_it_is_at(&self, address: &str) {
        write(&self.kubeconfig, address);
        self.server.close_connections();
    }
}

fn write(path: &std::path::Path, address: &str) {
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{token: secret}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(path, config).unwrap();
}
