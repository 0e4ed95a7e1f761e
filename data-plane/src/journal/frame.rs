//! Records as bytes: `[length u32][crc32 u32][kind u8][payload]`, little endian, and how they are found again.
//!
//! Pure. The checksum covers length, kind and payload. A kind of zero is space that was never written.

use std::ops::Range;

/// Bytes before a payload.
pub(super) const HEADER: usize = 9;
/// Only a checkpoint, the first record of a segment, is longer than this.
const LONGEST_AFTER_DAMAGE: usize = 4 << 20;

/// What a record says. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An attempt is about to be sent.
    Intent = 1,
    /// An attempt has ended.
    Closing = 2,
    /// A finished request.
    Generation = 3,
    /// Money was lent to this instance.
    Grant = 4,
    /// Money goes back.
    Return = 5,
    /// Balances and open intents: the first record of a segment.
    Checkpoint = 6,
    /// The control plane accepted a session.
    Session = 7,
    /// A call about a lease is under way, or had no answer.
    Doubt = 8,
    /// The call was answered.
    Clear = 9,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Intent,
            2 => Self::Closing,
            3 => Self::Generation,
            4 => Self::Grant,
            5 => Self::Return,
            6 => Self::Checkpoint,
            7 => Self::Session,
            8 => Self::Doubt,
            9 => Self::Clear,
            _ => return None,
        })
    }
}

/// Bytes that a payload takes on disk.
pub(super) fn length(payload: usize) -> u64 {
    (HEADER + payload) as u64
}

/// Appends one record; `write` produces the payload.
pub(super) fn put(buffer: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER - 1]);
    buffer.push(kind as u8);
    write(buffer);
    let length = u32::try_from(buffer.len() - start - HEADER).expect("records are far below 4 GiB");
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(length, &buffer[start + HEADER - 1..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(length: u32, kind_and_payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(kind_and_payload);
    crc.finalize()
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Record {
        kind: Kind,
        payload: &'a [u8],
        at: Range<usize>,
    },
    /// Not a record, but one follows.
    Damaged {
        at: Range<usize>,
    },
    /// No further record; the bytes up to the given place are unreadable, zeros after it never written.
    End {
        torn: Range<usize>,
    },
}

/// Looks at the bytes from `from` on.
pub(super) fn find(bytes: &[u8], from: usize) -> Found<'_> {
    if let Some((kind, payload, at)) = record_at(bytes, from, usize::MAX) {
        return Found::Record { kind, payload, at };
    }
    let written = bytes[from..].iter().rposition(|byte| *byte != 0).map_or(from, |last| from + last + 1);
    let next = (from + 1..written).find(|at| record_at(bytes, *at, LONGEST_AFTER_DAMAGE).is_some());
    match next {
        Some(next) => Found::Damaged { at: from..next },
        None => Found::End { torn: from..written },
    }
}

/// Everything in order: records and damaged stretches, and the end, once.
pub(super) fn walk(bytes: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = find(bytes, from?);
        from = match &found {
            Found::Record { at, .. } | Found::Damaged { at } => Some(at.end),
            Found::End { .. } => None,
        };
        Some(found)
    })
}

/// Whether the bytes from `from` on may be the beginning of a record that goes on behind them.
pub(super) fn is_cut(bytes: &[u8], from: usize) -> bool {
    let rest = &bytes[from..];
    match rest.first_chunk::<4>() {
        Some(length) => rest.len() < HEADER + u32::from_le_bytes(*length) as usize,
        None => true,
    }
}

fn record_at(bytes: &[u8], at: usize, longest: usize) -> Option<(Kind, &[u8], Range<usize>)> {
    let header = bytes.get(at..at + HEADER)?;
    let (length, rest) = header.split_first_chunk::<4>().expect("a header has nine bytes");
    let (crc, kind) = rest.split_first_chunk::<4>().expect("a header has nine bytes");
    let (length, kind) = (u32::from_le_bytes(*length), Kind::from_byte(kind[0])?);
    let size = length as usize;
    if size > longest {
        return None;
    }
    let end = at.checked_add(HEADER + size)?;
    let body = bytes.get(at + HEADER - 1..end)?;
    (checksum(length, body) == u32::from_le_bytes(*crc)).then_some((kind, &body[1..], at..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for payload in ["one", "two two", "three three three"] {
            put(&mut bytes, Kind::Closing, |out| out.extend_from_slice(payload.as_bytes()));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// Payloads found, damaged stretches, and what is torn off at the end.
    fn walk(bytes: &[u8]) -> (Vec<String>, usize, Range<usize>) {
        let (mut found, mut damaged) = (Vec::new(), 0);
        for part in super::walk(bytes) {
            match part {
                Found::Record { payload, .. } => found.push(String::from_utf8(payload.to_vec()).unwrap()),
                Found::Damaged { .. } => damaged += 1,
                Found::End { torn } => return (found, damaged, torn),
            }
        }
        unreachable!("every walk has an end")
    }

    #[test]
    fn cut_at_any_byte_every_complete_record_survives_and_nothing_else() {
        let (bytes, ends) = three();
        for cut in 0..=bytes.len() {
            let complete = ends.iter().filter(|end| **end <= cut).count();
            let last = ends.iter().rev().find(|end| **end <= cut).copied().unwrap_or(0);
            for zeros in [0, 64] {
                let mut torn = bytes[..cut].to_vec();
                torn.resize(cut + zeros, 0);
                let (found, damaged, rest) = walk(&torn);
                assert_eq!((found.len(), damaged, rest.start), (complete, 0, last), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_flipped_byte_costs_one_record() {
        let (bytes, ends) = three();
        for at in ends[0]..ends[1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x55;
            let (found, damaged, torn) = walk(&flipped);
            assert_eq!((found, damaged), (vec!["one".to_owned(), "three three three".to_owned()], 1), "{at}");
            assert!(torn.is_empty());
        }
    }

    #[test]
    fn unwritten_space_is_no_damage() {
        assert_eq!(find(&[0; 100], 0), Found::End { torn: 0..0 });
    }
}
