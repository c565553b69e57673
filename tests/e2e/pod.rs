//! A member's Pod, as the API server has it.

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub ordinal: u16,
    pub uid: String,
    pub ip: String,
    pub node: String,
    pub ready: bool,
    pub terminating: bool,
    pub restarts: u64,
    /// The volume behind its claim.
    pub claim: String,
    pub revision: String,
    pub waits_for: String,
}

pub fn ordinal_of(name: &str) -> u16 {
    let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok());
    ordinal.unwrap_or_else(|| panic!("{name} has no ordinal"))
}

/// What is at the pointer; empty when there is nothing.
pub fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

impl Pod {
    pub fn of(object: &Value) -> Pod {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        let name = text(object, "/metadata/name");
        let volumes = object.pointer("/spec/volumes").and_then(Value::as_array);
        let claim = volumes
            .into_iter()
            .flatten()
            .map(|volume| text(volume, "/persistentVolumeClaim/claimName"));
        Pod {
            ordinal: ordinal_of(&name),
            uid: text(object, "/metadata/uid"),
            ip: text(object, "/status/podIP"),
            node: text(object, "/spec/nodeName"),
            ready: conditions.is_some_and(|conditions| conditions.iter().any(ready)),
            terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
            restarts: object
                .pointer("/status/containerStatuses/0/restartCount")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            claim: claim.into_iter().find(|claim| !claim.is_empty()).unwrap_or_default(),
            revision: text(object, "/metadata/labels/controller-revision-hash"),
            waits_for: text(object, "/status/containerStatuses/0/state/waiting/reason"),
            name,
        }
    }
}
