//! Calls that a provider tells side by side, put one after the other.
//!
//! A call's block is closed when the next one opens, so the next one waits until the arguments of this one are whole.

use crate::model::event::ToolDelta;
use crate::model::message::ToolKind;

/// The calls of one answer.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Call>,
    /// The call that is told now.
    at: usize,
    /// No more will come.
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    kind: ToolKind,
    name: String,
    arguments: String,
    /// How much of the arguments was told; none: not even the call.
    told: Option<usize>,
}

/// What is to be told of one call.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub id: String,
    pub kind: ToolKind,
    pub name: String,
    /// The next piece.
    pub arguments: String,
}

impl Calls {
    /// Takes a piece.
    pub fn take(&mut self, piece: &ToolDelta) {
        let at = piece.index as usize;
        if self.calls.len() <= at {
            self.calls.resize_with(at + 1, Call::default);
        }
        let call = &mut self.calls[at];
        if let Some(id) = &piece.id {
            call.id.clone_from(id);
            call.kind = piece.kind;
        }
        call.name.push_str(piece.name.as_deref().unwrap_or_default());
        call.arguments.push_str(&piece.arguments);
    }

    /// Says that no more will come.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// The next thing to tell, and of which call.
    pub fn next(&mut self) -> Option<(usize, Step)> {
        loop {
            let is_last = self.at + 1 >= self.calls.len();
            let call = self.calls.get_mut(self.at)?;
            let told = call.told.unwrap_or(0);
            if call.told.is_none() || told < call.arguments.len() {
                call.told = Some(call.arguments.len());
                let (id, kind, name) = (call.id.clone(), call.kind, call.name.clone());
                return Some((
                    self.at,
                    Step { id, kind, name, arguments: call.arguments[told..].to_owned() },
                ));
            }
            if is_last || !(self.has_ended || call.is_whole()) {
                return None;
            }
            self.at += 1;
        }
    }
}

impl Call {
    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[(u32, &str)]) -> Vec<(usize, String)> {
        let (mut calls, mut told) = (Calls::default(), Vec::new());
        let mut all = |calls: &mut Calls| {
            while let Some((at, step)) = calls.next() {
                told.push((at, step.arguments));
            }
        };
        for (index, arguments) in pieces {
            calls.take(&ToolDelta {
                index: *index,
                arguments: (*arguments).to_owned(),
                ..ToolDelta::default()
            });
            all(&mut calls);
        }
        calls.end();
        all(&mut calls);
        told
    }

    #[test]
    fn a_call_is_told_as_it_comes_and_the_next_one_after_it() {
        let owned = |all: &[(usize, &str)]| {
            all.iter().map(|(at, text)| (*at, (*text).to_owned())).collect::<Vec<_>>()
        };
        for (pieces, expected) in [
            (&[(0, "{"), (0, "}"), (1, "{}")][..], owned(&[(0, "{"), (0, "}"), (1, "{}")])),
            (
                &[(0, "{"), (1, "{\"a\""), (0, "}"), (1, ":1}")],
                owned(&[(0, "{"), (0, "}"), (1, "{\"a\""), (1, ":1}")]),
            ),
            (&[(0, ""), (1, "{}")], owned(&[(0, ""), (1, "{}")])),
            (&[(0, "{\"cut")], owned(&[(0, "{\"cut")])),
        ] {
            assert_eq!(told(pieces), expected);
        }
    }
}
