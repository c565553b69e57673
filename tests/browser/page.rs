//! One page in Chromium: what it shows, what was pressed, and what went wrong in it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::waiting::until;

pub struct Page {
    chromium: Arc<Chromium>,
    session: String,
}

/// How the page is looked at.
#[derive(Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
    /// `no-preference` or `reduce`.
    pub motion: &'static str,
}

pub const WIDE: Screen = Screen {
    width: 1280,
    height: 900,
    scheme: "light",
    motion: "no-preference",
};
pub const NARROW: Screen = Screen {
    width: 360,
    height: 740,
    scheme: "light",
    motion: "no-preference",
};

impl Page {
    pub fn open(url: &str, screen: Screen) -> Page {
        Page::open_in(Chromium::start(&[]), url, screen)
    }

    pub fn open_in(chromium: Arc<Chromium>, url: &str, screen: Screen) -> Page {
        let target = until("a tab", || {
            let all = chromium.ask(None, "Target.getTargets", json!({}));
            let mut all = all["targetInfos"].as_array().unwrap().clone().into_iter();
            all.find(|target| target["type"] == "page")
        });
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = chromium.ask(None, "Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let page = Page { chromium, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.ask(&format!("{domain}.enable"), json!({}));
        }
        page.set_screen(screen);
        if url != "about:blank" {
            page.go(url);
        }
        page
    }

    /// A part of the page as PNG, from the top of one element to the bottom of another, as wide as the page.
    pub fn picture(&self, first: &str, last: &str, scale: f64) -> Vec<u8> {
        let ends = self.value(&format!(
            "[document.querySelector({first:?}).getBoundingClientRect().top, document.querySelector({last:?}).getBoundingClientRect().bottom].map(y => y + scrollY)"
        ));
        let (top, bottom) = (ends[0].as_f64().unwrap(), ends[1].as_f64().unwrap() + 14.0);
        self.ask("Emulation.setScrollbarsHidden", json!({"hidden": true}));
        let width = self.value("innerWidth");
        let clip = json!({"x": 0, "y": top, "width": width, "height": bottom - top, "scale": scale});
        let parameters = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.ask("Page.captureScreenshot", parameters);
        from_base64(picture["data"].as_str().unwrap())
    }

    /// Runs a script in each page from now on, before its own.
    pub fn before_others(&self, script: &str) {
        self.ask("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    }

    /// Presses a button as the keyboard does.
    pub fn press_button(&self, id: &str) {
        self.value(&format!("document.getElementById({id:?}).focus()"));
        self.press(" ", 32);
    }

    pub fn go(&self, url: &str) {
        let went = self.ask("Page.navigate", json!({"url": url}));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.until(
            "the page is loaded",
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
    }

    pub fn ask(&self, method: &str, parameters: Value) -> Value {
        self.chromium.ask(Some(&self.session), method, parameters)
    }

    pub fn set_screen(&self, screen: Screen) {
        let Screen {
            width,
            height,
            scheme,
            motion,
        } = screen;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// The value of an expression, which may be a promise.
    pub fn value(&self, expression: &str) -> Value {
        let question = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let said = self.ask("Runtime.evaluate", question);
        assert!(said["exceptionDetails"].is_null(), "{expression}: {said}");
        said["result"]["value"].clone()
    }

    /// The value of an expression once it is truthy.
    pub fn until(&self, what: &str, expression: &str) -> Value {
        until(what, || {
            let value = self.value(expression);
            let is_so = !(value.is_null() || value == false || value == "" || value == 0);
            is_so.then_some(value)
        })
    }

    /// The text of the first element that matches, as it is shown.
    pub fn text(&self, selector: &str) -> String {
        let value = self.value(&format!("document.querySelector({selector:?})?.innerText ?? ''"));
        value.as_str().unwrap().to_owned()
    }

    pub fn until_text(&self, selector: &str, part: &str) -> String {
        until(&format!("{part:?} in {selector}"), || {
            Some(self.text(selector)).filter(|text| text.contains(part))
        })
    }

    pub fn press(&self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// What the console, the network or the policy complained of.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.chromium.events(&self.session).into_iter();
        let complaints = events.filter_map(|(method, said)| match method.as_str() {
            "Log.entryAdded" => {
                let entry = &said["entry"];
                let loud = entry["level"] == "error" || entry["level"] == "warning";
                loud.then(|| format!("{}: {} {}", entry["source"], entry["text"], entry["url"]))
            }
            "Runtime.exceptionThrown" => Some(said["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" => Some(said["args"].to_string()),
            _ => None,
        });
        complaints.collect()
    }

    /// As `complaints`, without requests that a member didn't answer.
    pub fn complaints_of_the_page(&self) -> Vec<String> {
        let mut complaints = self.complaints();
        complaints.retain(|complaint| !complaint.contains("net::ERR_"));
        complaints
    }

    /// The address of each request that it made.
    pub fn requests(&self) -> Vec<String> {
        let events = self.chromium.events(&self.session).into_iter();
        let sent = events.filter(|(method, _)| method == "Network.requestWillBeSent");
        sent.map(|(_, said)| said["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b'=').map(value).collect();
    let quarters = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    quarters.collect()
}
