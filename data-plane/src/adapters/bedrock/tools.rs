//! Tool definitions and the choice among them, and names and ids that Converse accepts.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::adapters::bedrock::turns::cache_point;
use crate::adapters::quirks::{CacheMarks, ModelFields, Quirks};
use crate::adapters::shared::names::Rule;
use crate::adapters::shared::tool_input;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;

const NAMES: Rule = Rule { longest: 64, marks: b"_-", letter_first: false };
const IDS: Rule = Rule { longest: 64, marks: b"_.:-", letter_first: false };
/// Some models' call ids have exactly this many letters and digits.
const SHORT: usize = 9;

/// The name as Converse takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    NAMES.apply(name)
}

/// The id as the model takes it; the same for a call and for its result.
pub fn call_id(id: &str, quirks: &Quirks) -> String {
    if !quirks.short_call_ids {
        return IDS.apply(id);
    }
    if id.len() == SHORT && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut hex = String::with_capacity(16);
    for byte in &Sha256::digest(id.as_bytes())[..8] {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.truncate(SHORT);
    hex
}

/// The tools of a request and what is said about calling them.
#[derive(Debug, Default)]
pub struct Toolbox {
    /// Definitions and cache points. Without any, the history must not hold calls either.
    pub tools: Vec<Value>,
    /// Converse's `toolChoice`.
    pub choice: Option<Value>,
    /// Claude's own `tool_choice`, in the place of Converse's, which cannot forbid parallel calls.
    pub claude_choice: Option<Value>,
    /// Whether the choice forces a call.
    pub forces: bool,
}

/// Translates tools and choice.
///
/// # Errors
/// [`Unsupported`] for tools and choices that Converse or the model does not have.
pub fn toolbox(
    request: &ChatRequest,
    quirks: &Quirks,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Toolbox, Unsupported> {
    let choice = request.tool_choice.as_ref();
    // Converse cannot say "none": without tools nothing is called.
    if choice == Some(&ToolChoice::None) {
        return Ok(Toolbox::default());
    }
    let mut tools = Vec::new();
    for (at, tool) in request.tools.get()?.iter().enumerate() {
        tools.extend(translate(tool, at, choice, quirks, context, dropped)?);
    }
    if tools.is_empty() {
        return Ok(Toolbox::default());
    }
    let forces = tool_input::forces(choice);
    if forces && !quirks.forced_tools {
        return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
    }
    let mut toolbox = Toolbox { tools, choice: converse_choice(choice)?, claude_choice: None, forces };
    if request.parallel_tool_calls == Some(false) {
        match quirks.model_fields {
            ModelFields::Claude => toolbox.choose_one(),
            _ => dropped.push("parallel_tool_calls".into()),
        }
    }
    Ok(toolbox)
}

impl Toolbox {
    /// The choice in Claude's words, which can say that one call is enough; both at once are refused.
    fn choose_one(&mut self) {
        let choice = self.choice.take().unwrap_or_default();
        let mut claude = match (choice.get("any"), choice.get("tool")) {
            (Some(_), _) => json!({"type": "any"}),
            (_, Some(tool)) => json!({"type": "tool", "name": tool["name"]}),
            _ => json!({"type": "auto"}),
        };
        claude["disable_parallel_tool_use"] = true.into();
        self.claude_choice = Some(claude);
    }
}

fn converse_choice(choice: Option<&ToolChoice>) -> Result<Option<Value>, Unsupported> {
    Ok(match choice {
        None | Some(ToolChoice::None) => None,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Some(json!({"auto": {}})),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Some(json!({"any": {}})),
        Some(ToolChoice::Named(name)) => Some(json!({"tool": {"name": tool_name(name)}})),
        Some(ToolChoice::Custom(_)) => {
            let why = "names a kind of tool that this model does not have";
            return Err(Unsupported::new("tool_choice.custom", why));
        }
    })
}

/// One tool and the cache point after it; nothing for those that only a router can run.
fn translate(
    tool: &Tool,
    at: usize,
    choice: Option<&ToolChoice>,
    quirks: &Quirks,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Vec<Value>, Unsupported> {
    match tool {
        Tool::Function { name, .. } if !is_offered(name, choice) => Ok(Vec::new()),
        Tool::Function { name, description, parameters, strict, cache_control } => {
            let sent = tool_name(name);
            let mut spec = Map::from_iter([("name".to_owned(), Value::from(sent.as_str()))]);
            if sent != *name {
                context.tool_names.push((sent, name.clone()));
            }
            if let Some(description) = description.as_deref().filter(|text| !text.trim().is_empty()) {
                spec.insert("description".to_owned(), description.into());
            }
            let schema = tool_input::schema(parameters.as_ref().map(|schema| schema.get()));
            spec.insert("inputSchema".to_owned(), json!({ "json": schema }));
            match strict {
                Some(true) if quirks.output_format => drop(spec.insert("strict".to_owned(), true.into())),
                Some(true) => dropped.push(format!("tools[{at}].function.strict").into()),
                _ => {}
            }
            let mut tools = vec![json!({ "toolSpec": spec })];
            if let Some(mark) = cache_control.as_ref().filter(|mark| mark.is_object()) {
                // Amazon's own models cache prompts, but not tools.
                match quirks.cache_marks == CacheMarks::Keep && quirks.model_fields != ModelFields::Nova {
                    true => tools.push(cache_point(mark, quirks)),
                    false => dropped.push(format!("tools[{at}].cache_control").into()),
                }
            }
            Ok(tools)
        }
        Tool::Other { kind, .. } if kind.starts_with("openrouter:") => {
            dropped.push(format!("tools[{at}]").into());
            Ok(Vec::new())
        }
        // Tools that Amazon runs itself, such as `nova_grounding`.
        Tool::Other { kind, .. } if kind.starts_with("nova_") && quirks.model_fields == ModelFields::Nova => {
            Ok(vec![json!({"systemTool": {"name": kind}})])
        }
        Tool::Other { .. } => Err(Unsupported::new(
            format!("tools[{at}].type"),
            "is a kind of tool that this model does not have",
        )),
    }
}

fn is_offered(name: &str, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { names, .. }) => names.iter().any(|allowed| allowed == name),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_within_what_the_model_takes() {
        let long = "x".repeat(65);
        let usual = Quirks::default();
        let short = Quirks { short_call_ids: true, ..Quirks::default() };
        assert_eq!(call_id("tooluse_a.b:c-1", &usual), "tooluse_a.b:c-1");
        assert!(call_id(&long, &usual).len() <= 64);
        assert_eq!(call_id("Ab3dE6gH9", &short), "Ab3dE6gH9");
        let mapped = ["", "call_1", "call_2", &long].map(|id| call_id(id, &short));
        assert!(mapped.iter().all(|id| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert!((1..mapped.len()).all(|at| !mapped[..at].contains(&mapped[at])), "{mapped:?}");
    }
}
