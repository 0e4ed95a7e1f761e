//! Providers that this machine has: keys in the environment, and model servers that listen here.
//!
//! Only looks. What is done with what was found is `first_start`'s business.

mod local;

use std::collections::HashMap;

use switchyard_control_plane::catalogue;
use switchyard_data_plane::adapters;
use switchyard_proto::v1;

/// A provider with its models, ready to be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub provider: v1::Provider,
    pub models: Vec<(v1::Model, v1::Endpoint)>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Can be used.
    Usable {
        /// The variable or the server.
        from: String,
        offer: Box<Offer>,
    },
    /// Cannot be used yet.
    Missing { from: String, why: String },
}

impl Found {
    /// What can be configured.
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Usable { offer, .. } => Some(offer),
            Self::Missing { .. } => None,
        }
    }
}

/// Looks at the environment, and for servers on this machine but not on our own ports.
pub async fn look(variables: &HashMap<String, String>, ours: &[u16]) -> Vec<Found> {
    let mut found = in_environment(variables);
    found.extend(local::look(variables, ours).await);
    found
}

/// Providers whose usual variables are set, as the built-in catalogue knows them.
fn in_environment(variables: &HashMap<String, String>) -> Vec<Found> {
    let spoken: Vec<&str> = adapters::ADAPTERS.iter().map(|adapter| adapter.name()).collect();
    let offer = catalogue::discover(|name| variables.get(name).cloned(), &spoken);
    let usable = offer.usable.into_iter().filter_map(|found| {
        let manifest = catalogue::manifest_for(&[(&found.provider.id, found.credential)]);
        Some(Found::Usable {
            from: found.variable.to_owned(),
            offer: Box::new(to_offer(found.variable, manifest)?),
        })
    });
    let missing = offer.without_adapter.into_iter().map(|found| Found::Missing {
        from: found.variable.to_owned(),
        why: format!(
            "{} needs the adapter `{}`, which is not there yet",
            found.provider.display_name, found.provider.adapter
        ),
    });
    let unplaced = offer.without_url.into_iter().map(|found| Found::Missing {
        from: found.variable.to_owned(),
        why: format!(
            "{} has an address for each account: `switchyard provider create {id} --profile {id} --base-url {}`",
            found.provider.display_name,
            found.provider.base_url,
            id = found.provider.id
        ),
    });
    usable.chain(missing).chain(unplaced).collect()
}

/// The one provider of a manifest, and its models.
fn to_offer(variable: &str, manifest: v1::Manifest) -> Option<Offer> {
    let mut provider = manifest.providers.into_iter().next()?;
    variable.clone_into(&mut provider.credential_ref);
    let pair = |entry: v1::ModelEntry| Some((entry.model?, entry.endpoints.into_iter().next()?));
    Some(Offer { provider, models: manifest.models.into_iter().filter_map(pair).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_brings_its_provider_with_its_models() {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let found = in_environment(&HashMap::from([set("OPENAI_API_KEY", "sk-1"), set("GROQ_API_KEY", "")]));
        let [Found::Usable { from, offer }] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((from.as_str(), offer.provider.id.as_str()), ("OPENAI_API_KEY", "openai"));
        assert_eq!(offer.provider.credential_ref, "OPENAI_API_KEY");
        assert!(offer.models.iter().all(|(_, endpoint)| endpoint.provider == "openai"));
        assert!(!offer.models.is_empty());
    }

    #[test]
    fn a_provider_whose_address_nobody_knows_is_mentioned_with_what_to_do() {
        let variables = HashMap::from([("CLOUDFLARE_API_TOKEN".to_owned(), "c".to_owned())]);
        let found = in_environment(&variables);
        let [Found::Missing { from, why }] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(from, "CLOUDFLARE_API_TOKEN");
        assert!(
            why.contains("--profile cloudflare --base-url https://") && why.contains("{account}"),
            "{why}"
        );
    }
}
