//! Undoes in answers what the request changed: tool names, and the prefix that Mistral says again.

use crate::adapters::Context;
use crate::model::event::{ChoiceDelta, Chunk};
use crate::model::response::{ChatResponse, Choice};

/// Whether answers to the request stay as they are.
pub fn is_needless(context: &Context) -> bool {
    context.prefix.is_none() && context.tool_names.is_empty()
}

/// A whole answer as the client knows things.
pub fn answer(mut response: ChatResponse, context: &Context) -> ChatResponse {
    if !is_needless(context) {
        response.choices.iter_mut().for_each(|choice| undo(choice, context));
    }
    response
}

fn undo(choice: &mut Choice, context: &Context) {
    let message = &mut choice.message;
    choice.raw = None;
    for call in &mut message.tool_calls {
        call.name = context.client_name(&call.name).to_owned();
    }
    let rest = context.prefix.as_deref().and_then(|prefix| message.content.as_deref()?.strip_prefix(prefix));
    if let Some(rest) = rest {
        message.content = Some(rest.to_owned()).filter(|rest| !rest.is_empty());
    }
}

/// The same for streamed answers.
#[derive(Debug)]
pub struct Undoing {
    context: Context,
    /// By the choice's index: text that may still be the prefix; None once it is known.
    held: Vec<(u32, Option<String>)>,
}

impl Undoing {
    /// At the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self { context, held: Vec::new() }
    }

    /// A chunk as the client knows things.
    pub fn chunk(&mut self, chunk: &mut Chunk) {
        if is_needless(&self.context) {
            return;
        }
        chunk.raw_choices = false;
        chunk.choices.iter_mut().for_each(|choice| self.choice(choice));
    }

    fn choice(&mut self, choice: &mut ChoiceDelta) {
        for call in &mut choice.delta.tool_calls {
            call.name = call.name.take().map(|name| self.context.client_name(&name).to_owned());
        }
        let Some(prefix) = self.context.prefix.as_deref() else { return };
        let at = self.held.iter().position(|(index, _)| *index == choice.index).unwrap_or_else(|| {
            self.held.push((choice.index, Some(String::new())));
            self.held.len() - 1
        });
        let Some(held) = &mut self.held[at].1 else { return };
        held.push_str(choice.delta.content.as_deref().unwrap_or_default());
        let rest = held.strip_prefix(prefix);
        if rest.is_none() && prefix.starts_with(&**held) && choice.finish.is_none() {
            choice.delta.content = None;
            return;
        }
        let told = rest.unwrap_or(held).to_owned();
        choice.delta.content = Some(told).filter(|told| !told.is_empty());
        self.held[at].1 = None;
    }
}
