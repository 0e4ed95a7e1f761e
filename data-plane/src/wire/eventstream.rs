//! Amazon's event streams: messages with a length in front, headers, and two checksums.
//!
//! Lengths are judged as soon as they are there, so that a damaged one is never waited for or buffered for.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};

/// Longest headers of one message, in bytes.
pub const MOST_HEADERS: usize = 128 * 1024;
/// Longest payload of one message, in bytes.
pub const MOST_PAYLOAD: usize = 24 * 1024 * 1024;

/// Lengths and checksum at the beginning.
const PRELUDE: usize = 12;
/// What a message is longer than its headers and its payload: the prelude and the checksum at the end.
const OVERHEAD: usize = PRELUDE + 4;

/// One message.
#[derive(Debug)]
pub struct Frame(Message);

impl Frame {
    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.0.headers().iter().find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok().map(|text| text.as_str())
    }

    /// What the message carries, JSON as a rule.
    pub fn payload(&self) -> &Bytes {
        self.0.payload()
    }
}

/// Why bytes are no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message says that it is longer than messages may be")]
    TooLong,
    #[error("a message's lengths contradict each other")]
    Lengths,
    #[error("a message does not match its checksum or is malformed")]
    Damaged,
}

/// Splits pushed bytes into messages; any split of the bytes gives the same ones.
#[derive(Debug, Default)]
pub struct FrameParser {
    buffer: BytesMut,
}

impl FrameParser {
    /// Hands over the next bytes; call [`FrameParser::next_frame`] until it is empty before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message.
    ///
    /// # Errors
    /// [`FrameError`], after which the parser is spent: nothing tells where the next message begins.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(length) = announced(&self.buffer)?.filter(|length| self.buffer.len() >= *length) else {
            return Ok(None);
        };
        let message = read_message_from(self.buffer.split_to(length).freeze());
        message.map(|message| Some(Frame(message))).map_err(|_| FrameError::Damaged)
    }

    /// Whether nothing is left over, as at the end of a stream that was not cut.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The length of the message that begins here; None where the prelude is not complete.
fn announced(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(total) = number(bytes, 0) else { return Ok(None) };
    let rest = (total as usize).checked_sub(OVERHEAD).ok_or(FrameError::Lengths)?;
    if rest > MOST_HEADERS + MOST_PAYLOAD {
        return Err(FrameError::TooLong);
    }
    let Some(headers) = number(bytes, 4) else { return Ok(None) };
    let payload = rest.checked_sub(headers as usize).ok_or(FrameError::Lengths)?;
    if headers as usize > MOST_HEADERS || payload > MOST_PAYLOAD {
        return Err(FrameError::TooLong);
    }
    let Some(checksum) = number(bytes, 8) else { return Ok(None) };
    if crc32fast::hash(&bytes[..8]) != checksum {
        return Err(FrameError::Damaged);
    }
    Ok(Some(total as usize))
}

/// The big-endian number at this place, once it is there.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Writes one message with headers that are text.
#[cfg(test)]
pub fn frame(headers: &[(&str, &str)], payload: &str) -> Bytes {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};
    let header = |(name, value): &(&str, &str)| {
        Header::new((*name).to_owned(), HeaderValue::String((*value).to_owned().into()))
    };
    let message =
        Message::new_from_parts(headers.iter().map(header).collect(), Bytes::from(payload.to_owned()));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("short enough");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE_STOP: &str = "00000083000000518f0874490b3a6576656e742d7479706507000b6d65737361676553746f70\
        0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e74\
        7b2270223a226162222c2273746f70526561736f6e223a22656e645f7475726e227d9056e9a4";
    const THROTTLED: &str = "00000090000000618e91a9b70f3a657863657074696f6e2d747970650700137468726f74746c696e67\
        457863657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970\
        65070009657863657074696f6e7b226d657373616765223a22546f6f206d616e79207265717565737473227de67f8005";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Type and payload of each message, and whether something is left over.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<(String, String)>, bool), FrameError> {
        let (mut parser, mut found) = (FrameParser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece);
            while let Some(frame) = parser.next_frame()? {
                let kind = frame.header(":event-type").or(frame.header(":exception-type"));
                let kind = format!("{} {}", frame.header(":message-type").unwrap(), kind.unwrap());
                found.push((kind, String::from_utf8(frame.payload().to_vec()).unwrap()));
            }
        }
        Ok((found, !parser.is_empty()))
    }

    #[test]
    fn the_references_frames_come_out_whatever_the_cuts() {
        let stream = [bytes(MESSAGE_STOP), bytes(THROTTLED)].concat();
        assert_eq!(stream.len(), 131 + 144);
        let frames = vec![
            ("event messageStop".to_owned(), r#"{"p":"ab","stopReason":"end_turn"}"#.to_owned()),
            ("exception throttlingException".to_owned(), r#"{"message":"Too many requests"}"#.to_owned()),
        ];
        assert_eq!(read(&[&stream]), Ok((frames.clone(), false)));
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&single), Ok((frames.clone(), false)));
        for at in 0..stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(read(&[head, tail]), Ok((frames.clone(), false)), "cut at {at}");
            let whole = usize::from(at >= 131);
            assert_eq!(read(&[head]), Ok((frames[..whole].to_vec(), at != 0 && at != 131)), "ends at {at}");
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let frame = bytes(MESSAGE_STOP);
        for at in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 0x01;
            // A longer message is not refused before its prelude is there; here it is.
            assert!(read(&[&damaged]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn rubbish_between_right_checksums_never_panics() {
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut refused = 0;
        for _ in 0..5000 {
            let content: Vec<u8> =
                (0..random(60)).map(|_| [0, 1, 3, 7, random(256) as u8][random(5)]).collect();
            let mut frame = Vec::from(((content.len() + OVERHEAD) as u32).to_be_bytes());
            frame.extend((random(content.len() + 1) as u32).to_be_bytes());
            frame.extend(crc32fast::hash(&frame).to_be_bytes());
            frame.extend(&content);
            frame.extend(crc32fast::hash(&frame).to_be_bytes());
            let mut parser = FrameParser::default();
            parser.push(&frame);
            match parser.next_frame() {
                Ok(frame) => assert!(frame.is_some() && parser.is_empty()),
                Err(error) => refused += usize::from(error == FrameError::Damaged),
            }
        }
        assert!((1000..5000).contains(&refused), "{refused} refused");
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_waited_for() {
        let longest = (OVERHEAD + MOST_HEADERS + MOST_PAYLOAD) as u32;
        for (total, headers, expected) in [
            (15, None, Some(FrameError::Lengths)),
            (longest + 1, None, Some(FrameError::TooLong)),
            (u32::MAX, None, Some(FrameError::TooLong)),
            (longest, None, None),
            (100, Some(85), Some(FrameError::Lengths)),
            (longest, Some(MOST_HEADERS as u32 + 1), Some(FrameError::TooLong)),
            (longest, Some(0), Some(FrameError::TooLong)),
            (longest, Some(MOST_HEADERS as u32), None),
        ] {
            let mut prelude = Vec::from(u32::to_be_bytes(total));
            prelude.extend(headers.map(u32::to_be_bytes).into_iter().flatten());
            assert_eq!(read(&[&prelude]).err(), expected, "{total} {headers:?}");
        }
    }
}
