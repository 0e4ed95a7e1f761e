//! Where JSON that comes in pieces ends, without keeping it.

/// How far a JSON object has come.
#[derive(Debug, Default)]
pub struct Extent {
    /// Brackets open.
    depth: usize,
    begun: bool,
    in_string: bool,
    /// Whether the last letter was the backslash of an escape.
    escaped: bool,
}

impl Extent {
    /// Takes the next piece.
    pub fn read(&mut self, piece: &str) {
        for letter in piece.bytes() {
            self.step(letter);
        }
    }

    fn step(&mut self, letter: u8) {
        if self.in_string {
            self.in_string = self.escaped || letter != b'"';
            self.escaped = !self.escaped && letter == b'\\';
            return;
        }
        match letter {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.begun = true;
                self.depth += 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether everything that was opened is closed, and something was.
    pub fn is_complete(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_ends_with_its_last_bracket_however_it_is_cut() {
        for (pieces, complete) in [
            (&["{}"][..], true),
            (&[r#"{"a":"#, r#"[1,{"b":"}"#, r#""}]}"#], true),
            (&[r#"{"a":"\\"#, r#"""}"#], false),
            (&[r#"{"a":"\"#, r#""}"#, r#""}"#], true),
            (&[r#"{"a":"\\"}"#], true),
            (&[r#"{"a":"x"#], false),
            (&[r#"{"a":{}"#], false),
            (&["", " "], false),
        ] {
            let mut extent = Extent::default();
            pieces.iter().for_each(|piece| extent.read(piece));
            assert_eq!(extent.is_complete(), complete, "{pieces:?}");
        }
    }
}
