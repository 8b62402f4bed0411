//! The codecs of a batch (KIP-110): which there are, their numbers and names, and the one place
//! where bytes are compressed and decompressed.
//!
//! Each codec writes the container that Kafka's clients write and reads what Kafka's reader reads;
//! see the files beside this one. Decompression is bounded by a limit of the caller and believes no
//! size that a container announces.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::error::{BuildError, Corruption, DecodeError};
use crate::error::Error;

/// The most bytes that the records of one batch may take when not compressed: 64 MiB.
///
/// Sixty-four times what Kafka lets a client send by default (`message.max.bytes`), and small
/// enough that a few damaged or hostile batches cannot exhaust a machine. A builder refuses the
/// record that would pass it, and a compressed batch that grows beyond is refused. Batches written
/// elsewhere that are *not* compressed may be larger: reading them allocates nothing.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// How the records of a batch are compressed (`compression.type`).
///
/// Every codec can be named and recognised in every build; using one needs its crate feature, see
/// [`is_available`](Self::is_available).
///
/// ```
/// use logreel::record::Compression;
/// let codec: Compression = "zstd".parse()?;
/// assert_eq!(codec, Compression::Zstd);
/// assert_eq!(codec.to_string(), "zstd");
/// assert_eq!(Compression::default(), Compression::None);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// RFC 1952; feature `gzip`.
    Gzip,
    /// Raw snappy blocks in the framing of snappy-java; feature `snappy`.
    Snappy,
    /// An LZ4 frame of independent blocks; feature `lz4`.
    Lz4,
    /// Zstandard frames; feature `zstd`.
    Zstd,
}

impl Compression {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the low three bits of a batch's attributes.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number; `None` for the numbers that Kafka has not assigned.
    ///
    /// ```
    /// use logreel::Compression;
    /// assert_eq!(Compression::from_id(4), Some(Compression::Zstd));
    /// assert_eq!(Compression::from_id(5), None);
    /// ```
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// The name in Kafka's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether the crate was built with this codec.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The levels the codec takes in Kafka; `None` where it has none.
    #[must_use]
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(1..=9),
            Self::Lz4 => Some(1..=17),
            Self::Zstd => Some(-131_072..=22),
        }
    }

    /// The level used when none is given, as in Kafka; `None` where the codec has no levels.
    #[must_use]
    pub fn default_level(self) -> Option<i32> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(6),
            Self::Lz4 => Some(9),
            Self::Zstd => Some(3),
        }
    }

    /// Whether [`compress`] can run with this codec and level.
    ///
    /// ```
    /// use logreel::Compression;
    /// assert!(Compression::None.check(None).is_ok());
    /// assert!(Compression::Zstd.check(Some(23)).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError::CompressionUnavailable`] or [`BuildError::CompressionLevel`].
    pub fn check(self, level: Option<i32>) -> Result<(), BuildError> {
        if !self.is_available() {
            return Err(BuildError::CompressionUnavailable(self.name()));
        }
        match level {
            Some(level) if !self.levels().is_some_and(|levels| levels.contains(&level)) => {
                Err(BuildError::CompressionLevel { codec: self.name(), level })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| {
            let known = "must be one of none, gzip, snappy, lz4, zstd";
            Error::invalid_config("compression.type", name, known)
        })
    }
}

/// Compresses `records` and appends the result to `out`. `level` `None` is the codec's default;
/// `Lz4` has one encoder, the fast one, and takes its levels without effect.
///
/// Allocates what the result needs in `out`, and the state of the encoder: zstd's is kept for the
/// next call, the others' is small or short-lived.
///
/// # Errors
///
/// [`BuildError::CompressionUnavailable`] without the codec's feature,
/// [`BuildError::CompressionLevel`] for a level it has not, [`BuildError::Compression`] when the
/// codec fails; then `out` may hold part of the result.
///
/// ```
/// use logreel::record::{Compression, compress, decompress};
/// let mut out = Vec::new();
/// compress(Compression::Zstd, None, &[7; 1000], &mut out)?;
/// assert!(out.len() < 100);
/// assert_eq!(decompress(Compression::Zstd, &out, 1000)?, [7; 1000]);
/// # Ok::<(), logreel::Error>(())
/// ```
pub fn compress(
    codec: Compression,
    level: Option<i32>,
    records: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BuildError> {
    codec.check(level)?;
    match codec {
        Compression::None => {
            out.extend_from_slice(records);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::compress(level, records, out),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::compress(records, out),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::compress(records, out),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::compress(level, records, out),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        other => Err(BuildError::CompressionUnavailable(other.name())),
    }
}

/// Decompresses the whole of `bytes` into at most `limit` bytes.
///
/// Memory grows with what is really decompressed, never with a size that the container announces,
/// except zstd's window of up to 128 MiB, which is reserved and only filled as far as needed.
///
/// # Errors
///
/// [`Corruption::CompressionUnavailable`] without the codec's feature, [`Corruption::TooLarge`]
/// past the limit, [`Corruption::Decompression`] for bytes that are not what the codec writes.
pub fn decompress(codec: Compression, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let result = match codec {
        Compression::None if bytes.len() > limit => Err(Corruption::TooLarge { limit }),
        Compression::None => Ok(bytes.to_vec()),
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::decompress(bytes, limit),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::decompress(bytes, limit),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decompress(bytes, limit),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::decompress(bytes, limit),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        other => Err(Corruption::CompressionUnavailable(other.name())),
    };
    result.map_err(|reason| DecodeError::new(reason, 0, None))
}

#[cfg(test)]
mod tests;
