//! Calls that a provider tells side by side, put one after the other.
//!
//! A call's block is closed when the next one opens, so the next one waits until the arguments of this one are whole.

use crate::model::event::ToolDelta;
use crate::model::message::ToolKind;
use crate::wire::extent::Extent;

/// The calls of one answer.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Call>,
    /// The call that is told now; those before it are over.
    at: usize,
    /// No more will come.
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    kind: ToolKind,
    name: String,
    /// What of the arguments is not told yet.
    untold: String,
    /// How far all of them have come.
    extent: Extent,
    is_told: bool,
}

/// What is to be told of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Counts the calls of the answer.
    pub at: usize,
    pub id: String,
    pub kind: ToolKind,
    pub name: String,
    /// The next piece of the arguments.
    pub arguments: String,
    /// Whether the arguments are whole with it. What a custom tool is given has no form: nobody knows before its end.
    pub is_whole: bool,
}

impl Calls {
    /// Takes a piece. What comes for a call that is over is nothing that a client could still read.
    pub fn take(&mut self, piece: &ToolDelta) {
        let at = piece.index as usize;
        if at < self.at {
            return;
        }
        if self.calls.len() <= at {
            self.calls.resize_with(at + 1, Call::default);
        }
        let call = &mut self.calls[at];
        if let Some(id) = &piece.id {
            call.id.clone_from(id);
            call.kind = piece.kind;
        }
        call.name.push_str(piece.name.as_deref().unwrap_or_default());
        call.untold.push_str(&piece.arguments);
        call.extent.read(&piece.arguments);
    }

    /// Says that no more will come.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether a call is being told whose arguments go on.
    pub fn is_under_way(&self) -> bool {
        !self.has_ended && self.calls.get(self.at).is_some_and(|call| !call.is_whole())
    }

    /// Says that something else is told: the calls so far are over.
    pub fn leave(&mut self) {
        self.at = self.calls.len();
    }

    /// The next thing to tell.
    pub fn next(&mut self) -> Option<Piece> {
        loop {
            let is_last = self.at + 1 >= self.calls.len();
            let call = self.calls.get_mut(self.at)?;
            if !call.is_told || !call.untold.is_empty() {
                return Some(call.tell(self.at));
            }
            if is_last || !(self.has_ended || call.is_whole()) {
                return None;
            }
            self.at += 1;
        }
    }
}

impl Call {
    fn tell(&mut self, at: usize) -> Piece {
        self.is_told = true;
        Piece {
            at,
            id: self.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            arguments: std::mem::take(&mut self.untold),
            is_whole: self.is_whole(),
        }
    }

    fn is_whole(&self) -> bool {
        self.kind == ToolKind::Function && self.extent.is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step's call and arguments, and with `*` whether they are whole.
    fn told(kind: ToolKind, pieces: &[(u32, &str)]) -> Vec<String> {
        let (mut calls, mut told) = (Calls::default(), Vec::new());
        let mut all = |calls: &mut Calls| {
            while let Some(piece) = calls.next() {
                let mark = if piece.is_whole { "*" } else { "" };
                told.push(format!("{} {}{mark}", piece.at, piece.arguments));
            }
        };
        for (index, arguments) in pieces {
            let (id, arguments) = (Some(index.to_string()), (*arguments).to_owned());
            calls.take(&ToolDelta { index: *index, id, kind, arguments, ..ToolDelta::default() });
            all(&mut calls);
        }
        calls.end();
        all(&mut calls);
        told
    }

    #[test]
    fn a_call_is_told_as_it_comes_and_the_next_one_after_it() {
        for (pieces, expected) in [
            (&[(0, "{"), (0, "}"), (1, "{}")][..], &["0 {", "0 }*", "1 {}*"][..]),
            (&[(0, "{"), (1, "{\"a\""), (0, "}"), (1, ":1}")], &["0 {", "0 }*", "1 {\"a\"", "1 :1}*"]),
            (&[(0, ""), (1, "{}")], &["0 ", "1 {}*"]),
            (&[(0, "{\"cut")], &["0 {\"cut"]),
            (&[(0, "{\"}\\\""), (1, "{}"), (0, "\"}")], &["0 {\"}\\\"", "0 \"}*", "1 {}*"]),
        ] {
            assert_eq!(told(ToolKind::Function, pieces), expected);
        }
    }

    #[test]
    fn what_a_custom_tool_is_given_is_whole_only_at_its_end() {
        let pieces = [(0, "{}"), (1, "x"), (0, " more")];
        assert_eq!(told(ToolKind::Custom, &pieces), ["0 {}", "0  more", "1 x"]);
    }

    #[test]
    fn a_call_is_under_way_until_its_arguments_are_whole() {
        for (pieces, under_way) in [
            (&[][..], false),
            (&[""], true),
            (&["{\"a\":"], true),
            (&["{\"a\":", "\"}\""], true),
            (&["{\"a\":", "\"}\"}"], false),
        ] {
            let mut calls = Calls::default();
            for arguments in pieces {
                calls.take(&ToolDelta { arguments: (*arguments).to_owned(), ..ToolDelta::default() });
                while calls.next().is_some() {}
            }
            assert_eq!(calls.is_under_way(), under_way, "{pieces:?}");
            calls.end();
            assert!(!calls.is_under_way());
        }
    }

    #[test]
    fn what_comes_for_a_call_that_is_over_is_not_told() {
        let mut calls = Calls::default();
        let piece = |index, arguments: &str| ToolDelta {
            index,
            arguments: arguments.to_owned(),
            ..ToolDelta::default()
        };
        calls.take(&piece(0, "{}"));
        assert!(calls.next().is_some());
        calls.leave();
        calls.take(&piece(0, " "));
        assert_eq!(calls.next(), None);
        calls.take(&piece(1, "{}"));
        assert_eq!(calls.next().map(|piece| piece.at), Some(1));
    }
}
