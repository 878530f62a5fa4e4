//! The JavaScript engine: starting it, and what the shell asks of it.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use everturn::js::{JsOptions, JsType, ModuleCache, Progress, TrackerKind};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Long enough to see that it turns.
const SPINNER_STEP: Duration = Duration::from_millis(120);
const COMPILING: &str = "compiling the JavaScript engine (once on this machine, some seconds)";

/// Starts the engine on a thread of its own, so that other things can be done, or fail, meanwhile.
pub(crate) fn start() -> oneshot::Receiver<Result<JsType, Failure>> {
    let (done, started) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever asked may have given up.
        let _ = done.send(open());
    });
    started
}

/// The engine, once it has started.
pub(crate) async fn started(start: oneshot::Receiver<Result<JsType, Failure>>) -> Result<JsType, Failure> {
    match start.await {
        Ok(engine) => engine,
        Err(_) => Err(Failure::Engine("its thread ended without a word".into())),
    }
}

fn open() -> Result<JsType, Failure> {
    let tracker = TrackerKind::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
    let progress: Option<Box<dyn Fn(Progress) + Send + Sync>> = Some(Box::new(show()));
    let options = JsOptions { cache: ModuleCache::of_user(), tracker, progress, ..JsOptions::default() };
    JsType::open(options).map_err(|error| Failure::Engine(Box::new(error)))
}

/// Shows on standard error that the engine is being compiled; says nothing where it is not.
fn show() -> impl Fn(Progress) {
    let spinner: Mutex<Option<ProgressBar>> = Mutex::new(None);
    move |progress| {
        let mut spinner = spinner.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Compiling if std::io::stderr().is_terminal() => *spinner = Some(turning()),
            Progress::Compiling => eprintln!("everturn: {COMPILING}"),
            _ => {
                if let Some(spinner) = spinner.take() {
                    spinner.finish_and_clear();
                }
            }
        }
    }
}

fn turning() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let spinner = ProgressBar::new_spinner().with_message(COMPILING);
    let spinner = match style {
        Ok(style) => spinner.with_style(style),
        Err(_) => spinner,
    };
    spinner.enable_steady_tick(SPINNER_STEP);
    spinner
}
