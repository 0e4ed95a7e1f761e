//! A webhook as the control plane's entry, and back.

use switchyard_proto::{secret::Secret, v1};

use crate::apply::{
    file::Webhook,
    manifest::{BadField, secret},
    variables::{self, Variables},
};

impl Webhook {
    pub(super) fn to_proto(&self, variables: &Variables) -> Result<v1::WebhookEntry, BadField> {
        let url = variables::expand(&self.url, variables).map_err(|error| BadField::new("url", error))?;
        let (secret, secret_ref) = secret("secret", self.secret.as_ref(), variables)?;
        let webhook = v1::Webhook {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            url,
            description: self.description.clone(),
            disabled: self.disabled,
            events: self.events.clone(),
            thresholds: self.thresholds.clone(),
            low_balance_usd: self.low_balance_usd.clone(),
            secret,
            ..v1::Webhook::default()
        };
        Ok(v1::WebhookEntry { webhook: Some(webhook), secret_ref })
    }

    /// From the control plane's answer; `secret` is what the file shall say in its place.
    pub fn of_proto(webhook: v1::Webhook, secret: Option<Secret>) -> Self {
        Self {
            id: webhook.id,
            tenant: webhook.tenant,
            url: variables::escape(&webhook.url),
            description: webhook.description,
            disabled: webhook.disabled,
            events: webhook.events,
            thresholds: webhook.thresholds,
            low_balance_usd: webhook.low_balance_usd,
            secret,
        }
    }
}
