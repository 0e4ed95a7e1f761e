//! Tool definitions and the choice among them, member by member: anything more would be refused.

use std::borrow::Cow;

use bytes::{BufMut, Bytes};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapters::mistral::ids::tool_name;
use crate::adapters::shared::schema::inlined;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;
use crate::wire::patch::{elements, quoted};

/// Marks of schemas that need work.
const HEADINGS: [&[u8]; 3] = [b"\"$schema\"", b"\"$id\"", b"\"$ref\""];

/// A function as declared.
#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

/// A tool as it stands in the source.
#[derive(Deserialize)]
struct Declared<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

/// The `tools` of a request; None where there are none. `source` is the member as sent, if it was.
///
/// # Errors
/// [`Unsupported`] for kinds of tools that Mistral does not have.
pub fn tools(
    request: &ChatRequest,
    source: Option<&[u8]>,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Option<Bytes>, Unsupported> {
    let mut list = List { out: Vec::with_capacity(source.map_or(0, <[u8]>::len) + 16), request, context };
    match source {
        // Read here and not from the typed form, which costs a pass over the whole prompt.
        Some(source) => {
            let ranges = elements(source).map_err(|_| Unsupported::new("tools", "is no list"))?;
            for (at, range) in ranges.into_iter().enumerate() {
                let bad = |_| Unsupported::new(format!("tools[{at}]"), "is no tool");
                let declared: Declared<'_> = serde_json::from_slice(&source[range]).map_err(bad)?;
                match (declared.function, declared.kind.as_deref()) {
                    (Some(function), None | Some("function")) => list.add(&function),
                    (_, kind) => other(kind.unwrap_or_default(), at, dropped)?,
                }
            }
        }
        None => {
            for (at, tool) in request.tools.get()?.iter().enumerate() {
                match tool {
                    Tool::Function { name, description, parameters, strict, .. } => list.add(&Function {
                        name: Cow::Borrowed(name),
                        description: description.as_deref().map(Cow::Borrowed),
                        parameters: parameters.as_deref(),
                        strict: *strict,
                    }),
                    Tool::Other { kind, .. } => other(kind, at, dropped)?,
                }
            }
        }
    }
    Ok(list.finish())
}

/// Tools that only a router runs are left out by name.
fn other(kind: &str, at: usize, dropped: &mut Vec<Cow<'static, str>>) -> Result<(), Unsupported> {
    if kind.starts_with("openrouter:") {
        dropped.push(format!("tools[{at}]").into());
        return Ok(());
    }
    Err(Unsupported::new(format!("tools[{at}].type"), "is a kind of tool that this model does not have"))
}

/// The list as it is written.
struct List<'a> {
    out: Vec<u8>,
    request: &'a ChatRequest,
    context: &'a mut Context,
}

impl List<'_> {
    fn add(&mut self, function: &Function<'_>) {
        if !is_allowed(&function.name, self.request.tool_choice.as_ref()) {
            return;
        }
        let name = tool_name(&function.name);
        self.out.put_u8(if self.out.is_empty() { b'[' } else { b',' });
        self.out.put_slice(br#"{"type":"function","function":{"name":"#);
        self.out.put_slice(&quoted(&name));
        if name != function.name {
            self.context.tool_names.push((name, function.name.clone().into_owned()));
        }
        if let Some(description) = &function.description {
            self.out.put_slice(br#","description":"#);
            self.out.put_slice(&quoted(description));
        }
        if let Some(strict) = function.strict {
            self.out.put_slice(if strict { br#","strict":true"# } else { br#","strict":false"# });
        }
        self.out.put_slice(br#","parameters":"#);
        self.out.put_slice(&parameters(function.parameters));
        self.out.put_slice(b"}}");
    }

    fn finish(mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            return None;
        }
        self.out.put_u8(b']');
        Some(self.out.into())
    }
}

fn is_allowed(name: &str, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { names, .. }) => names.iter().any(|allowed| allowed == name),
        _ => true,
    }
}

/// The schema byte for byte where it can be: prompt caches depend on it.
fn parameters(schema: Option<&RawValue>) -> Cow<'_, [u8]> {
    const ANYTHING: &[u8] = br#"{"type":"object","properties":{}}"#;
    let Some(schema) = schema.map(|schema| schema.get()) else { return Cow::Borrowed(ANYTHING) };
    if !schema.starts_with('{') {
        return Cow::Borrowed(ANYTHING);
    }
    if HEADINGS.iter().any(|heading| memmem::find(schema.as_bytes(), heading).is_some()) {
        let read: Value = serde_json::from_str(schema).unwrap_or_else(|_| json!({"type": "object"}));
        return Cow::Owned(inlined(&read).to_string().into_bytes());
    }
    Cow::Borrowed(schema.as_bytes())
}

/// The `tool_choice`, in Mistral's words.
///
/// # Errors
/// [`Unsupported`] for a kind of tool that Mistral does not have.
pub fn choice(choice: &ToolChoice) -> Result<Value, Unsupported> {
    Ok(match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => "auto".into(),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => "any".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": tool_name(name)}}),
        ToolChoice::Custom(_) => {
            let why = "names a kind of tool that this model does not have";
            return Err(Unsupported::new("tool_choice.custom", why));
        }
    })
}
