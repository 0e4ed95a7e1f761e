//! Whether an answer may come from the response cache, for how long it is kept, and which requests are the same.

use std::time::Duration;

use sha2::{Digest, Sha256};
use switchyard_proto::preset::CACHE_TTL;

use crate::config::snapshot::preset::Preset;
use crate::identity::Caller;
use crate::model::request::ChatRequest;

/// How long answers are kept where nobody says, in seconds.
const USUAL_TTL: u64 = 300;

/// What a request's head says of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// `X-OpenRouter-Cache`.
    pub enabled: Option<bool>,
    /// `X-OpenRouter-Cache-TTL`, in seconds.
    pub ttl: Option<u64>,
    /// `X-OpenRouter-Cache-Clear`: what is kept is not good any more.
    pub clears: bool,
}

impl Asked {
    /// Reads the three headers; what is not understood says nothing.
    pub fn read(enabled: &str, ttl: &str, clears: &str) -> Self {
        let word = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Self { enabled: word(enabled), ttl: seconds(ttl), clears: word(clears) == Some(true) }
    }
}

/// The leading digits, within what is allowed: `60abc` is 60, `1.5` is 1.
fn seconds(text: &str) -> Option<u64> {
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    // More digits than a number has are more than enough.
    Some(digits.parse().unwrap_or(u64::MAX).clamp(CACHE_TTL.0, CACHE_TTL.1))
}

/// A request whose answer may be kept, and may be one that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub ttl: Duration,
    pub clears: bool,
}

impl Wish {
    /// A preset's no goes over all, then the header's word over the preset's yes. Nothing is kept of a request that
    /// nobody may keep anything of.
    pub fn of(asked: Asked, preset: Option<&Preset>, caller: &Caller, request: &ChatRequest) -> Option<Self> {
        let of_preset = preset.and_then(|preset| preset.cache_enabled);
        let is_wanted = of_preset != Some(false) && asked.enabled.or(of_preset) == Some(true);
        let is_private = caller.tenant.config.zdr || request.provider.zdr;
        let ttl = asked.ttl.or(preset.and_then(|preset| preset.cache_ttl)).unwrap_or(USUAL_TTL);
        (is_wanted && !is_private).then_some(Self { ttl: Duration::from_secs(ttl), clears: asked.clears })
    }
}

/// Tells a request from all that are not the same.
pub type Key = [u8; 32];

/// The key of a request as it is planned: of this key's alone, in this dialect, with everything that it was sent with or
/// that was done to it. `others` are parts of its head that may change where it goes.
pub fn key<'a>(
    caller: &Caller,
    surface: &str,
    request: &ChatRequest,
    others: impl IntoIterator<Item = &'a str>,
) -> Key {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(caller.tenant.id.as_str().as_bytes());
    part(caller.key.id.as_str().as_bytes());
    part(surface.as_bytes());
    part(&[u8::from(request.stream)]);
    part(&request.source.body);
    part(request.source.own.as_deref().unwrap_or_default());
    // Answers of some dialects repeat what they were asked.
    part(serde_json::json!(*request.echo).to_string().as_bytes());
    // The automatic model is others after another choice.
    let models = request.model.iter().chain(&request.fallback_models);
    models.for_each(|model| part(model.as_bytes()));
    part(b"");
    others.into_iter().for_each(|other| part(other.as_bytes()));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use switchyard_proto::v1::resource::Body;
    use switchyard_proto::v1::{KeyConfig, PresetConfig, TenantConfig};

    use super::*;
    use crate::api::surface::Surface;
    use crate::config::fixtures;

    fn asked(members: &Value) -> ChatRequest {
        let mut body = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        Surface::ChatCompletions.decode(body.to_string().into()).unwrap()
    }

    fn caller(tenant: TenantConfig, key: &str) -> Caller {
        let mut rows = fixtures::tenant();
        let id = tenant.id.clone();
        rows[0].body = Some(Body::Tenant(tenant));
        let Some(Body::Key(config)) = rows[1].body.take() else {
            panic!("the fixture's second row is a key")
        };
        rows[1].body = Some(Body::Key(KeyConfig { id: key.into(), tenant: id.clone(), ..config }));
        let snapshot = fixtures::full(rows).snapshot;
        let hash = switchyard_proto::key::KeyHash::of(fixtures::SECRET);
        let key = snapshot.keys.get(&hash).unwrap().clone();
        Caller { tenant: snapshot.tenants.get(id.as_str()).unwrap().clone(), key }
    }

    fn acme() -> Caller {
        caller(TenantConfig { id: "acme".into(), ..Default::default() }, "key_1")
    }

    fn preset(config: &str) -> Preset {
        let config = PresetConfig {
            id: "p".into(),
            tenant: "acme".into(),
            config: config.into(),
            ..Default::default()
        };
        let rows = fixtures::tenant().into_iter().chain([fixtures::resource(Body::Preset(config))]);
        let snapshot = fixtures::full(rows).snapshot;
        let tenant = fixtures::caller(&snapshot).tenant.id.clone();
        Preset::clone(snapshot.preset(&tenant, "p").unwrap())
    }

    #[test]
    fn headers_are_read_leniently() {
        for (ttl, expected) in [
            ("60", Some(60)),
            ("60abc", Some(60)),
            ("1.5", Some(1)),
            ("0", Some(1)),
            ("99999999", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(Asked::read("", ttl, "").ttl, expected, "{ttl}");
        }
        for (word, expected) in
            [("true", Some(true)), ("TRUE ", Some(true)), ("false", Some(false)), ("1", None), ("", None)]
        {
            assert_eq!(
                Asked::read(word, "", word),
                Asked { enabled: expected, ttl: None, clears: expected == Some(true) }
            );
        }
    }

    #[test]
    fn a_presets_no_goes_over_the_header_and_the_headers_no_over_a_presets_yes() {
        for (preset_says, header, expected) in [
            (None, None, None),
            (None, Some(true), Some(300)),
            (None, Some(false), None),
            (Some(r#"{"cache_enabled":true,"cache_ttl":60}"#), None, Some(60)),
            (Some(r#"{"cache_enabled":true}"#), Some(false), None),
            (Some(r#"{"cache_enabled":false}"#), Some(true), None),
            (Some(r#"{"cache_ttl":60}"#), None, None),
            (Some(r#"{"cache_ttl":60}"#), Some(true), Some(60)),
        ] {
            let preset = preset_says.map(preset);
            let asked_for = Asked { enabled: header, ..Asked::default() };
            let wish = Wish::of(asked_for, preset.as_ref(), &acme(), &asked(&json!({})));
            assert_eq!(wish.map(|wish| wish.ttl.as_secs()), expected, "{preset_says:?} {header:?}");
        }
        let preset = preset(r#"{"cache_ttl":60}"#);
        let header = Asked { enabled: Some(true), ttl: Some(7), clears: true };
        let wish = Wish::of(header, Some(&preset), &acme(), &asked(&json!({}))).unwrap();
        assert_eq!((wish.ttl.as_secs(), wish.clears), (7, true));
    }

    #[test]
    fn where_nothing_may_be_kept_nothing_is() {
        let header = Asked { enabled: Some(true), ..Asked::default() };
        let strict = caller(TenantConfig { id: "acme".into(), zdr: true, ..Default::default() }, "key_1");
        assert_eq!(Wish::of(header, None, &strict, &asked(&json!({}))), None);
        let request = asked(&json!({"provider": {"zdr": true}}));
        assert_eq!(Wish::of(header, None, &acme(), &request), None);
    }

    #[test]
    fn whatever_may_change_the_answer_makes_another_key() {
        let of = |caller: &Caller, surface: &str, members: Value, others: &[&str]| {
            key(caller, surface, &asked(&members), others.iter().copied())
        };
        let first = of(&acme(), "chat_completions", json!({}), &["", "high"]);
        assert_eq!(of(&acme(), "chat_completions", json!({}), &["", "high"]), first, "the same is the same");
        let tenant = |id: &str| TenantConfig { id: id.into(), ..Default::default() };
        let mut keys = vec![
            first,
            of(&caller(tenant("rival"), "key_1"), "chat_completions", json!({}), &["", "high"]),
            of(&caller(tenant("acme"), "key_2"), "chat_completions", json!({}), &["", "high"]),
            of(&acme(), "messages", json!({}), &["", "high"]),
            of(&acme(), "chat_completions", json!({"stream": true}), &["", "high"]),
            of(&acme(), "chat_completions", json!({"temperature": 0}), &["", "high"]),
            of(&acme(), "chat_completions", json!({"model": "a/c"}), &["", "high"]),
            of(&acme(), "chat_completions", json!({"user": "u"}), &["", "high"]),
            of(&acme(), "chat_completions", json!({"unheard_of": 1}), &["", "high"]),
            of(&acme(), "chat_completions", json!({}), &["high", ""]),
            of(&acme(), "chat_completions", json!({}), &["", "low"]),
        ];
        let mut chosen = asked(&json!({}));
        chosen.fallback_models.push("a/d".into());
        keys.push(key(&acme(), "chat_completions", &chosen, ["", "high"]));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
