//! What `switchyard export` writes: everything that a file can say, secrets as the names of variables.

use std::collections::HashSet;

use switchyard_proto::{secret::Secret, v1};

use crate::apply::{
    file::{Credential, File, Key, Model, Provider, Tenant, Webhook},
    policy::Policy,
};

/// The YAML of a manifest; applied again it changes nothing.
pub fn to_yaml(manifest: v1::Manifest) -> String {
    let file = to_file(manifest);
    format!(
        "# Secrets are environment variables; where one is not set, `switchyard apply` keeps the stored secret.\n{}",
        file.to_yaml()
    )
}

fn to_file(manifest: v1::Manifest) -> File {
    let mut names = Names::default();
    let providers = manifest.providers.into_iter().map(|provider| {
        let credential = provider.has_credential.then(|| names.placeholder("PROVIDER", &provider.id));
        Provider::of_proto(provider, credential)
    });
    let providers = providers.collect();
    let tenants = manifest.tenants.into_iter().map(|entry| tenant(entry, &mut names)).collect();
    let webhooks = manifest.webhooks.into_iter().map(|entry| {
        let webhook = entry.webhook.unwrap_or_default();
        let owner = if webhook.tenant.is_empty() { String::new() } else { format!("{}_", webhook.tenant) };
        let secret = names.placeholder("WEBHOOK", &format!("{owner}{}", webhook.id));
        Webhook::of_proto(webhook, Some(secret))
    });
    File {
        providers,
        models: manifest.models.into_iter().map(Model::of_proto).collect(),
        policies: manifest.policies.into_iter().map(Policy::of_proto).collect(),
        tenants,
        webhooks: webhooks.collect(),
    }
}

fn tenant(entry: v1::TenantEntry, names: &mut Names) -> Tenant {
    let mut tenant = Tenant::of_proto(entry.tenant.unwrap_or_default());
    for entry in entry.keys {
        let key = entry.key.unwrap_or_default();
        let secret = names.placeholder("KEY", &format!("{}_{}", tenant.id, key.name));
        tenant.keys.push(Key::of_proto(key, Some(secret)));
    }
    for entry in entry.credentials {
        let credential = entry.credential.unwrap_or_default();
        let secret = names.placeholder("CREDENTIAL", &format!("{}_{}", tenant.id, credential.id));
        tenant.credentials.push(Credential::of_proto(credential, Some(secret)));
    }
    tenant
}

/// Variables that were named so far: two ids may differ only in characters that a variable cannot have.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// `${SWITCHYARD_<KIND>_<ID>}`.
    fn placeholder(&mut self, kind: &str, id: &str) -> Secret {
        let id: String = id.chars().map(variable_character).collect();
        let name = format!("SWITCHYARD_{kind}_{id}");
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.0.contains(name));
        let free = free.expect("numbers do not end");
        self.0.insert(free.clone());
        Secret::new(format!("${{{free}}}"))
    }
}

fn variable_character(character: char) -> char {
    if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_unique_variable_names() {
        let mut names = Names::default();
        let mut name = |kind, id: &str| names.placeholder(kind, id).expose().to_owned();
        assert_eq!(name("PROVIDER", "open-ai"), "${SWITCHYARD_PROVIDER_OPEN_AI}");
        assert_eq!(name("KEY", "acme_ci ü"), "${SWITCHYARD_KEY_ACME_CI__}");
        assert_eq!(name("PROVIDER", "open_ai"), "${SWITCHYARD_PROVIDER_OPEN_AI_2}");
    }
}
