//! Where the lines of containers go: to our output, and to every command that is attached.

use std::sync::{Arc, Mutex, PoisonError};

use everturn::Line;

use crate::output::Output;

use super::console::Console;

/// Takes a line; `false` when nobody is there to take one any more.
type Listener = Box<dyn Fn(&Line) -> bool + Send>;

/// Shared by the hypervisor's own thread, which has lines to tell, and those who come and go.
#[derive(Clone)]
pub(super) struct Lines {
    output: Arc<Output>,
    console: Arc<Console>,
    listeners: Arc<Mutex<Vec<Listener>>>,
}

impl Lines {
    pub(super) fn to(output: &Arc<Output>, console: Console) -> Lines {
        Lines { output: output.clone(), console: Arc::new(console), listeners: Arc::default() }
    }

    /// From now on this one hears every line. It must not wait.
    pub(super) fn listen(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(super) fn tell(&self, line: &Line) {
        let shown = self.output.line(line);
        if let Some(number) = line.number {
            self.console.about_to(number, shown.stream, shown.text.len());
        }
        self.output.show(&shown);
        if let Some(number) = line.number {
            self.console.wrote(number);
        }
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener(line));
    }
}
