//! One preset, from its wire form: read as the requests are that it will be part of.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use switchyard_proto::id::{PresetId, TenantId};
use switchyard_proto::preset::{self, OF_THE_CACHE};
use switchyard_proto::v1;

use super::{Fault, fault};
use crate::api::openai_chat;
use crate::config::snapshot::preset::Preset;
use crate::wire::patch::{self, ObjectWriter};

/// Compiles a preset; a fault names its field, as `config.temperature`.
pub(super) fn compile(config: v1::PresetConfig, revision: u64) -> Result<Preset, Fault> {
    let read = preset::read(&config.config).map_err(|found| fault(within(&found.field), found.reason))?;
    let text = config.config.as_bytes();
    let places = patch::members(text).unwrap_or_default();
    let raw = |name: &str| patch::value(text, &places, name).map(Bytes::copy_from_slice).unwrap_or_default();
    let of_requests = read.keys().filter(|name| !OF_THE_CACHE.contains(&name.as_str()));
    let row = Preset {
        id: PresetId::new(config.id.as_str()),
        tenant: TenantId::new(config.tenant.as_str()),
        members: of_requests.map(|name| (name.clone(), raw(name))).collect(),
        system: system(&config.system_prompt),
        cache_enabled: read.get("cache_enabled").and_then(Value::as_bool),
        cache_ttl: read.get("cache_ttl").and_then(Value::as_u64),
        config,
        revision,
    };
    try_out(&row)?;
    Ok(row)
}

fn within(member: &str) -> String {
    if member.is_empty() { "config".to_owned() } else { format!("config.{member}") }
}

fn system(prompt: &str) -> Option<Bytes> {
    let message = || json!({"role": "system", "content": prompt}).to_string();
    (!prompt.is_empty()).then(|| message().into())
}

/// A preset that no request could be made with would fail all of its calls.
fn try_out(row: &Preset) -> Result<(), Fault> {
    let mut out = BytesMut::new();
    let mut writer = ObjectWriter::open(&mut out);
    row.members.iter().for_each(|(name, json)| writer.member(name, json));
    writer.member("messages", br#"[{"role":"user","content":"?"}]"#);
    writer.close();
    match openai_chat::decode(out.freeze()) {
        // A tool that is chosen may be declared by the request.
        Err(bad) if !bad.field.starts_with("tool_choice") => Err(fault(within(&bad.field), bad.message)),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(system_prompt: &str, config: &str) -> v1::PresetConfig {
        v1::PresetConfig {
            id: "p".into(),
            tenant: "acme".into(),
            system_prompt: system_prompt.into(),
            config: config.into(),
            ..Default::default()
        }
    }

    #[test]
    fn members_stay_byte_for_byte_and_the_caches_are_not_among_them() {
        let text = r#"{"temperature":0.10,"cache_enabled":false,"cache_ttl":60,"logit_bias":{"5":1e2}}"#;
        let row = compile(config("Be \"terse\".", text), 1).ok().unwrap();
        let members: Vec<(&str, &[u8])> =
            row.members.iter().map(|(name, json)| (name.as_str(), &json[..])).collect();
        assert_eq!(members, [("temperature", &b"0.10"[..]), ("logit_bias", br#"{"5":1e2}"#)]);
        assert_eq!((row.cache_enabled, row.cache_ttl), (Some(false), Some(60)));
        assert_eq!(row.system.unwrap(), r#"{"role":"system","content":"Be \"terse\"."}"#);
    }

    #[test]
    fn a_preset_that_no_request_could_have_is_refused_by_its_field() {
        for (text, field) in [
            ("{", Some("config")),
            (r#"{"messages":[]}"#, Some("config.messages")),
            (r#"{"provider":{"sort":"size"}}"#, Some("config.provider.sort")),
            (r#"{"reasoning":{"effort":"some"}}"#, Some("config.reasoning.effort")),
            (r#"{"tools":[{"type":"function"}]}"#, Some("config.tools[0].function")),
            (r#"{"tool_choice":{"type":"function","function":{"name":"later"}}}"#, None),
            (r#"{"model":"a/b","temperature":1}"#, None),
        ] {
            let found = compile(config("", text), 1).err().map(|fault| fault.field);
            assert_eq!(found.as_deref(), field, "{text}");
        }
    }
}
