//! Messages as turns that alternate: what dialects with strict turns need, whatever they call things.
//!
//! Leading system messages stand apart; the results of one assistant turn stand together, in the order of the calls,
//! missing ones named; results that answer nothing are told as the user's words.

use crate::model::message::{Message, Role, ToolCall};

/// A prompt in turns.
#[derive(Debug, Default, PartialEq)]
pub struct Conversation<'a> {
    /// System and developer messages before everything else.
    pub system: Vec<Told<'a>>,
    /// Never two turns of one kind in a row.
    pub turns: Vec<Turn<'a>>,
}

/// A message and where it stands in the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told<'a> {
    pub message: &'a Message,
    /// Its position in `messages`.
    pub at: usize,
}

impl Told<'_> {
    /// The path to name in a refusal, such as `messages[3]`.
    pub fn path(&self) -> String {
        format!("messages[{}]", self.at)
    }
}

/// What one side says before the other speaks.
#[derive(Debug, PartialEq)]
pub enum Turn<'a> {
    User {
        /// Results of the calls in the turn before, in the order of those calls: exactly one for each.
        results: Vec<Answer<'a>>,
        /// User messages, later system messages, and tool results that answer no call, in order.
        said: Vec<Told<'a>>,
    },
    /// Assistant messages, in order.
    Assistant(Vec<Told<'a>>),
}

/// The result of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'a> {
    pub call: &'a ToolCall,
    /// None where the history has no result for the call.
    pub told: Option<Told<'a>>,
}

impl Turn<'_> {
    /// Whether it is the assistant's.
    pub fn is_assistant(&self) -> bool {
        matches!(self, Self::Assistant(_))
    }
}

/// What is told where a call has no result.
pub const NO_RESULT: &str = "No result was recorded for this call.";

/// Brings messages into turns. Messages without content stay in; what to make of them is the dialect's business.
pub fn conversation(messages: &[Message]) -> Conversation<'_> {
    let mut all = Conversation::default();
    for (at, message) in messages.iter().enumerate() {
        let told = Told { message, at };
        match message.role {
            Role::System | Role::Developer if all.turns.is_empty() => all.system.push(told),
            Role::Assistant => all.assistant(told),
            _ => all.user(told),
        }
    }
    all.answer_open_calls();
    all
}

impl<'a> Conversation<'a> {
    fn assistant(&mut self, told: Told<'a>) {
        match self.turns.last_mut() {
            Some(Turn::Assistant(messages)) => messages.push(told),
            _ => self.turns.push(Turn::Assistant(vec![told])),
        }
    }

    fn user(&mut self, told: Told<'a>) {
        if self.turns.last().is_none_or(Turn::is_assistant) {
            let results = self.open_calls();
            self.turns.push(Turn::User { results, said: Vec::new() });
        }
        let Some(Turn::User { results, said }) = self.turns.last_mut() else { return };
        let id = told.message.tool_call_id.as_deref();
        let is_result = matches!(told.message.role, Role::Tool | Role::Function);
        let open = |answer: &&mut Answer<'_>| answer.told.is_none() && Some(answer.call.id.as_str()) == id;
        match results.iter_mut().find(open).filter(|_| is_result) {
            Some(answer) => answer.told = Some(told),
            None => said.push(told),
        }
    }

    /// The calls of the last assistant turn, none answered yet.
    fn open_calls(&self) -> Vec<Answer<'a>> {
        let Some(Turn::Assistant(messages)) = self.turns.last() else { return Vec::new() };
        let calls = messages.iter().flat_map(|told| &told.message.tool_calls);
        calls.map(|call| Answer { call, told: None }).collect()
    }

    fn answer_open_calls(&mut self) {
        let results = self.open_calls();
        if !results.is_empty() {
            self.turns.push(Turn::User { results, said: Vec::new() });
        }
    }

    /// Whether the last word is the assistant's, to be continued.
    pub fn is_prefilled(&self) -> bool {
        self.turns.last().is_some_and(Turn::is_assistant)
    }

    /// Calls anywhere in the history, in order.
    pub fn calls(&self) -> impl Iterator<Item = &'a ToolCall> + '_ {
        let messages = self.turns.iter().filter_map(|turn| match turn {
            Turn::Assistant(messages) => Some(messages),
            Turn::User { .. } => None,
        });
        messages.flatten().flat_map(|told| &told.message.tool_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::Part;

    fn said(role: Role, text: &str) -> Message {
        Message { content: vec![Part::text(text)], ..Message::new(role) }
    }

    fn calls(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall { id: (*id).to_owned(), name: "f".to_owned(), ..ToolCall::default() };
        Message { tool_calls: ids.iter().map(call).collect(), ..Message::new(Role::Assistant) }
    }

    fn result(id: &str) -> Message {
        Message { tool_call_id: Some(id.to_owned()), ..said(Role::Tool, id) }
    }

    /// `s0 | u1 | a2 | u[b:4 a:-]5`: kinds and positions.
    fn shape(messages: &[Message]) -> String {
        let at =
            |told: &[Told<'_>]| told.iter().map(|told| told.at.to_string()).collect::<Vec<_>>().join(",");
        let conversation = conversation(messages);
        let turns = conversation.turns.iter().map(|turn| match turn {
            Turn::Assistant(messages) => format!("a{}", at(messages)),
            Turn::User { results, said } if results.is_empty() => format!("u{}", at(said)),
            Turn::User { results, said } => {
                let answer = |answer: &Answer<'_>| {
                    format!(
                        "{}:{}",
                        answer.call.id,
                        answer.told.map_or("-".to_owned(), |told| told.at.to_string())
                    )
                };
                format!("u[{}]{}", results.iter().map(answer).collect::<Vec<_>>().join(" "), at(said))
            }
        });
        let system = format!("s{}", at(&conversation.system));
        [system].into_iter().chain(turns).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn results_stand_together_in_the_order_of_the_calls() {
        for (messages, expected) in [
            (vec![said(Role::System, "s"), said(Role::User, "u"), said(Role::User, "v")], "s0 | u1,2"),
            (vec![said(Role::User, "u"), said(Role::System, "s")], "s | u0,1"),
            (
                vec![calls(&["x", "y"]), result("y"), result("x"), said(Role::User, "u")],
                "s | a0 | u[x:2 y:1]3",
            ),
            (vec![calls(&["x", "y"]), result("y"), result("z")], "s | a0 | u[x:- y:1]2"),
            (vec![calls(&["x"]), said(Role::User, "u")], "s | a0 | u[x:-]1"),
            (vec![calls(&["x"])], "s | a0 | u[x:-]"),
            (vec![calls(&["x"]), result("x"), calls(&["x"]), result("x")], "s | a0 | u[x:1] | a2 | u[x:3]"),
            (vec![said(Role::Assistant, "a"), calls(&["x"]), result("x")], "s | a0,1 | u[x:2]"),
        ] {
            assert_eq!(shape(&messages), expected);
        }
    }
}
