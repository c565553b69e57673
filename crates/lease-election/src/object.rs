//! A Lease of `coordination.k8s.io/v1` as JSON, for every store. Unknown fields, labels and annotations survive a write: the
//! rest of the object stays as it was read, in [`LeaseObject::carried`].

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::payload::{Annotations, Payload, Stored};
use crate::store::{LeaseChange, LeaseObject, LeaseSpec, micro_time};

/// Reads a Lease. An error says why this is not one.
pub(crate) fn parse<P: Payload>(mut object: Value, names: &Annotations) -> Result<LeaseObject<P>, String> {
    match object.get("kind").and_then(Value::as_str) {
        Some("Lease") => {}
        other => return Err(format!("not a Lease, but {}", other.unwrap_or("without kind"))),
    }
    let metadata = member(&mut object, "metadata").ok_or("a Lease without metadata")?;
    let uid = match metadata.remove("uid") {
        Some(Value::String(uid)) if !uid.is_empty() => uid,
        _ => return Err("a Lease without uid".to_owned()),
    };
    let version = version(metadata.remove("resourceVersion").as_ref())?;
    let (fence, payload) = match metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        Some(annotations) => names.take(annotations),
        None => (0, Stored::Absent),
    };
    let mut nothing = Map::new();
    let spec = member(&mut object, "spec").unwrap_or(&mut nothing);
    let spec = LeaseSpec {
        holder: text(spec.remove("holderIdentity")),
        duration_seconds: number(spec.remove("leaseDurationSeconds")),
        acquire_time: text(spec.remove("acquireTime")).and_then(|time| time.parse().ok()),
        renew_time: text(spec.remove("renewTime")).and_then(|time| time.parse().ok()),
        transitions: number(spec.remove("leaseTransitions")).unwrap_or(0),
    };
    Ok(LeaseObject {
        uid,
        version,
        spec,
        fence,
        payload,
        carried: Arc::new(object),
    })
}

/// The whole object that a write puts in place of `base`, with the uid and version of `base`.
pub(crate) fn replacement<P: Payload>(base: &LeaseObject<P>, change: &LeaseChange<P>, names: &Annotations) -> Value {
    let mut object = match &*base.carried {
        Value::Object(carried) => carried.clone(),
        _ => Map::new(),
    };
    edit(&mut object, "metadata", |metadata| {
        metadata.insert("uid".to_owned(), Value::from(&*base.uid));
        metadata.insert("resourceVersion".to_owned(), Value::from(base.version.to_string()));
        edit(metadata, "annotations", |annotations| {
            names.put(annotations, change.fence, &change.payload);
        });
    });
    edit(&mut object, "spec", |spec| put_spec(spec, &change.spec));
    Value::Object(object)
}

/// A resourceVersion as a number that grows, which KEP-5504 makes it.
pub(crate) fn version(found: Option<&Value>) -> Result<u64, String> {
    let text = found.and_then(Value::as_str).unwrap_or_default();
    text.parse()
        .map_err(|_| format!("a resourceVersion that is not a number: {text:?}"))
}

fn put_spec(spec: &mut Map<String, Value>, wanted: &LeaseSpec) {
    let mut set = |key: &str, value: Option<Value>| match value {
        Some(value) => drop(spec.insert(key.to_owned(), value)),
        None => drop(spec.remove(key)),
    };
    // Both numbers are int32 in Kubernetes.
    let whole = |number: u32| Value::from(i32::try_from(number).unwrap_or(i32::MAX));
    set("holderIdentity", wanted.holder.clone().map(Value::from));
    set("leaseDurationSeconds", wanted.duration_seconds.map(whole));
    let time = |time| Value::from(micro_time(time));
    set("acquireTime", wanted.acquire_time.map(time));
    set("renewTime", wanted.renew_time.map(time));
    set("leaseTransitions", Some(whole(wanted.transitions)));
}

fn member<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(key)?.as_object_mut()
}

/// Changes the object under `key`; creates it if it is missing or not an object.
fn edit(object: &mut Map<String, Value>, key: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut inner = match object.remove(key) {
        Some(Value::Object(found)) => found,
        _ => Map::new(),
    };
    change(&mut inner);
    object.insert(key.to_owned(), Value::Object(inner));
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn number(value: Option<Value>) -> Option<u32> {
    value?.as_u64().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::{FENCE_MAX, Stored};

    /// Any text but `{}` is one.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Text(String);

    impl Payload for Text {
        fn parse(text: &str) -> Option<Text> {
            (text != "{}").then(|| Text(text.to_owned()))
        }

        fn to_text(&self) -> String {
            self.0.clone()
        }

        fn supersedes(&self, _: &Text) -> bool {
            true
        }
    }

    fn names() -> Annotations {
        Annotations::with_prefix("random-generator")
    }

    fn parse(object: Value) -> Result<LeaseObject<Text>, String> {
        super::parse(object, &names())
    }

    fn object() -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "random-generator",
                "namespace": "lab",
                "uid": "8c1f",
                "resourceVersion": "4711",
                "creationTimestamp": "2026-11-21T05:00:00Z",
                "labels": {"app": "rg"},
                "annotations": {"example.com/note": "keep", "random-generator/fence": "7", "random-generator/payload": "{}"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}],
                "finalizers": ["example.com/hold"],
                "managedFields": [{"manager": "kubectl", "operation": "Update"}],
            },
            "spec": {
                "holderIdentity": "rg-0_u-n",
                "leaseDurationSeconds": 15,
                "acquireTime": "2026-11-21T05:38:34.500000Z",
                "renewTime": "2026-11-21T05:38:36.000001Z",
                "leaseTransitions": 3,
                "strategy": "OldestEmulationVersion",
                "preferredHolder": "other",
                "ofTheFuture": {"a": [1]},
            },
        })
    }

    #[test]
    fn a_write_changes_what_is_ours_and_carries_all_else() {
        let base = parse(object()).unwrap();
        assert_eq!((base.version, base.uid.as_str(), base.fence), (4711, "8c1f", 7));
        assert_eq!(base.payload, Stored::Invalid("{}".into()));
        let change = LeaseChange {
            spec: base.spec.clone(),
            fence: base.fence,
            payload: base.payload.clone(),
        };
        let again = replacement(&base, &change, &names());
        assert_eq!(again, object(), "an empty change changes nothing");
        let time = "2026-11-21T06:00:00Z".parse().unwrap();
        let change = LeaseChange {
            spec: LeaseSpec {
                holder: Some(String::new()),
                duration_seconds: Some(1),
                acquire_time: Some(time),
                renew_time: None,
                transitions: u32::MAX,
            },
            fence: 8,
            payload: Stored::Absent,
        };
        let mut wanted = object();
        let spec = wanted["spec"].as_object_mut().unwrap();
        spec["holderIdentity"] = json!("");
        spec["leaseDurationSeconds"] = json!(1);
        spec["acquireTime"] = json!("2026-11-21T06:00:00.000000Z");
        spec.remove("renewTime");
        spec["leaseTransitions"] = json!(i32::MAX);
        let annotations = wanted["metadata"]["annotations"].as_object_mut().unwrap();
        annotations["random-generator/fence"] = json!("8");
        annotations.remove("random-generator/payload");
        let written = replacement(&base, &change, &names());
        assert_eq!(written, wanted);
    }

    #[test]
    fn a_lease_as_the_manifest_has_it_is_free_and_has_no_fence() {
        for spec in [json!(null), json!({}), json!({"holderIdentity": null})] {
            let mut bare = object();
            bare["spec"] = spec;
            bare["metadata"].as_object_mut().unwrap().remove("annotations");
            let read = parse(bare).unwrap();
            assert_eq!(read.spec, LeaseSpec::default());
            assert_eq!((read.fence, &read.payload), (0, &Stored::Absent));
            let change = LeaseChange {
                spec: LeaseSpec::default(),
                fence: 1,
                payload: Stored::Absent,
            };
            let written = replacement(&read, &change, &names());
            assert_eq!(
                written["metadata"]["annotations"],
                json!({"random-generator/fence": "1"})
            );
            assert_eq!(written["spec"], json!({"leaseTransitions": 0}));
        }
    }

    #[test]
    fn what_is_not_a_fence_that_can_grow_counts_as_none_until_it_is_replaced() {
        let most = FENCE_MAX.to_string();
        for garbage in ["-1", "many", "", &most, "18446744073709551615", "18446744073709551616"] {
            let mut damaged = object();
            damaged["metadata"]["annotations"]["random-generator/fence"] = json!(garbage);
            let read = parse(damaged).unwrap();
            assert_eq!(
                (read.fence, names().unusable_fence(&read).as_deref()),
                (0, Some(garbage))
            );
            let change = LeaseChange {
                spec: LeaseSpec::default(),
                fence: 1,
                payload: Stored::Absent,
            };
            let written = parse(replacement(&read, &change, &names())).unwrap();
            assert_eq!((written.fence, names().unusable_fence(&written)), (1, None));
        }
        let mut number = object();
        number["metadata"]["annotations"]["random-generator/fence"] = json!(7);
        let read = parse(number).unwrap();
        assert_eq!((read.fence, names().unusable_fence(&read)), (0, Some("7".to_owned())));
        let mut greatest = object();
        greatest["metadata"]["annotations"]["random-generator/fence"] = json!((FENCE_MAX - 1).to_string());
        assert_eq!(parse(greatest).unwrap().fence, FENCE_MAX - 1);
    }

    #[test]
    fn what_is_not_a_lease_is_refused() {
        let mut status = object();
        status["kind"] = json!("Status");
        assert!(parse(status).unwrap_err().contains("Status"));
        let mut old = object();
        old["metadata"]["resourceVersion"] = json!("abc");
        assert!(parse(old).unwrap_err().contains("abc"));
        let mut bare = object();
        bare["metadata"].as_object_mut().unwrap().remove("uid");
        assert!(parse(bare).unwrap_err().contains("uid"));
    }
}
