//! Control records: the markers that end a transaction (KIP-98).
//!
//! A control record's key says what it is (`i16` version, `i16` type), the value of a transaction
//! marker holds the coordinator's epoch (`i16` version, `i32` epoch). Kafka's metadata log uses
//! more types; a reader skips what it does not know.

use super::error::{Corruption, DecodeError};

/// What a control record says.
///
/// ```
/// use logreel::record::ControlRecord;
/// let commit = ControlRecord::Commit { coordinator_epoch: 9 };
/// assert_eq!(commit.key(), [0, 0, 0, 1]);
/// assert_eq!(commit.value(), Some([0, 0, 0, 0, 0, 9]));
/// assert_eq!(ControlRecord::parse(&[0, 0, 0, 1], Some(&[0, 0, 0, 0, 0, 9])), Ok(commit));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The producer's open transaction in this partition is aborted.
    Abort {
        /// The epoch of the coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// The producer's open transaction in this partition is committed.
    Commit {
        /// The epoch of the coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// Another type, by its number: those of Kafka's metadata log, or a later invention. To be
    /// skipped.
    Other(i16),
}

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

impl ControlRecord {
    /// Reads a control record from its key and value. Versions above 0 are read like 0.
    ///
    /// # Errors
    ///
    /// [`Corruption::ControlKey`] and [`Corruption::ControlValue`].
    pub fn parse(key: &[u8], value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let fail = |reason| DecodeError::new(reason, 0, None);
        let Some(&[v0, v1, t0, t1]) = key.first_chunk::<4>() else {
            return Err(fail(Corruption::ControlKey));
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err(fail(Corruption::ControlKey));
        }
        let kind = i16::from_be_bytes([t0, t1]);
        if kind != ABORT && kind != COMMIT {
            return Ok(Self::Other(kind));
        }
        let Some(&[v0, v1, epoch @ ..]) = value.and_then(|value| value.first_chunk::<6>()) else {
            return Err(fail(Corruption::ControlValue));
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err(fail(Corruption::ControlValue));
        }
        let coordinator_epoch = i32::from_be_bytes(epoch);
        Ok(if kind == COMMIT {
            Self::Commit { coordinator_epoch }
        } else {
            Self::Abort { coordinator_epoch }
        })
    }

    /// The key to write.
    #[must_use]
    pub fn key(self) -> [u8; 4] {
        let kind = match self {
            Self::Abort { .. } => ABORT,
            Self::Commit { .. } => COMMIT,
            Self::Other(kind) => kind,
        };
        let [t0, t1] = kind.to_be_bytes();
        [0, 0, t0, t1]
    }

    /// The value to write; `None` for types whose value this crate does not know.
    #[must_use]
    pub fn value(self) -> Option<[u8; 6]> {
        match self {
            Self::Abort { coordinator_epoch } | Self::Commit { coordinator_epoch } => {
                let [e0, e1, e2, e3] = coordinator_epoch.to_be_bytes();
                Some([0, 0, e0, e1, e2, e3])
            }
            Self::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_round_trip() {
        for coordinator_epoch in [0, 9, i32::MAX, -1] {
            let abort = ControlRecord::Abort { coordinator_epoch };
            let commit = ControlRecord::Commit { coordinator_epoch };
            for control in [abort, commit] {
                let value = control.value().unwrap();
                assert_eq!(ControlRecord::parse(&control.key(), Some(&value)), Ok(control));
            }
        }
    }

    #[test]
    fn unknown_types_are_reported_not_refused() {
        for kind in [2, 6, 99, -1] {
            let control = ControlRecord::Other(kind);
            assert_eq!(ControlRecord::parse(&control.key(), None), Ok(control));
            assert_eq!(control.value(), None);
        }
    }

    #[test]
    fn later_versions_read_as_the_first() {
        let value = [0, 3, 0, 0, 0, 9, 1, 2];
        let commit = ControlRecord::Commit { coordinator_epoch: 9 };
        assert_eq!(ControlRecord::parse(&[0, 5, 0, 1, 7], Some(&value)), Ok(commit));
    }

    #[test]
    fn malformed_keys_and_values_are_refused() {
        let reason = |key: &[u8], value: Option<&[u8]>| {
            ControlRecord::parse(key, value).unwrap_err().reason().clone()
        };
        assert_eq!(reason(&[], None), Corruption::ControlKey);
        assert_eq!(reason(&[0, 0, 0], Some(&[0; 6])), Corruption::ControlKey);
        assert_eq!(reason(&[0x80, 0, 0, 1], Some(&[0; 6])), Corruption::ControlKey);
        assert_eq!(reason(&[0, 0, 0, 1], None), Corruption::ControlValue);
        assert_eq!(reason(&[0, 0, 0, 1], Some(&[0; 5])), Corruption::ControlValue);
        assert_eq!(reason(&[0, 0, 0, 0], Some(&[0xff; 6])), Corruption::ControlValue);
    }
}
