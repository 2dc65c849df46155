//! Reads the code of the test pattern off a canvas.

use anyhow::Result;
use serde_json::{Value, json};

use super::Window;

/// The code in a frame of the test pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Number of the frame, counted by its source, modulo 2^16.
    pub frame: u16,
    /// When the frame was made: Unix time in ms, modulo 2^32.
    pub unix_ms: u32,
}

/// Returns the brightness of each of the 64 blocks (0 to 765), or null without a canvas.
const SAMPLE: &str = "
    const canvas = document.querySelector(arguments[0]);
    if (!canvas || canvas.width < 64) return null;
    const unit = canvas.width / 32;
    const pixels = canvas.getContext('2d').getImageData(0, 0, Math.ceil(18 * unit), Math.ceil(6 * unit));
    const blocks = [];
    for (let row = 0; row < 4; row++) for (let column = 0; column < 16; column++) {
        const x = Math.round((1.5 + column) * unit), y = Math.round((1.5 + row) * unit);
        const at = (y * pixels.width + x) * 4;
        blocks.push(pixels.data[at] + pixels.data[at + 1] + pixels.data[at + 2]);
    }
    return blocks;";

pub(super) fn read(window: &Window, canvas: &str) -> Result<Option<Code>> {
    let blocks = window.run(SAMPLE, &json!([canvas]))?;
    let Value::Array(blocks) = blocks else {
        return Ok(None);
    };

    Ok(decode(
        &blocks
            .iter()
            .map(|block| block.as_u64().unwrap_or(0))
            .collect::<Vec<_>>(),
    ))
}

/// Decodes the brightness of 64 blocks (0 to 765). `None` if the checksum is wrong.
fn decode(blocks: &[u64]) -> Option<Code> {
    if blocks.len() != 64 {
        return None;
    }

    let bits = blocks
        .iter()
        .fold(0_u64, |bits, block| bits << 1 | u64::from(*block > 382));
    let bytes = bits.to_be_bytes();

    if crc(&bytes[..6]) != u16::from_be_bytes([bytes[6], bytes[7]]) {
        return None;
    }

    let unix_ms = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    Some(Code {
        frame: u16::from_be_bytes([bytes[0], bytes[1]]),
        unix_ms,
    })
}

/// CRC-16/CCITT-FALSE.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_16_ccitt_false() {
        assert_eq!(
            crc(b"123456789"),
            0x29B1,
            "the check value of CRC-16/CCITT-FALSE"
        );
    }

    #[test]
    fn a_code_with_a_wrong_block_is_rejected() {
        let mut bytes = [0x12, 0x34, 0x9A, 0xBC, 0xDE, 0xF0, 0, 0];
        let sum = crc(&bytes[..6]);
        bytes[6..].copy_from_slice(&sum.to_be_bytes());
        let bits = u64::from_be_bytes(bytes);
        let mut blocks: Vec<u64> = (0..64)
            .map(|bit| if bits >> (63 - bit) & 1 == 1 { 690 } else { 60 })
            .collect();
        assert_eq!(
            decode(&blocks),
            Some(Code {
                frame: 0x1234,
                unix_ms: 0x9ABC_DEF0
            }),
            "the code reads as it was drawn"
        );

        blocks[20] = 750 - blocks[20];
        assert_eq!(
            decode(&blocks),
            None,
            "the checksum detects one wrong block"
        );
        assert_eq!(decode(&[]), None, "no blocks, no code");
    }
}
