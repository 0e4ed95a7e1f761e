//! JSON lines: a push parser that hands over one line at a time and never looks twice at a byte.
//!
//! Knows framing only; what is in a line is the dialect's business.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// The longest line that a parser takes unless told otherwise: images arrive inline.
pub const DEFAULT_LIMIT: usize = 32 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line is longer than the parser takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {limit} bytes")]
pub struct TooLong {
    pub limit: usize,
}

/// Splits pushed bytes into lines; any split of the bytes gives the same ones.
///
/// Takes LF and CRLF as line ends, skips blank lines, strips a byte-order mark.
#[derive(Debug)]
pub struct LineParser {
    input: Bytes,
    /// A line whose end has not arrived.
    partial: BytesMut,
    started: bool,
    limit: usize,
}

impl Default for LineParser {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl LineParser {
    /// A parser that refuses lines longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { input: Bytes::new(), partial: BytesMut::new(), started: false, limit }
    }

    /// Hands over the next bytes; call [`LineParser::next_line`] until it is empty before pushing more.
    pub fn push(&mut self, bytes: Bytes) {
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + bytes.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&bytes);
            self.input = joined.freeze();
        }
    }

    /// The next complete line that is not blank, without its end.
    ///
    /// # Errors
    /// [`TooLong`], after which the parser is spent.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, TooLong> {
        while let Some(end) = memchr(b'\n', &self.input) {
            let mut line = self.input.split_to(end);
            self.input.advance(1);
            self.check(self.partial.len() + line.len())?;
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(&line);
                line = self.partial.split().freeze();
            }
            let line = self.trim(line);
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.check(self.partial.len() + self.input.len())?;
        self.partial.extend_from_slice(&self.input);
        self.input = Bytes::new();
        Ok(None)
    }

    /// The last line, where the stream ended without a line end.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish(&mut self) -> Result<Option<Bytes>, TooLong> {
        if let Some(line) = self.next_line()? {
            return Ok(Some(line));
        }
        let line = self.partial.split().freeze();
        let line = self.trim(line);
        Ok(Some(line).filter(|line| !line.is_empty()))
    }

    fn trim(&mut self, mut line: Bytes) -> Bytes {
        if !std::mem::replace(&mut self.started, true) && line.starts_with(BOM) {
            line.advance(BOM.len());
        }
        line.slice_ref(line.trim_ascii())
    }

    fn check(&self, len: usize) -> Result<(), TooLong> {
        if len > self.limit { Err(TooLong { limit: self.limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&[u8]]) -> Result<Vec<Bytes>, TooLong> {
        let (mut parser, mut lines) = (LineParser::with_limit(8), Vec::new());
        for piece in pieces {
            parser.push(Bytes::copy_from_slice(piece));
            while let Some(line) = parser.next_line()? {
                lines.push(line);
            }
        }
        while let Some(line) = parser.finish()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_are_split() {
        for (text, expected) in [
            ("a\nb\n", &["a", "b"][..]),
            ("a\r\n\r\n\nb", &["a", "b"]),
            ("\u{feff}é\n  ß \n", &["é", "ß"]),
            ("", &[]),
            ("\n\n", &[]),
            ("12345678\n12345678", &["12345678", "12345678"]),
        ] {
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            for pieces in [&[text.as_bytes()][..], &bytes] {
                assert_eq!(run(pieces).expect("short"), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_kept() {
        let byte: &[u8] = b"x";
        for pieces in [&[byte; 9][..], &[b"xxxxxxxxx"], &[b"a\nxxxxxxxxx\n"]] {
            assert_eq!(run(pieces), Err(TooLong { limit: 8 }));
        }
    }
}
