//! Gzip without compressing: enough for a body that nobody asked to have compressed.

/// Most bytes of one stored block.
const BLOCK: usize = 65_535;

/// `plain` as a gzip file.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = plain.len().div_ceil(BLOCK).max(1);
    for at in 0..blocks {
        let block = &plain[at * BLOCK..plain.len().min((at + 1) * BLOCK)];
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        file.push(u8::from(at + 1 == blocks));
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&(!length).to_le_bytes());
        file.extend_from_slice(block);
    }
    let length = u32::try_from(plain.len() & 0xffff_ffff).unwrap_or(0);
    file.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_has_gzips_head_its_blocks_and_its_checksum() {
        let file = super::gzip(b"hello");
        assert_eq!(file[..4], [0x1f, 0x8b, 8, 0]);
        assert_eq!(file[10..15], [1, 5, 0, 0xfa, 0xff]);
        assert_eq!(&file[15..20], b"hello");
        assert_eq!(file[20..24], crc32fast::hash(b"hello").to_le_bytes());
        assert_eq!(file[24..], [5, 0, 0, 0]);
    }
}
