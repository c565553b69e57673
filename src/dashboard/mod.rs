//! The dashboard: a page for people, and the files that it loads from this member. There is no build step, and nothing of it is
//! anywhere else. [`http`](crate::http) serves it.

/// A text that is compiled in.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// What follows `/dashboard/`.
    pub name: &'static str,
    pub media_type: &'static str,
    pub content: &'static str,
}

/// Each reference in it is relative to `/`, so that it works below the prefix of a proxy too.
pub const PAGE: File = File {
    name: "",
    media_type: "text/html; charset=utf-8",
    content: include_str!("page.html"),
};

/// The page runs scripts of this member alone, never a text as a script, and talks to this member alone.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                          require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! files {
    ($($name:literal: $media_type:expr;)+) => {
        /// What the page loads.
        pub const FILES: &[File] = &[$(File {
            name: $name,
            media_type: $media_type,
            content: include_str!($name),
        }),+];
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

files! {
    "chain.js": SCRIPT;
    "connection.js": SCRIPT;
    "dom.js": SCRIPT;
    "encoding.js": SCRIPT;
    "events.js": SCRIPT;
    "histogram.js": SCRIPT;
    "icon.svg": "image/svg+xml";
    "main.js": SCRIPT;
    "members.js": SCRIPT;
    "newest.js": SCRIPT;
    "numbers.js": SCRIPT;
    "rate.js": SCRIPT;
    "rules.js": SCRIPT;
    "schedule.js": SCRIPT;
    "stream.js": SCRIPT;
    "style.css": "text/css; charset=utf-8";
    "verifier.js": SCRIPT;
    "verify.js": SCRIPT;
}
