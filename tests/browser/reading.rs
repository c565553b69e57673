//! Whether everyone can read and use the page: on a narrow screen, in the dark, with the keyboard alone.

use serde_json::json;

use crate::page::{NARROW, Page, Screen, WIDE};
use crate::set::Set;
use crate::waiting::until;
use crate::{card, url};

/// Elements with a text of their own whose contrast is below 4.5 (WCAG 2.2, 1.4.3), and how much it is.
const FAINT: &str = r"(() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[0-9.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
  const light = ({ r, g, b }) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = element => { const layers = []; for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor)); return layers.reduceRight((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 }); };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const style = getComputedStyle(element);
    if (!own || !element.getClientRects().length || style.visibility === 'hidden' || element.closest('[aria-hidden=true], .hidden') || element.disabled) continue;
    const under = ground(element);
    let top = parse(style.color);
    for (let e = element; e; e = e.parentElement) top = { ...top, a: top.a * Number(getComputedStyle(e).opacity) };
    const [a, b] = [light(over(top, under)), light(under)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}: ${element.innerText.slice(0, 40)}`);
  }
  return found.join('\n');
})()";

/// Elements that reach beyond the screen's right edge, unless a box of their own scrolls them.
const TOO_WIDE: &str = r"(() => {
  const found = [...document.querySelectorAll('body *')].filter(element => {
    if (element.closest('.hidden, .skip')) return false;
    for (let e = element.parentElement; e && e !== document.body; e = e.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX)) return false;
    return element.getBoundingClientRect().right > innerWidth + 0.5;
  });
  return found.map(element => `${element.tagName}.${element.className}`).join(' ');
})()";

/// A set in which one member is silent, and the page that shows it.
fn shown(screen: Screen) -> (Set, Page) {
    let mut set = Set::start(3, &["--node-name", "a-node-with-a-rather-long-name.example.internal"]);
    let gone = set.follower();
    let asked = (0..3).find(|ordinal| *ordinal != gone).unwrap();
    let page = Page::open(&url(&set, asked), screen);
    page.until_text("#served", "live");
    set.take(gone).kill();
    until("it is silent", || {
        card(&page, &format!("rg-{gone}")).contains("silent").then_some(())
    });
    (set, page)
}

#[test]
fn on_a_screen_of_360_pixels_nothing_is_cut_off_and_nothing_scrolls_sideways() {
    let (mut set, page) = shown(NARROW);
    assert_eq!(page.value(TOO_WIDE), "");
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth"), true);
    // Nor when the banner is there.
    for ordinal in 0..3 {
        set.members[ordinal] = None;
    }
    page.until_text("#banner", "hasn't answered since");
    assert_eq!(page.value(TOO_WIDE), "");
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth"), true);
}

#[test]
fn every_text_can_be_read_in_the_light_and_in_the_dark() {
    // A block that arrives is faint for a moment.
    let still = Screen {
        motion: "reduce",
        ..WIDE
    };
    let (mut set, page) = shown(still);
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = page.value(ground);
    assert_eq!(page.value(FAINT), "", "in the light");
    page.set_screen(Screen {
        scheme: "dark",
        ..still
    });
    assert_ne!(page.value(ground), light, "the dark is another page");
    assert_eq!(page.value(FAINT), "", "in the dark");
    for ordinal in 0..3 {
        set.members[ordinal] = None;
    }
    page.until_text("#banner", "hasn't answered since");
    assert_eq!(page.value(FAINT), "", "with a banner in the dark");
    page.set_screen(still);
    assert_eq!(page.value(FAINT), "", "with a banner in the light");
}

#[test]
fn the_keyboard_reaches_everything_that_can_be_used_in_the_order_of_the_page_and_shows_where_it_is() {
    let set = Set::start(1, &[]);
    let page = Page::open(&url(&set, 0), WIDE);
    page.until_text("#served", "live");
    let usable = "[...document.querySelectorAll('a[href], button:not(:disabled), summary, input, select, [tabindex=\"0\"]')].filter(element => element.getClientRects().length || element.className === 'skip')";
    let count = page.value(&format!("{usable}.length")).as_u64().unwrap();
    assert!(count >= 3);
    for place in 0..count {
        page.press("Tab", 9);
        let here = format!("{usable}.indexOf(document.activeElement)");
        assert_eq!(
            page.value(&here),
            json!(place),
            "{}",
            page.value("document.activeElement.outerHTML")
        );
        let outline = "(style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)(getComputedStyle(document.activeElement))";
        assert_eq!(
            page.value(outline),
            true,
            "{}",
            page.value("document.activeElement.outerHTML")
        );
    }
    // What only sighted people see has words too, and the page has its landmarks.
    for part in ["main", "header", "footer", "h1", "[role=alert]", "html[lang]", "title"] {
        assert_eq!(
            page.value(&format!("document.querySelectorAll({part:?}).length")),
            1,
            "{part}"
        );
    }
    let unnamed = "[...document.querySelectorAll('button, canvas, svg, section, [role=region]')].filter(element => !element.closest('[aria-hidden=true]') && !element.innerText?.trim() && !element.getAttribute('aria-label') && !element.getAttribute('aria-labelledby')).length";
    assert_eq!(page.value(unnamed), 0);
}

#[test]
fn who_prefers_less_motion_sees_none() {
    let moves = "new Promise(done => { let most = 0; const until = performance.now() + 3000; const look = () => { most = Math.max(most, document.getAnimations().length); performance.now() < until ? requestAnimationFrame(look) : done(most); }; look(); })";
    let set = Set::start(1, &[]);
    let page = Page::open(&url(&set, 0), WIDE);
    page.until_text("#newest-title", "Draw ");
    assert_ne!(page.value(moves), 0, "a new draw arrives");
    page.set_screen(Screen {
        motion: "reduce",
        ..WIDE
    });
    assert_eq!(page.value(moves), 0);
}
