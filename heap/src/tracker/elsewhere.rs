//! What other systems have in place of Linux's page tables: nothing. These types have no values, so the compare
//! tracker is what remains.

use std::io;

use super::{After, Found};
use crate::error::HeapError;

#[derive(Debug)]
pub(super) enum Pagemap {}

#[derive(Debug)]
pub(super) enum WriteProtect {}

fn missing<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has it"))
}

impl Pagemap {
    pub(super) fn open() -> io::Result<Self> {
        missing()
    }

    pub(super) fn can_scan(&self) -> bool {
        match *self {}
    }

    pub(super) fn written(&self, _: u64, _: u64, _: After, _: &mut Found<'_>) -> Result<(), HeapError> {
        match *self {}
    }

    pub(super) fn private(&self, _: u64, _: u64, _: &mut Found<'_>) -> Result<(), HeapError> {
        match *self {}
    }

    pub(super) fn present_private(&self, _: u64, _: u64, _: &mut Found<'_>) -> Result<(), HeapError> {
        match *self {}
    }
}

impl WriteProtect {
    pub(super) fn open() -> io::Result<Self> {
        missing()
    }

    pub(super) fn watch(&self, _: u64, _: u64) -> Result<(), HeapError> {
        match *self {}
    }

    pub(super) fn arm(&self, _: u64, _: u64) -> Result<(), HeapError> {
        match *self {}
    }

    pub(super) fn disarm(&self, _: u64, _: u64) -> Result<(), HeapError> {
        match *self {}
    }
}
