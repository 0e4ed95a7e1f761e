//! The variables of the language, per scope, with their types.

use crate::policy::types::Type;

/// Which facts a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A request, before it is sent anywhere.
    Request,
    /// A request and the answer of one attempt.
    Answer,
}

/// Roots that are not values themselves: what follows the dot is.
const SPACES: &[&str] = &["request", "tenant", "key", "budget", "answer"];

/// A name, and how its type is made.
type Known = (&'static str, fn() -> Type);

/// Every variable but the answer's.
const REQUEST: &[Known] = &[
    ("request.model", || Type::String),
    ("request.models", || Type::list(Type::String)),
    ("request.priority", || Type::String),
    ("request.prompt_tokens", || Type::Int),
    ("request.max_tokens", || Type::Int),
    ("request.modalities", || Type::list(Type::String)),
    ("request.tools", || Type::Int),
    ("request.tool_choice", || Type::String),
    ("request.stream", || Type::Bool),
    ("request.user", || Type::String),
    ("request.session", || Type::String),
    ("request.reasoning", || Type::String),
    ("request.json", || Type::Bool),
    ("tenant.id", || Type::String),
    ("key.id", || Type::String),
    ("key.name", || Type::String),
    ("budget.left", || Type::Double),
    ("headers", || Type::map(Type::String)),
    ("now", || Type::Timestamp),
];

const ANSWER: &[Known] = &[
    ("answer.text", || Type::String),
    ("answer.finish_reason", || Type::String),
    ("answer.tool_calls", || Type::list(Type::ToolCall)),
    ("answer.completion_tokens", || Type::Int),
    ("answer.model", || Type::String),
    ("answer.provider", || Type::String),
];

impl Scope {
    fn variables(self) -> impl Iterator<Item = &'static (&'static str, fn() -> Type)> {
        let answer = match self {
            Self::Request => &[],
            Self::Answer => ANSWER,
        };
        REQUEST.iter().chain(answer)
    }

    /// The type of a variable, by its full name.
    pub(super) fn variable(self, name: &str) -> Option<Type> {
        self.variables().find(|(known, _)| *known == name).map(|(_, of)| of())
    }

    /// Why a name is no variable, with those that it might have meant.
    pub(super) fn unknown(self, name: &str) -> String {
        let root = name.split('.').next().unwrap_or(name);
        let space = format!("{root}.");
        let mut known: Vec<_> =
            self.variables().map(|(known, _)| *known).filter(|known| known.starts_with(&space)).collect();
        if known.is_empty() {
            known = self.roots();
        }
        let answers = ANSWER.iter().any(|(answers, _)| *answers == name);
        match self {
            Self::Request if answers => format!("`{name}` is known only where an answer is checked"),
            Self::Request | Self::Answer => {
                format!("`{name}` is not a variable; there are {}", known.join(", "))
            }
        }
    }

    fn roots(self) -> Vec<&'static str> {
        let mut roots: Vec<_> =
            self.variables().map(|(known, _)| known.split('.').next().unwrap_or(known)).collect();
        roots.dedup();
        roots
    }
}

/// Whether a root is only the beginning of names.
pub fn is_space(root: &str) -> bool {
    SPACES.contains(&root)
}

/// Whether a name is taken, so that no loop variable can hide it.
pub fn is_taken(name: &str) -> bool {
    is_space(name) || matches!(name, "headers" | "now")
}

/// The type of a tool call's field.
pub fn tool_call_field(name: &str) -> Option<Type> {
    matches!(name, "name" | "arguments").then_some(Type::String)
}
