//! Roots that leave a hypervisor as a CAR and come into another.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use everturn::{Cid, Hypervisor, HypervisorError, ImportLimits};
use everturn_dag::car::CarReader;

/// What an export wrote, so that it can be looked at.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) async fn export(hypervisor: &Hypervisor, root: &Cid) -> Vec<u8> {
    let output = Shared::default();
    let exported = hypervisor.export_root(root, output.clone()).await.unwrap();
    let car = output.bytes();
    assert_eq!(CarReader::new(&*car).unwrap().count() as u64, exported.blocks);
    car
}

pub(crate) async fn import(hypervisor: &Hypervisor, car: Vec<u8>) -> Result<Cid, HypervisorError> {
    hypervisor.import_root(Cursor::new(car), ImportLimits::default()).await
}
