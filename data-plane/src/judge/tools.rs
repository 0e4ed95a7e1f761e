//! Looks at tool calls: whether the tool was declared, whether its arguments fit, whether a demanded call came.

use crate::judge::answer::not_json;
use crate::judge::asked::{Asked, Declared};
use crate::model::message::{ToolCall, ToolChoice, ToolKind};
use crate::model::response::{ChatResponse, Choice};

/// Bytes of a name that are shown: models invent long ones.
const SHOWN_NAME: usize = 64;

/// A call that cannot be carried out, or none where one was demanded, in any choice.
pub(super) fn invalid_call(answer: &ChatResponse, asked: &Asked) -> Option<String> {
    answer.choices.iter().find_map(|choice| {
        let at = format!("choices[{}].message.tool_calls", choice.index);
        let calls = choice.message.tool_calls.iter().enumerate();
        let wrong = calls
            .filter_map(|(place, call)| Some((place, wrong(call, asked)?)))
            .map(|(place, wrong)| format!("{at}[{place}]{wrong}"))
            .next();
        wrong.or_else(|| Some(format!("{at} {}", missing(choice, asked.choice.as_ref()?)?)))
    })
}

/// What is wrong with this call, to be read after its place in the answer.
pub(super) fn wrong(call: &ToolCall, asked: &Asked) -> Option<String> {
    let name = shown(&call.name);
    let Some(tool) = asked.tools.get(&call.name) else {
        return Some(format!(" calls `{name}`, which was not declared"));
    };
    if call.kind == ToolKind::Custom {
        return None;
    }
    let arguments = format!(".function.arguments of `{name}`");
    if let Some(place) = not_json(&call.arguments) {
        return Some(format!("{arguments} are not JSON ({place})"));
    }
    // One JSON value that opens with a brace is an object.
    if !call.arguments.trim_start().starts_with('{') {
        return Some(format!("{arguments} are not an object"));
    }
    let misfit = parameters(tool)?.get().ok()?.misfit(&call.arguments)?;
    Some(format!("{arguments} do not fit the tool's parameters: {misfit}"))
}

fn parameters(tool: &Declared) -> Option<&crate::judge::asked::LazySchema> {
    match tool {
        Declared::Function { parameters, .. } => parameters.as_ref(),
        Declared::Other => None,
    }
}

/// Which demanded call this choice lacks.
fn missing(choice: &Choice, demand: &ToolChoice) -> Option<String> {
    let calls = &choice.message.tool_calls;
    let has = |name: &String| calls.iter().any(|call| call.name == *name);
    match demand {
        ToolChoice::Required if calls.is_empty() => {
            Some("is empty though tool_choice demands a call".to_owned())
        }
        ToolChoice::Named(name) | ToolChoice::Custom(name) if !has(name) => {
            Some(format!("lacks `{}`, which tool_choice demands", shown(name)))
        }
        ToolChoice::Allowed { required: true, names } if !names.iter().any(has) => {
            Some("lacks a call of the tools that tool_choice demands".to_owned())
        }
        _ => None,
    }
}

fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(SHOWN_NAME)]
}
