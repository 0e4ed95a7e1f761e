//! What a preset may say: members of a chat completions request that are the same for many calls.
//!
//! Both planes check a config here: the control plane before it is stored, a data plane before it serves it. Values
//! that only a model can judge are left to the call. Pure.

use std::fmt;

use serde_json::{Map, Value};

/// Stands before a preset's name in a model: `@preset/NAME`, or after a model's: `author/slug@preset/NAME`.
pub const PREFIX: &str = "@preset/";

/// Largest config, in bytes of its JSON.
pub const LARGEST_CONFIG: usize = 128 * 1024;

/// Longest system prompt, in characters.
pub const LONGEST_PROMPT: usize = 100_000;

/// Members that are about the answer's cache and go nowhere else.
pub const OF_THE_CACHE: [&str; 2] = ["cache_enabled", "cache_ttl"];

/// Longest and shortest life of a cached answer, in seconds.
pub const CACHE_TTL: (u64, u64) = (1, 86_400);

/// A member of a config that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct Fault {
    /// Path in the config; empty where it is the config as a whole.
    pub field: String,
    /// Follows the field in a sentence.
    pub reason: String,
}

fn fault(field: impl Into<String>, reason: impl Into<String>) -> Fault {
    Fault { field: field.into(), reason: reason.into() }
}

/// Reads a config; an empty text is an empty one.
///
/// # Errors
/// [`Fault`] names the member.
pub fn read(config: &str) -> Result<Map<String, Value>, Fault> {
    if config.trim().is_empty() {
        return Ok(Map::new());
    }
    if config.len() > LARGEST_CONFIG {
        return Err(fault("", format!("is larger than {LARGEST_CONFIG} bytes")));
    }
    let value: Value = serde_json::from_str(config).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        fault("", format!("is no JSON: it breaks off or goes wrong at {at}"))
    })?;
    let Value::Object(members) = value else { return Err(fault("", "is not an object")) };
    for (name, value) in &members {
        check(name, value)?;
    }
    Ok(members)
}

/// What a member's value must be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bool,
    /// Within these, both included.
    Number(f64, f64),
    Whole(i64, i64),
    Text,
    Texts,
    Object,
    Objects,
    Model,
    Models,
    Provider,
    Plugins,
    /// A text, or several.
    Stop,
    /// A word, or an object.
    Choice,
}

use Kind::{
    Bool, Choice, Model, Models, Number, Object, Objects, Plugins, Provider, Stop, Text, Texts, Whole,
};

const COUNT: Kind = Whole(1, i64::MAX);

/// Every member that a preset may have. What belongs to one call (messages, stream, user, session, …) is not among them.
const MEMBERS: &[(&str, Kind)] = &[
    ("model", Model),
    ("models", Models),
    ("provider", Provider),
    ("plugins", Plugins),
    ("transforms", Texts),
    ("tools", Objects),
    ("tool_choice", Choice),
    ("parallel_tool_calls", Bool),
    ("response_format", Object),
    ("structured_outputs", Bool),
    ("temperature", Number(0.0, 2.0)),
    ("top_p", Number(0.0, 1.0)),
    ("top_k", Whole(0, i64::MAX)),
    ("min_p", Number(0.0, 1.0)),
    ("top_a", Number(0.0, 1.0)),
    ("frequency_penalty", Number(-2.0, 2.0)),
    ("presence_penalty", Number(-2.0, 2.0)),
    ("repetition_penalty", Number(0.0, 2.0)),
    ("seed", Whole(i64::MIN, i64::MAX)),
    ("logit_bias", Object),
    ("logprobs", Bool),
    ("top_logprobs", Whole(0, 20)),
    ("max_tokens", COUNT),
    ("max_completion_tokens", COUNT),
    ("stop", Stop),
    ("reasoning", Object),
    ("reasoning_effort", Text),
    ("include_reasoning", Bool),
    ("verbosity", Text),
    ("service_tier", Text),
    ("modalities", Texts),
    ("audio", Object),
    ("image_config", Object),
    ("web_search_options", Object),
    ("cache_control", Object),
    ("cache_enabled", Bool),
    ("cache_ttl", Whole(CACHE_TTL.0 as i64, CACHE_TTL.1 as i64)),
];

/// Members of `provider`.
const PROVIDER: &[(&str, Kind)] = &[
    ("order", Texts),
    ("only", Texts),
    ("ignore", Texts),
    ("allow_fallbacks", Bool),
    ("require_parameters", Bool),
    ("data_collection", Text),
    ("zdr", Bool),
    ("enforce_distillable_text", Bool),
    ("quantizations", Texts),
    ("sort", Choice),
    ("max_price", Object),
    ("preferred_min_throughput", Kind::Number(0.0, f64::MAX)),
    ("preferred_max_latency", Kind::Number(0.0, f64::MAX)),
    ("options", Object),
    ("deadlines", Object),
];

fn check(name: &str, value: &Value) -> Result<(), Fault> {
    let Some((_, kind)) = MEMBERS.iter().find(|(known, _)| *known == name) else {
        let reason = match name {
            "messages" | "prompt" | "input" => "belongs to a call; a preset has a system prompt instead",
            "preset" => "is there already: a preset cannot name another",
            "stream" | "stream_options" | "user" | "session_id" | "trace" | "metadata" | "debug" | "n" => {
                "belongs to a call"
            }
            _ => "is no member that a preset can have",
        };
        return Err(fault(name, reason));
    };
    kind.check(name, value)
}

impl Kind {
    fn check(self, name: &str, value: &Value) -> Result<(), Fault> {
        let expect = |holds: bool, what: &dyn fmt::Display| {
            if holds { Ok(()) } else { Err(fault(name, format!("is not {what}"))) }
        };
        match self {
            Self::Bool => expect(value.is_boolean(), &"true or false"),
            Self::Number(least, most) => {
                let percentiles = most == f64::MAX && value.is_object();
                let fits = value.as_f64().is_some_and(|number| (least..=most).contains(&number));
                let most = if most == f64::MAX { "whatever".to_owned() } else { most.to_string() };
                expect(fits || percentiles, &format_args!("a number from {least} to {most}"))
            }
            Self::Whole(least, most) => {
                let fits = value.as_i64().is_some_and(|number| (least..=most).contains(&number));
                expect(fits, &format_args!("a whole number from {least} to {most}"))
            }
            Self::Text => expect(value.is_string(), &"a text"),
            Self::Texts => expect(texts(value).is_some(), &"a list of texts"),
            Self::Object => expect(value.is_object(), &"an object"),
            Self::Objects => expect(objects(value).is_some(), &"a list of objects"),
            Self::Choice => expect(value.is_string() || value.is_object(), &"a word or an object"),
            Self::Stop => expect(value.is_string() || texts(value).is_some(), &"a text or a list of texts"),
            Self::Model => {
                expect(value.is_string(), &"a text")?;
                model(name, value.as_str().unwrap_or_default())
            }
            Self::Models => {
                let names = texts(value).filter(|names| (1..=32).contains(&names.len()));
                expect(names.is_some(), &"a list of 1 to 32 names")?;
                let mut names = names.into_iter().flatten().enumerate();
                names.try_for_each(|(index, model_name)| model(&format!("{name}[{index}]"), model_name))
            }
            Self::Provider => {
                expect(value.is_object(), &"an object")?;
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .try_for_each(|(member, value)| provider(member, value))
            }
            Self::Plugins => {
                let plugins = objects(value);
                expect(plugins.is_some(), &"a list of objects")?;
                let mut plugins = plugins.into_iter().flatten().enumerate();
                plugins.try_for_each(|(index, plugin)| {
                    let has_id = plugin.get("id").is_some_and(Value::is_string);
                    if has_id { Ok(()) } else { Err(fault(format!("{name}[{index}].id"), "is required")) }
                })
            }
        }
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn objects(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    value.as_array()?.iter().map(Value::as_object).collect()
}

fn model(field: &str, name: &str) -> Result<(), Fault> {
    match name {
        "" => Err(fault(field, "is empty")),
        name if name.len() > 256 => Err(fault(field, "is longer than 256 bytes")),
        name if name.contains(PREFIX) => Err(fault(field, "is a preset; a preset cannot name another")),
        _ => Ok(()),
    }
}

fn provider(member: &str, value: &Value) -> Result<(), Fault> {
    let field = format!("provider.{member}");
    let kind = PROVIDER.iter().find(|(known, _)| *known == member).map(|(_, kind)| *kind);
    kind.ok_or_else(|| fault(field.as_str(), "is no preference about providers"))?.check(&field, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_refused_by_its_member() {
        for (config, expected) in [
            ("", Ok(0)),
            ("{}", Ok(0)),
            (r#"{"model":"a/b","temperature":0.2,"max_tokens":100,"stop":"x","cache_ttl":60}"#, Ok(5)),
            (
                r#"{"models":["a/b","policy/p"],"provider":{"sort":"price","preferred_max_latency":{"p90":2}}}"#,
                Ok(2),
            ),
            (r#"{"plugins":[{"id":"response-healing"}],"tools":[{"type":"function"}],"stop":["a"]}"#, Ok(3)),
            ("[]", Err(" is not an object")),
            ("{", Err(" is no JSON: it breaks off or goes wrong at line 1, column 1")),
            (r#"{"messages":[]}"#, Err("messages belongs to a call; a preset has a system prompt instead")),
            (r#"{"stream":true}"#, Err("stream belongs to a call")),
            (r#"{"preset":"x"}"#, Err("preset is there already: a preset cannot name another")),
            (r#"{"temprature":1}"#, Err("temprature is no member that a preset can have")),
            (r#"{"temperature":"hot"}"#, Err("temperature is not a number from 0 to 2")),
            (r#"{"temperature":3}"#, Err("temperature is not a number from 0 to 2")),
            (r#"{"temperature":null}"#, Err("temperature is not a number from 0 to 2")),
            (r#"{"max_tokens":0}"#, Err("max_tokens is not a whole number from 1 to 9223372036854775807")),
            (r#"{"max_tokens":1.5}"#, Err("max_tokens is not a whole number from 1 to 9223372036854775807")),
            (r#"{"model":""}"#, Err("model is empty")),
            (r#"{"model":"@preset/x"}"#, Err("model is a preset; a preset cannot name another")),
            (
                r#"{"models":["a/b","c/d@preset/x"]}"#,
                Err("models[1] is a preset; a preset cannot name another"),
            ),
            (r#"{"models":[]}"#, Err("models is not a list of 1 to 32 names")),
            (r#"{"provider":{"onyl":["x"]}}"#, Err("provider.onyl is no preference about providers")),
            (r#"{"provider":{"only":"x"}}"#, Err("provider.only is not a list of texts")),
            (r#"{"plugins":[{"id":"a"},{"enabled":true}]}"#, Err("plugins[1].id is required")),
            (r#"{"cache_ttl":86401}"#, Err("cache_ttl is not a whole number from 1 to 86400")),
        ] {
            let found = read(config).map(|members| members.len()).map_err(|fault| fault.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{config}");
        }
    }

    #[test]
    fn a_config_has_a_largest_size() {
        let config = format!(r#"{{"verbosity":"{}"}}"#, "x".repeat(LARGEST_CONFIG));
        assert_eq!(read(&config).unwrap_err().reason, "is larger than 131072 bytes");
    }
}
