//! Without the feature `testing` nothing is intercepted.

use super::Blow;
use super::operation::Operation;
use crate::error::{Error, Result};
use crate::time::Clock;
use crate::types::TopicPartition;

/// No faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults;

impl Faults {
    pub(crate) fn is_active(&self) -> bool {
        false
    }

    pub(crate) fn holds_markers(&self) -> bool {
        false
    }

    pub(crate) fn while_markers_wait(&self, _: &Clock, error: Error) -> Error {
        error
    }

    pub(crate) fn run<T>(
        &self,
        _: &Clock,
        _: impl FnOnce() -> Operation,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        act()
    }

    pub(crate) fn strike(&self, _: &Clock, _: &Operation) -> Option<Blow> {
        None
    }

    pub(crate) fn note(&self, _: &Clock, _: Operation, _: Option<&Error>) {}
}

impl Blow {
    pub(crate) fn takes(&self, _: &TopicPartition) -> bool {
        true
    }
}
