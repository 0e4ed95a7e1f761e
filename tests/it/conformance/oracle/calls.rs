//! Tool calls as pieces tell them: which piece belongs to which call.

use serde_json::Value;

use super::{Said, text, word};

/// One tool call.
#[derive(Debug, Clone, Default)]
pub struct Called {
    /// The provider's number or id of the place, by which pieces find their call.
    slot: Option<String>,
    /// The provider's id; absent where it gave none.
    pub id: Option<String>,
    pub name: String,
    /// The arguments' text; empty where there are none.
    pub arguments: String,
}

impl Said {
    /// A call that comes whole.
    pub fn call(&mut self, id: Option<String>, name: &str, arguments: &Value) {
        self.open(None, id, name, &spelled(arguments));
    }

    /// The beginning of a call whose arguments follow.
    pub fn open(&mut self, slot: Option<String>, id: Option<String>, name: &str, arguments: &str) {
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        self.calls.push(Called { slot, id, name, arguments });
    }

    /// More of the arguments of the call in this place.
    pub fn more(&mut self, slot: &str, piece: &str) {
        let call = self.calls.iter_mut().rev().find(|call| call.slot.as_deref() == Some(slot));
        if let Some(call) = call {
            call.arguments.push_str(piece);
        }
    }

    /// A piece of the chat-completions dialect, which may open a call or continue one.
    pub fn chat_piece(&mut self, piece: &Value) {
        let invocation = if piece["custom"].is_object() { &piece["custom"] } else { &piece["function"] };
        let id = word(&piece["id"]).filter(|id| id != "null");
        let slot = piece["index"].as_u64().map(|index| index.to_string());
        let (name, arguments) = (text(&invocation["name"]), invocation.get("arguments"));
        let arguments = spelled(arguments.or(invocation.get("input")).unwrap_or(&Value::Null));
        match self.continued(slot.as_deref(), id.as_deref(), name) {
            Some(at) => {
                let call = &mut self.calls[at];
                // Names can come in pieces, and can be repeated whole.
                if name != call.name && call.arguments.is_empty() {
                    call.name.push_str(name);
                }
                call.arguments.push_str(&arguments);
            }
            None => self.open(slot, id, name, &arguments),
        }
    }

    /// The call that a piece continues: of the same id, else in the same place, else the last.
    fn continued(&self, slot: Option<&str>, id: Option<&str>, name: &str) -> Option<usize> {
        let known = id.and_then(|id| self.calls.iter().position(|call| call.id.as_deref() == Some(id)));
        if known.is_some() || (id.is_some() && !name.is_empty()) {
            return known;
        }
        let place = match slot {
            Some(_) => self.calls.iter().rposition(|call| call.slot.as_deref() == slot),
            None => self.calls.len().checked_sub(1).filter(|_| name.is_empty()),
        };
        place.filter(|at| name.is_empty() || self.calls[*at].arguments.is_empty())
    }
}

/// Arguments as JSON text, whether they were sent as text or as a value.
fn spelled(arguments: &Value) -> String {
    match arguments {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
