//! Chromium without a window, spoken to in its DevTools protocol over two pipes.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take; a browser that has just begun needs a while.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Browser {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    events: Vec<Value>,
    session: Option<String>,
    last: u64,
    _profile: TempDir,
}

impl Browser {
    /// A browser with one page; `None` if there is no Chromium.
    pub(crate) fn start() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let path = std::env::var_os("PATH")?;
        let mut found = names
            .iter()
            .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
        let program = found.find(|program| program.is_file())?;
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken on the descriptors 3 and 4.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|length| length > 0)
            {
                message.pop();
                if serde_json::from_slice(&message).is_ok_and(|value| sender.send(value).is_err()) {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            requests,
            answers,
            events: Vec::new(),
            session: None,
            last: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let options = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", options);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        self.requests
            .write_all(request.to_string().as_bytes())
            .unwrap();
        self.requests.write_all(&[0]).unwrap();
        loop {
            let answer = self.receive();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next message; events are kept.
    fn receive(&mut self) -> Value {
        let answer = self
            .answers
            .recv_timeout(PATIENCE)
            .expect("the browser is silent");
        if answer["method"].is_string() {
            self.events.push(answer.clone());
        }
        answer
    }

    /// Opens a file in a window of this width, and waits until its script has run.
    pub(crate) fn open(&mut self, file: &Path, width: u32, dark: bool) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "media": "", "features": [feature] }),
        );
        self.events.clear();
        self.call(
            "Page.navigate",
            json!({ "url": format!("file://{}", file.display()) }),
        );
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.receive();
        }
    }

    /// What an expression comes to.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let options = json!({ "expression": expression, "returnByValue": true });
        let result = self.call("Runtime.evaluate", options);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    pub(crate) fn mouse(&mut self, kind: &str, (x, y): (f64, f64)) {
        let pressed = u8::from(kind != "mouseMoved" || self.value("window.held === true") == true);
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let mut event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
        if kind == "mouseMoved" {
            event["buttons"] = pressed.into();
        }
        self.call("Input.dispatchMouseEvent", event);
    }

    pub(crate) fn wheel(&mut self, (x, y): (f64, f64), down: f64) {
        let event = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": down });
        self.call("Input.dispatchMouseEvent", event);
    }

    pub(crate) fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "key": key }),
            );
        }
    }

    /// Errors of scripts and of the page, and whatever was fetched beside the page itself.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Whatever was under way is told before this is answered.
        self.value("0");
        let events = self.events.iter().filter(|event| {
            let params = &event["params"];
            let kind = &params["type"];
            match event["method"].as_str().unwrap() {
                "Runtime.exceptionThrown" => true,
                "Log.entryAdded" => params["entry"]["level"] == "error",
                "Runtime.consoleAPICalled" => *kind == "error" || *kind == "warning",
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap();
                    *kind != "Document" && !url.starts_with("data:")
                }
                _ => false,
            }
        });
        events.map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
