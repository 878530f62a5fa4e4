//! A browser to drive: Chromium without a screen, asked over its DevTools protocol.
//!
//! Invariants:
//! 1. It has a folder of its own for all that it keeps, and ends with the test, its helpers too.
//! 2. Nothing waits for a time to pass, only for what a page shows; patience is for what never comes.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Long enough for anything that happens at all, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A running Chromium.
pub(crate) struct Browser {
    child: Child,
    folder: TempDir,
    wire: WebSocket<TcpStream>,
    asked: u64,
    /// What a page's visitor types when the page asks by `prompt`, by the page's session.
    answers: HashMap<String, String>,
}

/// One of its pages.
pub(crate) struct Page {
    session: String,
}

impl Browser {
    /// Starts it; or why there is none: no `chromium` among the programs, or one that cannot run here.
    pub(crate) fn start() -> Result<Browser, String> {
        let program = on_the_path("chromium").ok_or("there is no chromium on the PATH (make chromium)")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut child = spawn(&program, folder.path());
        let address = address(&mut child, folder.path())?;
        let stream = TcpStream::connect(address.split('/').next().unwrap_or_default()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is no zero");
        let (wire, _) = tungstenite::client(format!("ws://{address}"), stream).expect("it speaks WebSocket");
        Ok(Browser { child, folder, wire, asked: 0, answers: HashMap::new() })
    }

    /// Opens a page, as somebody who gives this answer when asked.
    pub(crate) fn open(&mut self, url: &str, answer: &str) -> Page {
        let target = self.ask(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.ask(None, "Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str().expect("a session has a name").to_owned();
        self.answers.insert(session.clone(), answer.to_owned());
        let page = Page { session };
        self.ask(Some(&page), "Page.enable", json!({}));
        // Of several pages only one is in front; each is to take what is typed.
        self.ask(Some(&page), "Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        self.ask(Some(&page), "Page.navigate", json!({ "url": url }));
        page
    }

    /// Types into the element with this id, and the key that ends a line.
    pub(crate) fn type_line(&mut self, page: &Page, id: &str, text: &str) {
        let focus = json!({ "expression": format!("document.getElementById('{id}').focus()") });
        self.ask(Some(page), "Runtime.evaluate", focus);
        self.ask(Some(page), "Input.insertText", json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let mut key =
                json!({ "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13 });
            if kind == "keyDown" {
                key["text"] = json!("\r");
            }
            self.ask(Some(page), "Input.dispatchKeyEvent", key);
        }
    }

    /// Waits until the element with this id shows all of these; what it then shows.
    pub(crate) fn shows(&mut self, page: &Page, id: &str, wanted: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            // While a page is being loaded there may be no such element, or nobody who could look.
            let look = json!({ "expression": format!("document.getElementById('{id}')?.innerText") });
            let looked = self.try_ask(Some(page), "Runtime.evaluate", look).unwrap_or_default();
            let shown = looked["result"]["value"].as_str().unwrap_or_default();
            if wanted.iter().all(|text| shown.contains(text)) {
                return shown.to_owned();
            }
            if begun.elapsed() > PATIENCE {
                panic!("the page shows {shown:?}, not {wanted:?}; the browser says:\n{}", self.errors());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn ask(&mut self, page: Option<&Page>, method: &str, params: Value) -> Value {
        match self.try_ask(page, method, params) {
            Ok(answer) => answer,
            Err(error) => panic!("{method}: {error}; the browser says:\n{}", self.errors()),
        }
    }

    /// Asks, and waits for the answer.
    fn try_ask(&mut self, page: Option<&Page>, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.say(page.map(|page| page.session.as_str()), method, params);
        loop {
            let mut heard = match self.wire.read() {
                Ok(Message::Text(text)) => serde_json::from_str::<Value>(&text).expect("it speaks JSON"),
                Ok(_) => continue,
                Err(error) => panic!("{method}: {error}; the browser says:\n{}", self.errors()),
            };
            if heard["id"] == id {
                return match heard["error"].take() {
                    Value::Null => Ok(heard["result"].take()),
                    error => Err(error),
                };
            }
            if heard["method"] == "Page.javascriptDialogOpening" {
                self.answer(heard["sessionId"].as_str().unwrap_or_default());
            }
        }
    }

    /// A page asks its visitor something, and goes on only when that is answered.
    fn answer(&mut self, session: &str) {
        let text = self.answers.get(session).cloned().unwrap_or_default();
        self.say(Some(session), "Page.handleJavaScriptDialog", json!({ "accept": true, "promptText": text }));
    }

    fn say(&mut self, session: Option<&str>, method: &str, params: Value) -> u64 {
        self.asked += 1;
        let mut said = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = session {
            said["sessionId"] = json!(session);
        }
        if let Err(error) = self.wire.send(Message::text(said.to_string())) {
            panic!("{method}: {error}; the browser says:\n{}", self.errors());
        }
        self.asked
    }

    fn errors(&self) -> String {
        errors(self.folder.path())
    }
}

/// Its helpers are of its process group.
impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended.
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let errors = File::create(folder.join("errors")).expect("a file can be made");
    Command::new(program)
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        // The pages are our own, and nobody may make a sandbox as root or in most containers.
        .args(["--headless=new", "--remote-debugging-port=0", "--no-sandbox"])
        .args(["--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"])
        .args(["--no-first-run", "--disable-component-update", "--disable-background-networking"])
        // A page that is not in front has its timers as well.
        .args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"])
        .args(["--disable-backgrounding-occluded-windows", "about:blank"])
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .spawn()
        .expect("chromium starts")
}

/// Where it listens; it says so in a file.
fn address(child: &mut Child, folder: &Path) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let said = fs::read_to_string(folder.join("profile/DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = said.trim_end().split_once('\n') {
            return Ok(format!("127.0.0.1:{port}{path}"));
        }
        let ended = child.try_wait().expect("it is ours");
        if ended.is_some() || begun.elapsed() > PATIENCE {
            end(child);
            return Err(format!("chromium does not start ({ended:?}); it says:\n{}", errors(folder)));
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

fn errors(folder: &Path) -> String {
    fs::read_to_string(folder.join("errors")).unwrap_or_default()
}
