//! The faults that tests set where batches are written.

use super::queue::PartitionQueue;
use crate::error::Error;

#[cfg(feature = "testing")]
impl PartitionQueue {
    pub(super) fn faults_are_set(&self) -> bool {
        self.client.broker.faults.are_set(crate::broker::OpKind::Produce, &self.log.tp)
    }

    fn fault(&self, point: crate::broker::FaultPoint) -> Option<Error> {
        self.client.broker.faults.strike(crate::broker::OpKind::Produce, &self.log.tp, point)
    }

    /// The first fault point: nothing is appended.
    pub(super) fn fault_before(&self) -> Option<Error> {
        self.fault(crate::broker::FaultPoint::Before)
    }

    /// The second: it is appended, and the answer is lost.
    pub(super) fn fault_after(&self) -> Option<Error> {
        self.fault(crate::broker::FaultPoint::After)
    }
}

#[cfg(not(feature = "testing"))]
impl PartitionQueue {
    pub(super) fn faults_are_set(&self) -> bool {
        false
    }

    pub(super) fn fault_before(&self) -> Option<Error> {
        None
    }

    pub(super) fn fault_after(&self) -> Option<Error> {
        None
    }
}
