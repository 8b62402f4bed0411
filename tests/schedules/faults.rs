//! The faults: what is changed in the source, and which model must find it.

use crate::copy::Fault;

pub(crate) const FAULTS: &[Fault] = &[];
