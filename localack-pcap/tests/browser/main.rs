//! The HTML report in a real browser: Debian's `chromium`, or another Chromium in the path.

#![cfg(unix)]

mod chromium;

use std::path::Path;
use std::process::Command;

use chromium::Browser;

/// The upright bars of data of the first conversation.
const DATA: &str = "#plot-flow-1-up-sequence .layer.data polyline";
const AREA: &str = "#plot-flow-1-up-sequence .area";

#[test]
fn the_report_works_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        assert!(
            std::env::var_os("LOCALACK_REQUIRE_ROOT").is_none(),
            "chromium is missing"
        );
        eprintln!("skipped: there is no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("report.html");
    let status = Command::new(env!("CARGO_BIN_EXE_localack-pcap"))
        .args(["report", "--html"])
        .arg(&html)
        .args(["--what-if", "--seeds", "3"])
        .status()
        .unwrap();
    assert!(status.success());
    is_legible(&mut browser, &html);
    has_two_schemes(&mut browser, &html);
    browser.open(&html, 1280, false);
    sorts(&mut browser);
    reads_out(&mut browser);
    foretells(&mut browser);
    zooms(&mut browser);
    hides(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    prints(&mut browser);
}

fn is_legible(browser: &mut Browser, html: &Path) {
    for width in [1280, 400] {
        browser.open(html, width, false);
        assert_eq!(browser.value("innerWidth"), width);
        let wide = browser.value("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= width.into(), "{wide} at {width}");
        let small = browser.value(
            "[...document.querySelectorAll('body *')].filter((element) => {
                const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
                if (!own || element.closest('script, style') || !element.getClientRects().length) return false;
                const svg = element.ownerSVGElement;
                const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
                return parseFloat(getComputedStyle(element).fontSize) * scale < 10;
            }).map((element) => element.outerHTML.slice(0, 100)).join('\\n')",
        );
        assert_eq!(small, "", "at {width}");
        let figures = browser.value("document.querySelectorAll('figure.live').length");
        let inside = browser.value(
            "[...document.querySelectorAll('figure.live svg > .frame text')].filter((text) => {
                const [own, all] = [text, text.ownerSVGElement].map((part) => part.getBoundingClientRect());
                return own.left < all.left - 1 || own.right > all.right + 1;
            }).map((text) => text.textContent).join()",
        );
        assert!(figures.as_u64().unwrap() > 10, "{figures}");
        assert_eq!(inside, "", "numbers beside their plots at {width}");
        let drawn = browser.value(&format!(
            "Math.max(...[...document.querySelectorAll('{DATA}')].map((bar) => bar.getBoundingClientRect().height))"
        ));
        assert!(drawn.as_f64().unwrap() > 0.5, "{drawn}");
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}

fn has_two_schemes(browser: &mut Browser, html: &Path) {
    let mut colours = |dark| {
        browser.open(html, 1280, dark);
        ["background-color", "color"].map(|property| {
            let value = browser.value(&format!(
                "getComputedStyle(document.body).getPropertyValue('{property}')"
            ));
            let words = value
                .as_str()
                .unwrap()
                .trim_matches(|letter: char| !letter.is_ascii_digit());
            let parts = words
                .split(',')
                .map(|part| part.trim().parse::<u32>().unwrap());
            parts.sum::<u32>()
        })
    };
    let (light, dark) = (colours(false), colours(true));
    assert!(light[0] > 600 && light[1] < 200, "{light:?}");
    assert!(dark[0] < 200 && dark[1] > 600, "{dark:?}");
}

fn sorts(browser: &mut Browser) {
    let order =
        "[...document.querySelectorAll('#flows tbody tr')].map((row) => row.dataset.flow).join()";
    let click = |browser: &mut Browser, column: u32| {
        browser.value(&format!(
            "document.querySelectorAll('#flows th button')[{column}].click()"
        ));
        browser.value(order)
    };
    assert_eq!(click(browser, 0), "7,6,5,4,3,2,1");
    assert_eq!(click(browser, 0), "1,2,3,4,5,6,7");
    assert_eq!(
        browser.value("document.querySelector('#flows th').ariaSort"),
        "ascending"
    );
    let by_payload = click(browser, 4);
    assert!(
        by_payload.as_str().unwrap().starts_with("1,2,"),
        "{by_payload}"
    );
    assert_eq!(
        browser.value("document.querySelectorAll('#flows [aria-sort]').length"),
        1
    );
    // By keyboard, too.
    browser.value("document.querySelectorAll('#flows th button')[0].focus()");
    browser.value("document.activeElement.click()");
    assert_eq!(browser.value(order), "7,6,5,4,3,2,1");
}

/// The middle of an element, scrolled into view.
fn middle(browser: &mut Browser, expression: &str) -> (f64, f64) {
    let rect = browser.value(&format!(
        "(() => {{
            const element = {expression};
            element.closest('figure').scrollIntoView({{ block: 'center' }});
            const rect = element.getBoundingClientRect();
            return [rect.x + rect.width / 2, rect.y + rect.height / 2];
        }})()"
    ));
    let at = |index: usize| rect[index].as_f64().unwrap();
    (at(0), at(1))
}

/// A place on a line, scrolled into view.
fn half_way(browser: &mut Browser, selector: &str) -> (f64, f64) {
    let place = browser.value(&format!(
        "(() => {{
            const line = document.querySelector('{selector}');
            line.closest('figure').scrollIntoView({{ block: 'center' }});
            const point = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
            return [point.x, point.y];
        }})()"
    ));
    let at = |index: usize| place[index].as_f64().unwrap();
    (at(0), at(1))
}

fn readout(browser: &mut Browser) -> String {
    let text =
        browser.value("document.querySelector('#plot-flow-1-up-sequence .readout').textContent");
    text.as_str().unwrap().to_owned()
}

fn reads_out(browser: &mut Browser) {
    assert_eq!(readout(browser), "");
    let place = middle(browser, &format!("document.querySelectorAll('{DATA}')[9]"));
    browser.mouse("mouseMoved", place);
    let told = readout(browser);
    assert!(
        told.contains("s: ") && (told.contains(" to ") || told.contains("ACK")),
        "{told}"
    );
    browser.mouse("mouseMoved", (2.0, 2.0));
    assert_eq!(readout(browser), "");
}

/// What is foretold is drawn, answers to the pointer, and says whether it can be trusted.
fn foretells(browser: &mut Browser) {
    let marks = browser.value("document.querySelectorAll('.what-if .trust').length");
    assert!(marks.as_u64().unwrap() >= 4, "{marks}");
    for (plot, expected) in [("progress", "s: "), ("completion", "or less: ")] {
        let plot = format!("#plot-flow-1-{plot}");
        assert_eq!(
            browser.value(&format!(
                "document.querySelector('{plot}').classList.contains('live')"
            )),
            true
        );
        let legend = browser.value(&format!(
            "document.querySelector('{plot} .legend').textContent"
        ));
        let legend = legend.as_str().unwrap();
        assert!(
            legend.contains("with the engine") && legend.contains("as captured"),
            "{legend}"
        );
        let strokes = browser.value(&format!(
            "new Set([...document.querySelectorAll('{plot} .layer')].map((layer) => getComputedStyle(layer).stroke)).size"
        ));
        assert_eq!(strokes, 3, "each curve has a colour of its own");
        let place = half_way(browser, &format!("{plot} .layer.engine polyline"));
        browser.mouse("mouseMoved", place);
        let told = browser.value(&format!(
            "document.querySelector('{plot} .readout').textContent"
        ));
        assert!(told.as_str().unwrap().contains(expected), "{told}");
        browser.mouse("mouseMoved", (2.0, 2.0));
    }
}

fn zooms(browser: &mut Browser) {
    let view = |browser: &mut Browser| -> Vec<f64> {
        let view = browser.value(&format!(
            "document.querySelector('{AREA}').getAttribute('viewBox')"
        ));
        view.as_str()
            .unwrap()
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect()
    };
    let home = view(browser);
    let (x, y) = middle(browser, &format!("document.querySelector('{AREA}')"));
    // A page that is scrolled past a plot leaves it as it is.
    browser.value("document.activeElement.blur()");
    browser.wheel((x, y), -100.0);
    assert_eq!(view(browser), home);
    let (x, y) = middle(browser, &format!("document.querySelector('{AREA}')"));
    browser.mouse("mouseMoved", (x - 100.0, y - 60.0));
    browser.mouse("mousePressed", (x - 100.0, y - 60.0));
    browser.value("window.held = true");
    browser.mouse("mouseMoved", (x + 100.0, y + 60.0));
    browser.value("window.held = false");
    browser.mouse("mouseReleased", (x + 100.0, y + 60.0));
    let dragged = view(browser);
    // Its rectangle would take in what lies outside of the view.
    let width = browser.value(&format!(
        "Number(document.querySelector('{AREA}').getAttribute('width'))"
    ));
    let part = 200.0 / width.as_f64().unwrap();
    assert!(
        (dragged[2] / home[2] - part).abs() < 0.05,
        "{dragged:?} of {home:?}"
    );
    assert!(dragged[3] < home[3] / 2.0);
    // Custody goes along in time, and keeps its height.
    let other = browser
        .value("document.querySelector('#plot-flow-1-up-custody .area').getAttribute('viewBox')");
    let other: Vec<f64> = other
        .as_str()
        .unwrap()
        .split(' ')
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(
        (other[2] - dragged[2]).abs() < 2.0 && other[1] == 0.0,
        "{other:?}"
    );
    browser.key("0");
    assert_eq!(view(browser), home);
    // The drag has put the plot into focus.
    browser.wheel((x, y), -100.0);
    let wheeled = view(browser);
    assert!(wheeled[2] < home[2] && wheeled[3] < home[3], "{wheeled:?}");
    browser.key("ArrowRight");
    assert!(view(browser)[0] > wheeled[0]);
    browser.key("Escape");
    assert_eq!(view(browser), home);
    browser.key("+");
    assert!(view(browser)[2] < home[2]);
    browser.key("-");
    browser.key("Home");
    assert_eq!(view(browser), home);
}

fn hides(browser: &mut Browser) {
    let shown = |browser: &mut Browser| {
        let style = browser.value("getComputedStyle(document.querySelector('#plot-flow-1-up-sequence .layer.edge')).display");
        style != "none"
    };
    assert!(shown(browser));
    browser.value("document.querySelector('#plot-flow-1-up-sequence .legend input').click()");
    assert!(!shown(browser));
    browser.value("document.querySelector('#plot-flow-1-up-sequence .legend input').click()");
    assert!(shown(browser));
}

fn prints(browser: &mut Browser) {
    let dark = serde_json::json!({ "name": "prefers-color-scheme", "value": "dark" });
    browser.call(
        "Emulation.setEmulatedMedia",
        serde_json::json!({ "media": "print", "features": [dark] }),
    );
    let paper = browser.value("getComputedStyle(document.body).backgroundColor");
    assert_eq!(paper, "rgb(255, 255, 255)");
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('nav')).display"),
        "none"
    );
}
