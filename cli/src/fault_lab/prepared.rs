//! The prepared answer (`fixed`, `paced-…`): bytes made once at the start, so that measuring costs little.
//!
//! What it sends is what `perform` would, except that all these answers share one id.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::fault_lab::ask::Ask;
use crate::fault_lab::bill::Payer;
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, Peek};
use crate::fault_lab::perform::{Performance, Step, whole_of};
use crate::fault_lab::reply::{self, FIXED_WORD, Reply, Usage};
use crate::fault_lab::script::{Pace, Say, Script, Telling};

/// The prompt tokens that prepared answers tell; the prompt itself is not counted.
pub const FIXED_INPUT_TOKENS: u64 = 10;

/// One dialect's prepared answer.
pub struct Prepared {
    dialect: &'static dyn Dialect,
    created: i64,
    /// The answer of one piece, by far the most asked for.
    single: Bytes,
    headers: HeaderMap,
    stream_headers: HeaderMap,
    plain: StreamStart,
    /// With the fields that chunks have where usage was asked for.
    with_usage: StreamStart,
}

/// A stream up to its content: the same for any number of pieces.
struct StreamStart {
    opening: Vec<Bytes>,
    content: Bytes,
}

/// The number of pieces, if `script` is nothing but the prepared answer.
pub fn fixed_pieces(script: &Script) -> Option<u64> {
    let Say::Fixed { pieces } = script.say else { return None };
    let pace = Pace { between: script.pace.between, ..Pace::default() };
    (*script == Script { say: script.say, pace, ..Script::default() }).then_some(pieces)
}

impl Prepared {
    pub fn new(dialect: &'static dyn Dialect, created: i64) -> Self {
        let reply = fixed_reply(1);
        Self {
            dialect,
            created,
            single: dialect.whole(&answer(created, &reply, false)).into(),
            headers: whole_of(Vec::new(), "application/json").headers,
            stream_headers: whole_of(Vec::new(), dialect.stream_type()).headers,
            plain: StreamStart::of(dialect.events(&answer(created, &reply, false))),
            with_usage: StreamStart::of(dialect.events(&answer(created, &reply, true))),
        }
    }

    pub fn perform(&self, pieces: u64, script: &Script, peek: &Peek) -> Performance {
        let planned = if peek.streams() {
            self.streamed(pieces, script, peek.wants_usage())
        } else {
            self.whole(pieces, script)
        };
        let model = peek.model.as_ref().to_owned();
        let payer = Payer { dialect: self.dialect.name(), model, prompt_tokens: FIXED_INPUT_TOKENS };
        Performance { payer: Some(payer), ..planned }
    }

    fn whole(&self, pieces: u64, script: &Script) -> Performance {
        let body = match pieces {
            1 => self.single.clone(),
            _ => self.dialect.whole(&answer(self.created, &fixed_reply(pieces), false)).into(),
        };
        let length = Some(body.len());
        let wait = Some(script.pace.between).filter(|wait| !wait.is_zero()).map(Step::Wait);
        let produced = Step::Produced(fixed_usage(pieces).output);
        let steps = wait.into_iter().chain([produced, Step::Send(body)]).collect();
        Performance { status: StatusCode::OK, headers: self.headers.clone(), length, steps, payer: None }
    }

    fn streamed(&self, pieces: u64, script: &Script, wants_usage: bool) -> Performance {
        let wait = Some(script.pace.between).filter(|wait| !wait.is_zero());
        if !self.dialect.pieces_are_alike() {
            return self.written(pieces, wait, wants_usage);
        }
        let start = if wants_usage { &self.with_usage } else { &self.plain };
        let mut steps: Vec<Step> = start.opening.iter().cloned().map(Step::Send).collect();
        for piece in 0..pieces {
            steps.extend(wait.filter(|_| piece > 0).map(Step::Wait));
            steps.push(produced(piece));
            steps.push(Step::Send(start.content.clone()));
        }
        steps.extend(self.closing(pieces, wants_usage).into_iter().map(Step::Send));
        Performance {
            status: StatusCode::OK,
            headers: self.stream_headers.clone(),
            length: None,
            steps,
            payer: None,
        }
    }

    /// A stream whose pieces tell their place, so that none can be prepared.
    fn written(&self, pieces: u64, wait: Option<Duration>, wants_usage: bool) -> Performance {
        let reply = fixed_reply(pieces);
        let mut steps = Vec::new();
        let mut contents = 0;
        for event in self.dialect.events(&answer(self.created, &reply, wants_usage)) {
            let is_content = event.part == Part::Content;
            steps.extend(wait.filter(|_| is_content && contents > 0).map(Step::Wait));
            steps.extend(is_content.then(|| produced(contents)));
            contents += u64::from(is_content);
            steps.push(Step::Send(event.bytes));
        }
        Performance {
            status: StatusCode::OK,
            headers: self.stream_headers.clone(),
            length: None,
            steps,
            payer: None,
        }
    }

    /// What follows the content; it tells the usage, so it depends on the number of pieces.
    fn closing(&self, pieces: u64, wants_usage: bool) -> Vec<Bytes> {
        let mut told = fixed_reply(1);
        told.usage = fixed_usage(pieces);
        let events = self.dialect.events(&answer(self.created, &told, wants_usage));
        let after = events.iter().rposition(|event| event.part == Part::Content).map_or(0, |last| last + 1);
        events.into_iter().skip(after).map(|event| event.bytes).collect()
    }
}

impl StreamStart {
    fn of(events: Vec<Event>) -> Self {
        let first = events.iter().position(|event| event.part == Part::Content).unwrap_or(0);
        let mut bytes: Vec<Bytes> = events.into_iter().take(first + 1).map(|event| event.bytes).collect();
        let content = bytes.pop().unwrap_or_default();
        Self { opening: bytes, content }
    }
}

fn answer(created: i64, reply: &Reply, wants_usage: bool) -> Answer<'_> {
    Answer { serial: 0, created, model: "fixed", wants_usage, reply, telling: Telling::Honest, oddity: None }
}

fn fixed_reply(pieces: u64) -> Reply {
    let reply = reply::compose(Say::Fixed { pieces }, &Ask::default());
    Reply { usage: fixed_usage(pieces), ..reply }
}

/// What piece number `piece` adds to what was produced.
fn produced(piece: u64) -> Step {
    Step::Produced(fixed_usage(piece + 1).output - fixed_usage(piece).output)
}

fn fixed_usage(pieces: u64) -> Usage {
    let bytes = usize::try_from(pieces).unwrap_or(usize::MAX).saturating_mul(FIXED_WORD.len());
    Usage { input: FIXED_INPUT_TOKENS, output: reply::tokens(bytes), reasoning: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_lab::behaviour;
    use crate::fault_lab::dialect::DIALECTS;
    use crate::fault_lab::reply::{Finish, Piece};

    #[test]
    fn only_the_plain_prepared_answer_takes_the_short_way() {
        let pieces = |name| fixed_pieces(&behaviour::script(name).expect("is in the table"));
        assert_eq!(
            (pieces("fixed"), pieces("fixed-9"), pieces("paced-100-10")),
            (Some(1), Some(9), Some(100))
        );
        assert_eq!((pieces("echo"), pieces("fixed+cut-1"), pieces("fixed+crlf")), (None, None, None));
    }

    #[test]
    fn a_prepared_stream_is_the_stream_that_would_be_written() {
        for dialect in DIALECTS {
            let prepared = Prepared::new(*dialect, 7);
            let reply = fixed_reply(3);
            let written: Vec<Step> =
                dialect.events(&answer(7, &reply, true)).into_iter().map(|e| Step::Send(e.bytes)).collect();
            let script = behaviour::script("fixed-3").expect("is in the table");
            let mut steps = prepared.streamed(3, &script, true).steps;
            steps.retain(|step| !matches!(step, Step::Produced(_)));
            assert_eq!(steps, written, "{}", dialect.name());
        }
    }

    #[test]
    fn the_prepared_answer_is_words_and_a_stop() {
        let reply = fixed_reply(2);
        assert_eq!(reply.pieces, vec![Piece::Text(FIXED_WORD.to_owned()); 2]);
        assert_eq!((reply.finish, reply.usage.output), (Finish::Stop, 3));
    }
}
