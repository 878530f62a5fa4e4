//! Where there is no call to choose a thread's processors, or another one: helpers run where the system puts them.

#[derive(Default)]
pub(super) struct Helpers;

impl Helpers {
    pub(super) fn join(&self) {}

    pub(super) fn keep_off(&self) {}
}
