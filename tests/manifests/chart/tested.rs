//! The Pod of `helm test`: k8s/chart on a real cluster is tested by tests/e2e.

use super::{helms, one};
use crate::{Manifests, at, schema, strings};

#[test]
fn helm_test_asks_the_clients_service_with_the_members_own_image_and_commands() {
    let port = one(
        "{service: {port: 8081}, pod: {nodeSelector: {a: b}, tolerations: [{operator: Exists}]}, image: {pullSecrets: [c]}}",
    );
    for helm in helms() {
        let (_folder, file) = super::file_of(&port);
        let arguments = ["template", "web", "k8s/chart", "--values", file.to_str().unwrap()];
        let output = helm.run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let manifests = Manifests::of(std::str::from_utf8(&output.stdout).unwrap());
        schema::check(&manifests);
        let test = manifests.get("Pod", "web-random-generator-test");
        let hook = at(test, "/metadata/annotations/helm.sh~1hook");
        assert_eq!(hook, "test");
        let set = manifests.get("StatefulSet", "web-rg");
        let pod = at(set, "/spec/template/spec");
        let member = at(pod, "/containers/0");
        for field in ["securityContext", "nodeSelector", "tolerations", "imagePullSecrets"] {
            assert_eq!(at(test, &format!("/spec/{field}")), &pod[field], "{field}");
        }
        // Nobody takes it for a member.
        let labels = at(test, "/metadata/labels");
        let selected = at(set, "/spec/selector/matchLabels").as_object().unwrap();
        assert!(selected.iter().any(|(name, value)| labels.get(name) != Some(value)));
        let service = manifests.get("Service", "web-random-generator-client");
        let url = format!(
            "http://{}:{}",
            at(service, "/metadata/name").as_str().unwrap(),
            at(service, "/spec/ports/0/port")
        );
        for (list, command) in [
            ("/spec/initContainers/0", "get integers"),
            ("/spec/containers/0", "verify"),
        ] {
            let container = at(test, list);
            for field in ["image", "imagePullPolicy", "securityContext"] {
                assert_eq!(container[field], member[field], "{field}");
            }
            assert_eq!(strings(container, "/args").join(" "), format!("{command} {url}"));
        }
    }
}
