//! Reads `plugins` and the older `transforms`: what is switched on, and with which wishes.

use serde_json::{Map, Value};
use switchyard_proto::code::ErrorCode;

use crate::error::RequestError;
use crate::extensions::auto::{Narrowing, Tier};
use crate::extensions::preset::cut;
use crate::model::parameter::Parameter;
use crate::model::request::ChatRequest;

/// Repairs JSON in answers.
const HEALING: &str = "response-healing";
/// Leaves out the middle of a prompt that is too long.
const COMPRESSION: &str = "context-compression";
/// Narrows what the automatic model may be.
const AUTO: &str = "auto-router";
/// Reads files; what providers read themselves needs nothing of us.
const FILES: &str = "file-parser";
/// Known to `OpenRouter`'s clients, and not done here.
const NOT_HERE: [&str; 8] = [
    "web",
    "web-fetch",
    "moderation",
    "auto-beta-router",
    "pareto-router",
    "fusion",
    "switchyard-router",
    "bodybuilder",
];
/// The one engine of compression, and the one transform.
const MIDDLE_OUT: &str = "middle-out";

/// What a request's plugins come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugins {
    pub heals: bool,
    /// Absent: where the model's window is small.
    pub compresses: Option<bool>,
    pub auto: Narrowing,
}

/// Reads the plugins of a request.
///
/// # Errors
/// 400 for what is no plugin or says it wrongly, 501 for one that is not done here; both name it.
pub fn read(request: &ChatRequest) -> Result<Plugins, RequestError> {
    let mut plugins = Plugins { compresses: transforms(request)?, ..Plugins::default() };
    let list = request.plugins.as_ref().and_then(Value::as_array).into_iter().flatten();
    for (index, plugin) in list.enumerate() {
        let at = At { index, plugin: object(index, plugin)? };
        let enabled = at.member("enabled", Value::as_bool, "true or false")?.unwrap_or(true);
        match at.id()? {
            HEALING => plugins.heals = enabled,
            COMPRESSION => {
                let engine = at.member("engine", Value::as_str, "a text")?.unwrap_or(MIDDLE_OUT);
                if enabled && engine != MIDDLE_OUT {
                    return Err(at.wrong("engine", "must be middle-out"));
                }
                plugins.compresses = Some(enabled);
            }
            AUTO if enabled => plugins.auto = narrowing(&at)?,
            FILES if enabled && !at.is_native() => return Err(at.not_here(FILES)),
            AUTO | FILES => {}
            id if NOT_HERE.contains(&id) && enabled => return Err(at.not_here(id)),
            id if NOT_HERE.contains(&id) => {}
            id => {
                let known = [HEALING, COMPRESSION, AUTO].join(", ");
                let text = format!("is `{}`, which is no plugin; there are {known}", cut(id));
                return Err(at.wrong("id", &text));
            }
        }
    }
    Ok(plugins)
}

/// The request without its plugins: they are done, and no provider is to be held to them.
#[must_use]
pub fn without(mut request: ChatRequest) -> ChatRequest {
    request.facts.parameters.remove(Parameter::Plugins);
    request.facts.parameters.remove(Parameter::Transforms);
    request.plugins = None;
    request.transforms = Vec::new();
    request
}

/// An empty list switches off what is on by default.
fn transforms(request: &ChatRequest) -> Result<Option<bool>, RequestError> {
    if let Some(other) = request.transforms.iter().find(|name| *name != MIDDLE_OUT) {
        let text = format!("transforms holds `{}`; the only one is {MIDDLE_OUT}.", cut(other));
        return Err(RequestError::new(ErrorCode::InvalidRequest, text).field("transforms"));
    }
    let is_sent = request.facts.parameters.contains(Parameter::Transforms);
    Ok(is_sent.then_some(!request.transforms.is_empty()))
}

fn narrowing(at: &At<'_>) -> Result<Narrowing, RequestError> {
    let tier = at.member("cost_tier", Value::as_str, "a text")?;
    let tier = tier.map(|word| {
        word.parse::<Tier>().map_err(|()| at.wrong("cost_tier", "must be low, medium, high, xhigh or max"))
    });
    Ok(Narrowing {
        allowed: at.names("allowed_models")?,
        excluded: at.names("excluded_models")?,
        tier: tier.transpose()?.unwrap_or_default(),
    })
}

/// A plugin and its place, which errors name.
struct At<'a> {
    index: usize,
    plugin: &'a Map<String, Value>,
}

fn object(index: usize, plugin: &Value) -> Result<&Map<String, Value>, RequestError> {
    let field = format!("plugins[{index}]");
    plugin.as_object().ok_or_else(|| {
        RequestError::new(ErrorCode::InvalidRequest, format!("{field} must be an object")).field(&field)
    })
}

impl<'a> At<'a> {
    fn id(&self) -> Result<&'a str, RequestError> {
        self.member("id", Value::as_str, "a text")?.ok_or_else(|| self.wrong("id", "is required"))
    }

    /// Null says nothing.
    fn member<T>(
        &self,
        name: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        what: &str,
    ) -> Result<Option<T>, RequestError> {
        let Some(value) = self.plugin.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(name, &format!("must be {what}")))
    }

    fn names(&self, name: &str) -> Result<Vec<String>, RequestError> {
        let read = |value: &Value| {
            let names = value.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned()));
            names.collect::<Option<Vec<String>>>()
        };
        Ok(self.member(name, read, "a list of texts")?.unwrap_or_default())
    }

    /// Whether files are left to the provider.
    fn is_native(&self) -> bool {
        let engine = self.plugin.get("pdf").and_then(|pdf| pdf.get("engine")).and_then(Value::as_str);
        engine == Some("native")
    }

    fn wrong(&self, member: &str, why: &str) -> RequestError {
        let field = format!("plugins[{}].{member}", self.index);
        RequestError::new(ErrorCode::InvalidRequest, format!("{field} {why}.")).field(&field)
    }

    fn not_here(&self, id: &str) -> RequestError {
        let text = format!("The plugin `{id}` is not supported yet.");
        RequestError::new(ErrorCode::NotSupported, text).field(&format!("plugins[{}].id", self.index))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::surface::Surface;

    fn asked(members: &Value) -> ChatRequest {
        let mut body = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        Surface::ChatCompletions.decode(body.to_string().into()).unwrap()
    }

    #[test]
    fn plugins_are_switched_on_and_off() {
        let off = Plugins::default();
        let compress = |compresses| Plugins { compresses: Some(compresses), ..Plugins::default() };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (members, expected) in [
            (json!({}), off.clone()),
            (json!({"plugins": []}), off.clone()),
            (json!({"plugins": null, "transforms": null}), off.clone()),
            (json!({"plugins": [{"id": "response-healing"}]}), Plugins { heals: true, ..off.clone() }),
            (json!({"plugins": [{"id": "response-healing", "enabled": false}]}), off.clone()),
            (
                json!({"plugins": [{"id": "response-healing", "enabled": null}]}),
                Plugins { heals: true, ..off.clone() },
            ),
            (json!({"plugins": [{"id": "context-compression"}]}), compress(true)),
            (json!({"plugins": [{"id": "context-compression", "engine": "middle-out"}]}), compress(true)),
            (json!({"plugins": [{"id": "context-compression", "enabled": false}]}), compress(false)),
            (json!({"transforms": ["middle-out"]}), compress(true)),
            (json!({"transforms": []}), compress(false)),
            // The newer word goes over the older.
            (json!({"transforms": [], "plugins": [{"id": "context-compression"}]}), compress(true)),
            (json!({"plugins": [{"id": "web", "enabled": false}]}), off.clone()),
            (json!({"plugins": [{"id": "file-parser", "pdf": {"engine": "native"}}]}), off.clone()),
            (
                json!({"plugins": [{"id": "auto-router", "allowed_models": ["a/*"], "excluded_models": ["a/x"], "cost_tier": "low"}]}),
                Plugins {
                    auto: Narrowing { allowed: names(&["a/*"]), excluded: names(&["a/x"]), tier: Tier::Low },
                    ..off.clone()
                },
            ),
        ] {
            assert_eq!(read(&asked(&members)).unwrap(), expected, "{members}");
        }
    }

    #[test]
    fn what_is_no_plugin_or_not_done_here_is_named() {
        for (members, status, says) in [
            (json!({"plugins": [{}]}), 400, "plugins[0].id is required."),
            (json!({"plugins": [{"id": 1}]}), 400, "plugins[0].id must be a text."),
            (json!({"plugins": [7]}), 400, "plugins[0] must be an object"),
            (
                json!({"plugins": [{"id": "web", "enabled": false}, {"id": "nonsense"}]}),
                400,
                "plugins[1].id is `nonsense`",
            ),
            (
                json!({"plugins": [{"id": "response-healing", "enabled": "yes"}]}),
                400,
                "plugins[0].enabled must be true or false.",
            ),
            (
                json!({"plugins": [{"id": "context-compression", "engine": "summary"}]}),
                400,
                "plugins[0].engine must be middle-out.",
            ),
            (
                json!({"plugins": [{"id": "auto-router", "allowed_models": "a/*"}]}),
                400,
                "plugins[0].allowed_models must be a list of texts.",
            ),
            (
                json!({"plugins": [{"id": "auto-router", "cost_tier": "cheap"}]}),
                400,
                "plugins[0].cost_tier must be low",
            ),
            (json!({"transforms": ["inside-out"]}), 400, "transforms holds `inside-out`"),
            (json!({"plugins": [{"id": "web"}]}), 501, "The plugin `web` is not supported yet."),
            (
                json!({"plugins": [{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}]}),
                501,
                "The plugin `file-parser`",
            ),
        ] {
            let error = read(&asked(&members)).unwrap_err();
            assert_eq!(error.code.status().as_u16(), status, "{members}");
            assert!(error.public.starts_with(says), "{members}: {}", error.public);
        }
    }
}
