//! Byte 0 chooses a codec, the rest is a container to be read and plain bytes to be written.

use logreel::record::{Compression, compress, decompress};

/// Small, so that a hostile container meets it.
const LIMIT: usize = 1 << 20;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((selector, rest)) = data.split_first() else {
        return;
    };
    let Some(codec) = Compression::from_id(selector & 7).filter(|codec| codec.is_available())
    else {
        return;
    };
    if let Ok(plain) = decompress(codec, rest, LIMIT) {
        assert!(plain.len() <= LIMIT);
    }
    let level = match codec.levels() {
        Some(_) if selector & 0x80 != 0 => codec.default_level(),
        Some(levels) if selector & 0x40 != 0 => Some(*levels.start()),
        _ => None,
    };
    let mut out = b"front".to_vec();
    compress(codec, level, rest, &mut out).unwrap();
    let squeezed = out.strip_prefix(b"front").unwrap();
    assert_eq!(decompress(codec, squeezed, rest.len()).unwrap(), rest);
    if let Some(less) = rest.len().checked_sub(1) {
        assert!(decompress(codec, squeezed, less).is_err());
    }
}
