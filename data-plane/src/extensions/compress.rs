//! Middle-out: leaves out the middle of a conversation that is too long for its model.
//!
//! What models attend to least is dropped first: whole messages, those nearest the middle before others, a tool's results
//! always with the call. System messages and the last turn stay. If that is not enough, the longest text that is left
//! loses its own middle. What cannot be made to fit stays as it is, and is refused for its length.

use std::cmp::Reverse;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use switchyard_proto::id::TenantId;
use switchyard_proto::policy::PREFIX;

use crate::api::openai_chat;
use crate::config::snapshot::Snapshot;
use crate::model::request::{ChatRequest, Lazy};
use crate::price;
use crate::wire::patch::{self, Patch, elements};

/// Models whose prompts are cut without being asked for: with windows of at most so many tokens.
const SMALL_WINDOW: u64 = 8_192;
/// The part of the window that is kept for an answer whose length the request leaves open.
const ANSWER_SHARE: u64 = 4;
/// The most that is kept for it, in tokens.
const ANSWER_MOST: u64 = 4_096;
/// Stands for what was cut out of a text.
const GAP: &str = "\n[…]\n";

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub messages: usize,
    /// Whether a text lost its middle.
    pub is_text_cut: bool,
}

/// The widest window among the enabled endpoints of the models that a request may be served by; none if no model is known.
pub fn window(config: &Snapshot, tenant: &TenantId, request: &ChatRequest) -> Option<u64> {
    let names = request.model.iter().chain(&request.fallback_models);
    let windows = names.filter_map(|name| match name.strip_prefix(PREFIX) {
        None => widest(config, name),
        Some(policy) => {
            let stages = &config.policy(tenant, policy)?.stages;
            stages.iter().flat_map(|stage| &stage.models).filter_map(|row| widest(config, &row.model)).max()
        }
    });
    windows.max()
}

/// Of the longest part of a name that is a model: suffixes may follow.
fn widest(config: &Snapshot, name: &str) -> Option<u64> {
    let mut base = name;
    let model = loop {
        match config.model(base) {
            Some(model) => break model,
            None => base = base.rsplit_once(':')?.0,
        }
    };
    let enabled = model.endpoints.iter().filter(|endpoint| endpoint.is_enabled());
    enabled.map(|endpoint| endpoint.context_length()).max()
}

/// Whether a prompt is to be cut for this window. `wish`: what the request says of it.
pub fn is_due(request: &ChatRequest, window: u64, wish: Option<bool>) -> bool {
    let needed = price::prompt_estimate(&request.facts) + request.max_output_tokens.unwrap_or(0);
    // A model that is too small by far is the wrong one: half of the conversation at least is to be left.
    wish.unwrap_or(window <= SMALL_WINDOW) && needed > window && needed <= window.saturating_mul(2)
}

/// The request with so much of its middle left out that it fits the window, if that can be.
pub fn middle_out(request: &ChatRequest, window: u64) -> Option<(ChatRequest, LeftOut)> {
    let answer = request.max_output_tokens.unwrap_or((window / ANSWER_SHARE).min(ANSWER_MOST));
    let cut = Cut::of(request, window.checked_sub(answer)?)?;
    let order = cut.order();
    // Whatever is dropped makes the prompt shorter, so the fewest that suffice are found by halving.
    let (mut least, mut most) = (0, order.len());
    while least < most {
        let middle = least.midpoint(most);
        if cut.without(&order[..middle], None)?.1 { most = middle } else { least = middle + 1 }
    }
    let dropped = &order[..least];
    let messages = dropped.iter().map(|unit| unit.len()).sum();
    if let (made, true) = cut.without(dropped, None)? {
        return Some((made, LeftOut { messages, is_text_cut: false }));
    }
    let (made, fits) = cut.without(dropped, Some(cut.longest(dropped)?))?;
    fits.then_some((made, LeftOut { messages, is_text_cut: true }))
}

/// A conversation that is cut.
struct Cut<'a> {
    request: &'a ChatRequest,
    list: &'a [u8],
    messages: Vec<Range<usize>>,
    roles: Vec<String>,
    /// Tokens that the prompt may have.
    room: u64,
}

#[derive(Deserialize)]
struct Head {
    role: String,
}

impl<'a> Cut<'a> {
    fn of(request: &'a ChatRequest, room: u64) -> Option<Self> {
        let list = patch::member(&request.source.body, "messages")?;
        let messages = elements(list).ok()?;
        let role = |at: &Range<usize>| Some(serde_json::from_slice::<Head>(&list[at.clone()]).ok()?.role);
        let roles = messages.iter().map(role).collect::<Option<Vec<_>>>()?;
        Some(Self { request, list, messages, roles, room })
    }

    /// What may be dropped, in the order of dropping: from the middle outwards, the opening last.
    fn order(&self) -> Vec<Range<usize>> {
        let mut units = self.units();
        // The last turn is what is asked.
        units.pop();
        let middle = units.len();
        let mut ranked: Vec<(usize, Range<usize>)> =
            units.into_iter().enumerate().map(|(at, unit)| ((2 * at + 1).abs_diff(middle), unit)).collect();
        ranked.sort_by_key(|(distance, unit)| (*distance, Reverse(unit.start)));
        ranked.into_iter().map(|(_, unit)| unit).collect()
    }

    /// Messages that belong together: a call and its results. System messages are none.
    fn units(&self) -> Vec<Range<usize>> {
        let mut units: Vec<Range<usize>> = Vec::new();
        for (at, role) in self.roles.iter().enumerate() {
            match (role.as_str(), units.last_mut()) {
                ("system" | "developer", _) => {}
                ("tool" | "function", Some(unit)) if unit.end == at => unit.end = at + 1,
                _ => units.push(at..at + 1),
            }
        }
        units
    }

    /// The message with the longest plain text among those that are left, if it is the user's or a tool's.
    fn longest(&self, dropped: &[Range<usize>]) -> Option<usize> {
        let is_left = |at: &usize| !dropped.iter().any(|unit| unit.contains(at));
        let is_text = |at: &usize| {
            let content = patch::member(&self.list[self.messages[*at].clone()], "content");
            matches!(self.roles[*at].as_str(), "user" | "tool")
                && content.is_some_and(|json| json.starts_with(b"\""))
        };
        let candidates = (0..self.messages.len()).filter(|at| is_left(at) && is_text(at));
        candidates.max_by_key(|at| self.messages[*at].len())
    }

    /// The request without these messages, and whether it fits; `shortened` loses as much of its text as is too much.
    fn without(&self, dropped: &[Range<usize>], shortened: Option<usize>) -> Option<(ChatRequest, bool)> {
        let kept: Vec<usize> =
            (0..self.messages.len()).filter(|at| !dropped.iter().any(|unit| unit.contains(at))).collect();
        let mut texts: Vec<Vec<u8>> =
            kept.iter().map(|at| self.list[self.messages[*at].clone()].to_vec()).collect();
        if let Some(place) = shortened.and_then(|long| kept.iter().position(|at| *at == long)) {
            let (whole, _) = self.made(&texts, &kept, None)?;
            let surplus = price::prompt_estimate(&whole.facts).saturating_sub(self.room);
            texts[place] = shorter(&texts[place], surplus)?;
        }
        self.made(&texts, &kept, shortened)
    }

    fn made(
        &self,
        texts: &[Vec<u8>],
        kept: &[usize],
        shortened: Option<usize>,
    ) -> Option<(ChatRequest, bool)> {
        let list = [&b"["[..], &texts.join(&b","[..]), b"]"].concat();
        let mut body = BytesMut::new();
        Patch::new().set("messages", list).apply(&self.request.source.body, &mut body).ok()?;
        let mut made = openai_chat::decode(Bytes::from(body)).ok()?;
        made.source.own.clone_from(&self.request.source.own);
        made.echo.clone_from(&self.request.echo);
        made.names.clone_from(&self.request.names);
        // What the surface typed beyond the words of chat completions stays as it is.
        if self.request.messages.raw().is_empty() {
            let (before, after) = (self.request.messages.get().ok()?, made.messages.get().ok()?.clone());
            let message = |(place, at): (usize, &usize)| {
                if Some(*at) == shortened { after[place].clone() } else { before[*at].clone() }
            };
            made.messages = Lazy::ready(kept.iter().enumerate().map(message).collect());
        }
        let fits = price::prompt_estimate(&made.facts) <= self.room;
        Some((made, fits))
    }
}

/// A message whose text has lost so many tokens of its middle; none where it has not so many.
fn shorter(message: &[u8], tokens: u64) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let text = message["content"].as_str()?;
    let surplus = usize::try_from(price::bytes_of(tokens)).ok()? + GAP.len() + 16;
    let left = text.len().checked_sub(surplus)?;
    let start = (0..=left / 2).rev().find(|at| text.is_char_boundary(*at))?;
    let end = (text.len() - left / 2..=text.len()).find(|at| text.is_char_boundary(*at))?;
    message["content"] = json!(format!("{}{GAP}{}", &text[..start], &text[end..]));
    Some(message.to_string().into_bytes())
}

#[cfg(test)]
mod tests;
