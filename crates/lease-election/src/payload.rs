//! What travels with the lease: a value of the user's own type, kept in one annotation and replaced only by compare-and-swap.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::store::LeaseObject;

/// A value that the Lease carries. Each write of the Lease carries it along, and [`commit`](crate::LeaseHandle::commit)
/// replaces it.
///
/// [`directly_follows`](Payload::directly_follows) and [`excludes`](Payload::excludes) let the elector find out what became of
/// a commit whose answer was lost. `false` is always safe: the commit then counts as undecided.
pub trait Payload: Clone + Debug + Eq + Send + Sync + 'static {
    /// Reads what [`to_text`](Payload::to_text) wrote. `None` for anything else: the text then stays as it is, as
    /// [`Stored::Invalid`].
    fn parse(text: &str) -> Option<Self>;

    /// The text of the annotation. The same value always gives the same text.
    fn to_text(&self) -> String;

    /// The fence under which it was written, or 0. The next leader's fence is greater, even if the fence annotation is lost.
    fn fence(&self) -> u64 {
        0
    }

    /// Whether a commit may put this in place of `earlier`. It must be a strict order: a value that was replaced never comes
    /// back, so one that is still there was there all along.
    fn supersedes(&self, earlier: &Self) -> bool;

    /// Whether this in the Lease proves that `earlier` was there directly before it.
    fn directly_follows(&self, earlier: &Self) -> bool {
        let _ = earlier;
        false
    }

    /// Whether this in the Lease, written after `other` was sent, proves that `other` never got there.
    fn excludes(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

/// For users who only elect: nothing travels with the lease.
impl Payload for () {
    fn parse(text: &str) -> Option<()> {
        text.is_empty().then_some(())
    }

    fn to_text(&self) -> String {
        String::new()
    }

    fn supersedes(&self, (): &()) -> bool {
        false
    }
}

/// What the payload's annotation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<P> {
    Absent,
    /// Text that [`Payload::parse`] refused: damaged by hand.
    Invalid(Arc<str>),
    Valid(Arc<P>),
}

impl<P> Stored<P> {
    pub fn valid(&self) -> Option<&Arc<P>> {
        match self {
            Stored::Valid(payload) => Some(payload),
            Stored::Absent | Stored::Invalid(_) => None,
        }
    }
}

/// The greatest fence: the greatest whole number that every reader of JSON takes as it is. One that is as great can't grow.
pub const FENCE_MAX: u64 = (1 << 53) - 1;

fn read_fence(annotation: &Value) -> Option<u64> {
    annotation.as_str()?.parse().ok().filter(|fence| *fence < FENCE_MAX)
}

/// The names of the two annotations that the elector owns on its Lease, such as `example.com/fence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// Holds the fence, as a decimal number.
    pub fence: String,
    /// Holds the payload's text.
    pub payload: String,
}

impl Annotations {
    /// `PREFIX/fence` and `PREFIX/payload`.
    pub fn with_prefix(prefix: &str) -> Annotations {
        Annotations {
            fence: format!("{prefix}/fence"),
            payload: format!("{prefix}/payload"),
        }
    }

    /// Takes both out of an object's annotations. What is not a fence that can still grow counts as 0, and stays: see
    /// [`unusable_fence`](Annotations::unusable_fence).
    pub(crate) fn take<P: Payload>(&self, annotations: &mut Map<String, Value>) -> (u64, Stored<P>) {
        let fence = annotations.get(&self.fence).and_then(read_fence);
        if fence.is_some() {
            annotations.remove(&self.fence);
        }
        let payload = match annotations.remove(&self.payload) {
            None | Some(Value::Null) => Stored::Absent,
            Some(Value::String(text)) => match P::parse(&text) {
                Some(payload) => Stored::Valid(Arc::new(payload)),
                None => Stored::Invalid(text.into()),
            },
            Some(other) => Stored::Invalid(other.to_string().into()),
        };
        (fence.unwrap_or(0), payload)
    }

    /// What the Lease has in place of a fence, if that is not a whole number below [`FENCE_MAX`]. The next holder replaces it.
    pub fn unusable_fence<P>(&self, object: &LeaseObject<P>) -> Option<String> {
        let found = object.carried.get("metadata")?.get("annotations")?.get(&self.fence)?;
        Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    }

    /// Puts both beside the annotations of others.
    pub(crate) fn put<P: Payload>(&self, annotations: &mut Map<String, Value>, fence: u64, payload: &Stored<P>) {
        annotations.insert(self.fence.clone(), Value::from(fence.to_string()));
        let text = match payload {
            Stored::Absent => {
                annotations.remove(&self.payload);
                return;
            }
            Stored::Invalid(text) => Value::from(&**text),
            Stored::Valid(payload) => Value::from(payload.to_text()),
        };
        annotations.insert(self.payload.clone(), text);
    }
}
