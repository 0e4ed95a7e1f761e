//! Bodies of calls about keys, read member by member. Pure.
//!
//! A member that nobody knows is refused: a limit that was misspelt would be none.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use switchyard_proto::{code::ErrorCode, money::NanoUsd, secret::Secret};

use crate::{
    account::refusal::Refusal,
    domain::{
        account::{Reset, SpendLimit},
        key::Draft,
    },
};

/// What is asked of a key; what was not sent is `None`.
#[derive(Debug, Default)]
pub struct Asked {
    pub name: Option<String>,
    pub disabled: Option<bool>,
    /// `Some(None)` takes the limit away.
    pub limit: Option<Option<NanoUsd>>,
    pub reset: Option<Reset>,
    pub include_byok: Option<bool>,
    /// `Some(None)`: never.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// Brought from elsewhere.
    pub secret: Option<Secret>,
    pub workspace: Option<String>,
}

impl Asked {
    /// Changes what was sent. A reset without a limit has nothing to reset.
    pub fn apply(&self, draft: &mut Draft) {
        if let Some(name) = &self.name {
            draft.name.clone_from(name);
        }
        draft.disabled = self.disabled.unwrap_or(draft.disabled);
        draft.include_byok_in_limit = self.include_byok.unwrap_or(draft.include_byok_in_limit);
        draft.expires_at = self.expires_at.unwrap_or(draft.expires_at);
        let amount = self.limit.unwrap_or(draft.limit.map(|limit| limit.usd));
        let reset = self.reset.or(draft.limit.map(|limit| limit.reset)).unwrap_or_default();
        draft.limit = amount.map(|usd| SpendLimit { usd, reset });
    }
}

/// Reads the body that makes a key.
///
/// # Errors
/// 400 naming the member at fault.
pub fn create(body: &[u8]) -> Result<Asked, Refusal> {
    let asked = read(body, &["expires_at", "external", "workspace_id", "creator_user_id"])?;
    match asked.name {
        None => Err(Refusal::invalid("name", "is required")),
        Some(_) => Ok(asked),
    }
}

/// Reads the body that changes a key.
///
/// # Errors
/// 400 naming the member at fault.
pub fn update(body: &[u8]) -> Result<Asked, Refusal> {
    read(body, &["disabled", "expires_at"])
}

const ALWAYS: [&str; 4] = ["name", "limit", "limit_reset", "include_byok_in_limit"];

fn read(body: &[u8], more: &[&str]) -> Result<Asked, Refusal> {
    let members: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| Refusal::new(ErrorCode::InvalidRequest, "The body is not a JSON object in UTF-8."))?;
    let mut asked = Asked::default();
    for (name, value) in &members {
        if !ALWAYS.contains(&name.as_str()) && !more.contains(&name.as_str()) {
            let shown: String = name.chars().take(80).collect();
            return Err(Refusal::invalid(&shown, "is not a member of this body"));
        }
        take(&mut asked, name, value)?;
    }
    Ok(asked)
}

fn take(asked: &mut Asked, name: &str, value: &Value) -> Result<(), Refusal> {
    match name {
        "name" => asked.name = Some(text(name, value)?),
        "disabled" => asked.disabled = Some(flag(name, value)?),
        "include_byok_in_limit" => asked.include_byok = Some(flag(name, value)?),
        "limit" => asked.limit = Some(nullable(value, |value| dollars(name, value))?),
        "limit_reset" => asked.reset = Some(nullable(value, |value| reset(name, value))?.unwrap_or_default()),
        "expires_at" => asked.expires_at = Some(nullable(value, |value| moment(name, value))?),
        "workspace_id" => asked.workspace = nullable(value, |value| text(name, value))?,
        "external" => asked.secret = external(value)?,
        // Tenants have no members here.
        _ if value.is_null() => {}
        _ => return Err(Refusal::invalid(name, "is not supported: leave it out, or null")),
    }
    Ok(())
}

fn nullable<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

fn text(name: &str, value: &Value) -> Result<String, Refusal> {
    value.as_str().map(str::to_owned).ok_or_else(|| Refusal::invalid(name, "is not a text"))
}

fn flag(name: &str, value: &Value) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| Refusal::invalid(name, "is neither true nor false"))
}

/// A JSON number of dollars, exactly as it is written out.
fn dollars(name: &str, value: &Value) -> Result<NanoUsd, Refusal> {
    let number = value.as_f64().ok_or_else(|| Refusal::invalid(name, "is not a number of dollars"))?;
    let amount = NanoUsd::parse(&number.to_string());
    let amount = amount.map_err(|error| Refusal::invalid(name, &error.to_string()))?;
    match i64::try_from(amount.0) {
        Ok(_) => Ok(amount),
        Err(_) => Err(Refusal::invalid(name, "is too large")),
    }
}

fn reset(name: &str, value: &Value) -> Result<Reset, Refusal> {
    match value.as_str() {
        Some("daily") => Ok(Reset::Daily),
        Some("weekly") => Ok(Reset::Weekly),
        Some("monthly") => Ok(Reset::Monthly),
        _ => Err(Refusal::invalid(name, "is none of daily, weekly, monthly and null")),
    }
}

fn moment(name: &str, value: &Value) -> Result<DateTime<Utc>, Refusal> {
    let read = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    read.map(Into::into).ok_or_else(|| Refusal::invalid(name, "is not a time, e.g. `2027-01-01T00:00:00Z`"))
}

/// A key that was made elsewhere; whose it is there is not remembered.
fn external(value: &Value) -> Result<Option<Secret>, Refusal> {
    let members = value.as_object().ok_or_else(|| Refusal::invalid("external", "is not an object"))?;
    if members.get("user").is_some_and(|user| !user.is_null()) {
        return Err(Refusal::invalid("external.user", "is not supported: leave it out, or null"));
    }
    match members.get("api_key") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(secret)) => Ok(Some(Secret::new(secret.clone()))),
        Some(_) => Err(Refusal::invalid("external.api_key", "is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(dollars: &str, reset: Reset) -> Option<SpendLimit> {
        Some(SpendLimit { usd: NanoUsd::parse(dollars).unwrap(), reset })
    }

    #[test]
    fn what_was_sent_is_changed_and_nothing_else() {
        let draft = Draft {
            name: "ci".into(),
            limit: limit("5", Reset::Daily),
            include_byok_in_limit: true,
            ..Draft::default()
        };
        for (body, expected) in [
            ("{}", draft.clone()),
            (r#"{"name": "cd"}"#, Draft { name: "cd".into(), ..draft.clone() }),
            (r#"{"disabled": true}"#, Draft { disabled: true, ..draft.clone() }),
            (r#"{"limit": 0.1}"#, Draft { limit: limit("0.1", Reset::Daily), ..draft.clone() }),
            (r#"{"limit": 1e3}"#, Draft { limit: limit("1000", Reset::Daily), ..draft.clone() }),
            (r#"{"limit": 0}"#, Draft { limit: limit("0", Reset::Daily), ..draft.clone() }),
            (r#"{"limit": null}"#, Draft { limit: None, ..draft.clone() }),
            (r#"{"limit": null, "limit_reset": "weekly"}"#, Draft { limit: None, ..draft.clone() }),
            (r#"{"limit_reset": "monthly"}"#, Draft { limit: limit("5", Reset::Monthly), ..draft.clone() }),
            (r#"{"limit_reset": null}"#, Draft { limit: limit("5", Reset::Never), ..draft.clone() }),
            (r#"{"include_byok_in_limit": false}"#, Draft { include_byok_in_limit: false, ..draft.clone() }),
            (
                r#"{"expires_at": "2027-01-01T01:00:00+01:00"}"#,
                Draft { expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()), ..draft.clone() },
            ),
        ] {
            let mut changed = draft.clone();
            update(body.as_bytes()).unwrap().apply(&mut changed);
            assert_eq!(changed, expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        for (body, field) in [
            (r#"{"name": 1}"#, "name"),
            (r#"{"limit": "5"}"#, "limit"),
            (r#"{"limit": -1}"#, "limit"),
            (r#"{"limit": 0.0000000001}"#, "limit"),
            (r#"{"limit": 1e10}"#, "limit"),
            (r#"{"limit": 1e300}"#, "limit"),
            (r#"{"limit_reset": "yearly"}"#, "limit_reset"),
            (r#"{"disabled": "yes"}"#, "disabled"),
            (r#"{"expires_at": "soon"}"#, "expires_at"),
            (r#"{"limitt": 5}"#, "limitt"),
            (r#"{"workspace_id": "x"}"#, "workspace_id"),
        ] {
            let refusal = update(body.as_bytes()).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::InvalidRequest, Some(field)),
                "{body}"
            );
        }
        for body in ["", "[]", "null", "{\"name\": \"\u{0}", "\u{feff}{}"] {
            assert_eq!(update(body.as_bytes()).unwrap_err().code, ErrorCode::InvalidRequest, "{body}");
        }
        assert_eq!(update(&[0xff]).unwrap_err().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn a_new_key_has_a_name_and_may_be_brought_along() {
        assert_eq!(create(b"{}").unwrap_err().field.as_deref(), Some("name"));
        let brought =
            create(br#"{"name": "x", "external": {"api_key": "k", "user": null}, "creator_user_id": null}"#);
        assert_eq!(brought.unwrap().secret.unwrap().expose(), "k");
        for (body, field) in [
            (r#"{"name": "x", "external": {"user": "u"}}"#, "external.user"),
            (r#"{"name": "x", "external": {"api_key": 1}}"#, "external.api_key"),
            (r#"{"name": "x", "external": "k"}"#, "external"),
            (r#"{"name": "x", "creator_user_id": "u"}"#, "creator_user_id"),
            (r#"{"name": "x", "disabled": true}"#, "disabled"),
        ] {
            assert_eq!(create(body.as_bytes()).unwrap_err().field.as_deref(), Some(field), "{body}");
        }
    }
}
