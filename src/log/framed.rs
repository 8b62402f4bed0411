//! Our own small files: text behind one line that names the kind, the version and a CRC-32 of the
//! rest. Kafka ignores them; a person can read them; a flipped bit shows.

use super::checkpoint::Damaged;
use crate::error::Result;

/// Wraps a body. `kind` is one word.
pub(crate) fn encode(kind: &str, version: u32, body: &str) -> String {
    format!("logreel-{kind} {version} {:08x}\n{body}", crc32fast::hash(body.as_bytes()))
}

/// What a file of this kind holds, or why not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Body(&'a str),
    /// Written by a newer release.
    Newer(u32),
}

pub(crate) fn decode<'a>(
    kind: &str,
    version: u32,
    bytes: &'a [u8],
) -> Result<Decoded<'a>, Damaged> {
    let text = str::from_utf8(bytes).map_err(|_| Damaged)?;
    let (head, body) = text.split_once('\n').ok_or(Damaged)?;
    let rest = head.strip_prefix("logreel-").and_then(|h| h.strip_prefix(kind)).ok_or(Damaged)?;
    let (found, crc) = rest.strip_prefix(' ').and_then(|r| r.split_once(' ')).ok_or(Damaged)?;
    if crc != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(Damaged);
    }
    let found: u32 = found.parse().map_err(|_| Damaged)?;
    Ok(if found > version { Decoded::Newer(found) } else { Decoded::Body(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_body_shows() {
        let file = encode("catalog", 1, "topic orders\n");
        assert_eq!(decode("catalog", 1, file.as_bytes()), Ok(Decoded::Body("topic orders\n")));
        assert_eq!(decode("manifest", 1, file.as_bytes()), Err(Damaged), "another kind");
        for bit in 0..file.len() * 8 {
            let mut bytes = file.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode("catalog", 1, &bytes);
            if let Ok(Decoded::Body(body)) = decoded {
                assert_eq!(body, "topic orders\n", "bit {bit}: only the head may change unseen");
            }
        }
        let newer = encode("catalog", 2, "");
        assert_eq!(decode("catalog", 1, newer.as_bytes()), Ok(Decoded::Newer(2)));
    }
}
