//! Splits a stream of JSON text into its documents: the elements of one array, or bare objects in a row.
//!
//! Every byte is looked at once, and only the document that is still arriving is kept.

use bytes::{Bytes, BytesMut};

/// A push parser; any split of the bytes gives the same documents.
#[derive(Debug)]
pub struct Documents {
    input: Bytes,
    partial: BytesMut,
    place: Place,
    /// Open brackets and braces of the document.
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Whether the documents are elements of an array.
    listed: bool,
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Between,
    Inside,
    End,
}

/// Why the text is no stream of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    TooLong,
    /// Something else where an object must begin.
    NoObject,
}

impl Documents {
    /// A parser that refuses documents longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            input: Bytes::new(),
            partial: BytesMut::new(),
            place: Place::Start,
            depth: 0,
            in_string: false,
            escaped: false,
            listed: false,
            limit,
        }
    }

    /// Hands over the next bytes, after the last ones gave all their documents.
    pub fn push(&mut self, bytes: Bytes) {
        self.input = bytes;
    }

    /// The next complete document.
    ///
    /// # Errors
    /// [`Broken`], after which the parser is spent.
    pub fn next_document(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.place != Place::Inside {
            self.seek()?;
        }
        if self.place != Place::Inside {
            return Ok(None);
        }
        match self.end() {
            Some(end) => {
                let mut document = self.input.split_to(end);
                if !self.partial.is_empty() {
                    self.keep(&document)?;
                    document = self.partial.split().freeze();
                }
                self.place = Place::Between;
                Ok(Some(document))
            }
            None => {
                let rest = std::mem::take(&mut self.input);
                self.keep(&rest)?;
                Ok(None)
            }
        }
    }

    /// Whether the text may end here: after the array, or between bare objects.
    pub fn is_complete(&self) -> bool {
        self.place == Place::End || (self.place == Place::Between && !self.listed)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.partial.len() + bytes.len() > self.limit {
            return Err(Broken::TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Goes to the beginning of the next object.
    fn seek(&mut self) -> Result<(), Broken> {
        for at in 0..self.input.len() {
            match (self.input[at], self.place) {
                (b' ' | b'\t' | b'\r' | b'\n', _) | (_, Place::End) => {}
                (b'[', Place::Start) => (self.listed, self.place) = (true, Place::Between),
                (b'{', Place::Start | Place::Between) => {
                    let _ = self.input.split_to(at);
                    self.place = Place::Inside;
                    return Ok(());
                }
                (b',', Place::Between) => {}
                (b']', Place::Between) if self.listed => self.place = Place::End,
                _ => return Err(Broken::NoObject),
            }
        }
        self.input = Bytes::new();
        Ok(())
    }

    /// Where the document ends in the input, one past its brace.
    fn end(&mut self) -> Option<usize> {
        for (at, byte) in self.input.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents, and whether the text was complete.
    fn read(pieces: impl IntoIterator<Item = Bytes>) -> Result<(Vec<String>, bool), Broken> {
        let (mut documents, mut found) = (Documents::with_limit(64), Vec::new());
        for piece in pieces {
            documents.push(piece);
            while let Some(document) = documents.next_document()? {
                found.push(String::from_utf8_lossy(&document).into_owned());
            }
        }
        Ok((found, documents.is_complete()))
    }

    #[test]
    fn any_split_gives_the_same_documents() {
        for (text, documents, complete) in [
            ("[{\"a\":\"}\\\"{\"}\n,\r\n{\"b\":[{}]}]", vec!["{\"a\":\"}\\\"{\"}", "{\"b\":[{}]}"], true),
            (" {\"é\":\"\\\\\"} ", vec!["{\"é\":\"\\\\\"}"], true),
            ("{}{}", vec!["{}", "{}"], true),
            ("[{}", vec!["{}"], false),
            ("[{}] trailing", vec!["{}"], true),
            ("{\"a\":", vec![], false),
            ("[]", vec![], true),
            ("", vec![], false),
        ] {
            let whole = Bytes::from(text.to_owned());
            let expected = Ok((documents.into_iter().map(str::to_owned).collect(), complete));
            assert_eq!(read([whole.clone()]), expected, "{text}");
            assert_eq!(read((0..whole.len()).map(|at| whole.slice(at..=at))), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_or_endless_is_refused() {
        assert_eq!(read([Bytes::from_static(b"[1]")]), Err(Broken::NoObject));
        assert_eq!(read([Bytes::from_static(b"{}]")]), Err(Broken::NoObject));
        let endless = Bytes::from(format!("{{\"a\":\"{}", "x".repeat(100)));
        assert_eq!(read([endless]), Err(Broken::TooLong));
    }
}
