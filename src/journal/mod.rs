//! (in the making)
pub(crate) mod backoff;
