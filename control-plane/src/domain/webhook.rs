//! Webhooks: where events about money are sent, and which.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::Serialize;
use switchyard_guard::address;
use switchyard_proto::{
    id::{TenantId, WebhookId},
    secret::Secret,
};
use uuid::Uuid;

use crate::domain::{
    credential,
    invalid::{self, Invalid},
    meta::Meta,
};

/// A share of a limit is used up.
pub const BUDGET_THRESHOLD: &str = "budget.threshold";
/// Few credits are left.
pub const CREDITS_LOW: &str = "credits.low";
/// Sent when somebody asks for it, whatever a webhook wants to hear.
pub const TEST: &str = "webhook.test";

/// What a webhook may choose from.
const EVENTS: [&str; 2] = [BUDGET_THRESHOLD, CREDITS_LOW];
/// Where a webhook is told of a limit unless it says otherwise, in percent.
const THRESHOLDS: [i32; 2] = [80, 100];
const MOST_THRESHOLDS: usize = 10;
/// What secrets begin with, as Standard Webhooks have it; base64 follows.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, as Standard Webhooks have it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What its owner chooses of a webhook, the secret apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub url: String,
    pub description: String,
    pub disabled: bool,
    /// Empty: all.
    pub events: Vec<String>,
    /// Percent; ascending, at least one.
    pub thresholds: Vec<i32>,
    /// `None`: not told of.
    pub low_balance_nano: Option<i64>,
}

/// A webhook as it is stored: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    /// `None`: the operator's, which hears of all tenants.
    pub tenant: Option<TenantId>,
    pub draft: Draft,
    pub meta: Meta,
}

impl Webhook {
    /// `tenant/webhook`, or the id alone: how people see it among all.
    pub fn shown(&self) -> String {
        shown(self.tenant.as_ref(), &self.id)
    }
}

/// `tenant/webhook`, or the id alone.
pub fn shown(tenant: Option<&TenantId>, id: &WebhookId) -> String {
    match tenant {
        Some(tenant) => format!("{tenant}/{id}"),
        None => id.to_string(),
    }
}

/// An event on its way, or at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: Uuid,
    pub kind: String,
    pub state: String,
    pub tries: u32,
    /// Of the last answer; 0: none came.
    pub status: u32,
    pub error: String,
    pub created_at: DateTime<Utc>,
    pub next_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub body: String,
}

impl Draft {
    /// The same in its one form: thresholds in order and each once, the usual ones where none are chosen.
    pub fn in_order(mut self) -> Self {
        if self.thresholds.is_empty() {
            self.thresholds = THRESHOLDS.to_vec();
        }
        self.thresholds.sort_unstable();
        self.thresholds.dedup();
        self
    }

    /// Checks everything that needs no other row. Where the URL leads is checked whenever it is connected to.
    ///
    /// # Errors
    /// Names the field as it is called in `Webhook`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::required("url", &self.url, 2000)?;
        address::read(&self.url).map_err(|error| {
            let reason = error.to_string();
            Invalid::new("url", format!("cannot be used: {reason}"))
        })?;
        invalid::text("description", &self.description, 1000)?;
        for (index, event) in self.events.iter().enumerate() {
            if !EVENTS.contains(&event.as_str()) {
                return Err(Invalid::new(
                    format!("events[{index}]"),
                    format!("is none of {}", EVENTS.join(", ")),
                ));
            }
        }
        if self.thresholds.len() > MOST_THRESHOLDS {
            return Err(Invalid::new("thresholds", format!("has more than {MOST_THRESHOLDS} entries")));
        }
        let wrong = self.thresholds.iter().position(|percent| !(1..=1000).contains(percent));
        if let Some(index) = wrong {
            return Err(Invalid::new(format!("thresholds[{index}]"), "is not between 1 and 1000"));
        }
        match self.low_balance_nano {
            Some(amount) if amount <= 0 => Err(Invalid::new("low_balance_usd", "is not more than 0")),
            Some(_) | None => Ok(()),
        }
    }
}

/// The id of an event that receivers see, the same at every try.
pub fn message_id(id: Uuid) -> String {
    format!("msg_{}", id.simple())
}

/// Checks an id that its owner chose.
///
/// # Errors
/// Names `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    credential::check_id(id)
}

/// A secret in the form of Standard Webhooks, made here.
pub fn new_secret() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes)))
}

/// The bytes that a secret signs with.
///
/// # Errors
/// Names `secret`, never what it is.
pub fn signing_key(secret: &Secret) -> Result<Vec<u8>, Invalid> {
    let bytes = secret.expose().strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    bytes.ok_or_else(|| Invalid::new("secret", "is not `whsec_` and the base64 of 24 to 64 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_checked_by_field() {
        let fine = Draft { url: "https://hooks.example.com/x?y=1".into(), ..Draft::default() };
        assert_eq!(fine.check(), Ok(()));
        assert_eq!(fine.clone().in_order().thresholds, THRESHOLDS);
        for (draft, field) in [
            (Draft::default(), "url"),
            (Draft { url: "ftp://x".into(), ..fine.clone() }, "url"),
            (Draft { url: "https://u:p@x/".into(), ..fine.clone() }, "url"),
            (Draft { events: vec![CREDITS_LOW.into(), "everything".into()], ..fine.clone() }, "events[1]"),
            (Draft { thresholds: vec![80, 0], ..fine.clone() }, "thresholds[1]"),
            (Draft { thresholds: vec![50; 11], ..fine.clone() }, "thresholds"),
            (Draft { low_balance_nano: Some(0), ..fine.clone() }, "low_balance_usd"),
        ] {
            assert_eq!(draft.check().unwrap_err().field, field);
        }
        let mixed = Draft { thresholds: vec![100, 50, 100], ..fine };
        assert_eq!(mixed.in_order().thresholds, [50, 100]);
    }

    #[test]
    fn secrets_are_those_of_standard_webhooks_and_do_not_show() {
        assert_eq!(signing_key(&new_secret()).unwrap().len(), 32);
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (secret, fine) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            ("whsec_not base64 canary".to_owned(), false),
            (of(32).replace("whsec_", ""), false),
        ] {
            let found = signing_key(&Secret::new(secret.as_str()));
            assert_eq!(found.is_ok(), fine, "{secret}");
            assert!(!format!("{found:?}").contains("canary"));
        }
    }
}
