//! The built-in catalogue: providers and models that can be configured by naming them.
//!
//! Rows are embedded JSON under `catalogue/`; prices are USD per million tokens. `dev` turns the rows of the providers
//! whose credentials it finds into a manifest and applies it; nothing here is read while serving.

mod families;
pub mod profile;

use std::{collections::BTreeMap, sync::LazyLock};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use switchyard_proto::{
    price::{Parts, Written, written},
    secret::Secret,
    v1,
};

pub use self::families::{Facts, Family, facts, families};
use crate::domain::edition::Edition;

/// A provider that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub id: String,
    pub display_name: String,
    /// A dialect; the data planes may not have it yet.
    pub adapter: String,
    /// Parts in braces, such as `{account}`, are the operator's to fill in.
    pub base_url: String,
    /// Other names that people look for it by.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// How the credential is shown; empty: the dialect's own way.
    #[serde(default)]
    pub auth: String,
    /// Environment variables that usually hold its credential, the first one by preference; none where servers of
    /// one's own mostly want none, or where a credential is put together from several.
    pub credential_env: Vec<String>,
    #[serde(default)]
    pub data_policy: Option<DataPolicy>,
    #[serde(default)]
    pub quirks: BTreeMap<String, String>,
    /// Closing the connection stops billing.
    #[serde(default)]
    pub cancel_stops_billing: bool,
}

/// What a provider does with prompts, by its own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPolicy {
    pub retains_prompts: bool,
    pub trains: bool,
    /// It keeps nothing at all; absent: as `retains_prompts` says.
    #[serde(default)]
    pub zdr: Option<bool>,
}

/// A model and where it is served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    pub name: String,
    pub input_modalities: Vec<String>,
    pub output_modalities: Vec<String>,
    pub endpoints: Vec<Endpoint>,
}

/// A model at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub provider: String,
    pub upstream_id: String,
    pub context_length: u64,
    pub max_output_tokens: u64,
    pub price: Parts,
    /// Other prices, for prompts of more tokens than each says.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// Announced prices.
    #[serde(default)]
    pub later: Vec<Later>,
    pub supported_parameters: Vec<String>,
    /// Where they differ from the model's.
    #[serde(default)]
    pub input_modalities: Vec<String>,
}

/// Prices for long prompts; what is not named stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub above: u64,
    pub price: Parts,
}

/// All prices from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    pub from: DateTime<Utc>,
    pub price: Parts,
}

static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../catalogue/providers.json")).expect("a test reads the embedded file")
});

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../catalogue/models.json")).expect("a test reads the embedded file")
});

static NOTED: LazyLock<Edition> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../catalogue/edition.json")).expect("a test reads the embedded file")
});

/// This program's edition of what rows take from here when they are pushed.
///
/// The checksum is taken and not read: while somebody works on the rows, the noted one lags behind.
pub fn edition() -> Edition {
    Edition { version: NOTED.version, checksum: checksum() }
}

fn checksum() -> String {
    let taken = [include_str!("../catalogue/providers.json"), include_str!("../catalogue/families.json")];
    let digest = ring::digest::digest(&ring::digest::SHA256, taken.concat().as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Every provider.
pub fn providers() -> &'static [Provider] {
    &PROVIDERS
}

/// Every model.
pub fn models() -> &'static [Model] {
    &MODELS
}

/// A provider whose credential was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub provider: &'static Provider,
    /// The variable that held it.
    pub variable: &'static str,
    pub credential: Secret,
}

/// What an environment has to offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Can be configured now.
    pub usable: Vec<Found>,
    /// Have a credential, but no data plane speaks their dialect.
    pub without_adapter: Vec<Found>,
    /// Have a credential, but nobody knows which base URL is theirs.
    pub without_url: Vec<Found>,
}

/// Looks for providers' credentials; `adapters` are the dialects that exist.
pub fn discover(variable: impl Fn(&str) -> Option<String>, adapters: &[&str]) -> Offer {
    let found = providers().iter().filter_map(|provider| {
        let mut names = provider.credential_env.iter();
        let (name, value) =
            names.find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))?;
        Some(Found { provider, variable: name, credential: Secret::new(value.trim()) })
    });
    let (spoken, without_adapter): (Vec<Found>, _) =
        found.partition(|found| adapters.contains(&found.provider.adapter.as_str()));
    let (without_url, usable) = spoken.into_iter().partition(|found| found.provider.has_blanks());
    Offer { usable, without_adapter, without_url }
}

/// A manifest of these providers and of every model that one of them serves. Unknown ids are passed over.
pub fn manifest_for(credentials: &[(&str, Secret)]) -> v1::Manifest {
    let chosen = |id: &str| credentials.iter().find(|(chosen, _)| *chosen == id);
    let providers = providers().iter().filter_map(|row| Some(row.to_proto(&chosen(&row.id)?.1)));
    let models = models().iter().filter_map(|model| model.to_proto(|provider| chosen(provider).is_some()));
    v1::Manifest { providers: providers.collect(), models: models.collect(), ..Default::default() }
}

impl Offer {
    /// The manifest of what can be configured now.
    pub fn manifest(&self) -> v1::Manifest {
        let chosen: Vec<(&str, Secret)> =
            self.usable.iter().map(|found| (found.provider.id.as_str(), found.credential.clone())).collect();
        manifest_for(&chosen)
    }
}

impl Provider {
    /// Whether the base URL has parts that only the operator knows.
    pub fn has_blanks(&self) -> bool {
        self.base_url.contains('{')
    }

    /// The provider by its profile alone.
    fn to_proto(&self, credential: &Secret) -> v1::Provider {
        v1::Provider {
            id: self.id.clone(),
            profile: self.id.clone(),
            credential: credential.expose().to_owned(),
            ..v1::Provider::default()
        }
    }
}

impl Model {
    /// The model with the endpoints that are wanted; `None` if that is none.
    fn to_proto(&self, wanted: impl Fn(&str) -> bool) -> Option<v1::ModelEntry> {
        let endpoints = self.endpoints.iter().filter(|endpoint| wanted(&endpoint.provider));
        let endpoints: Vec<v1::Endpoint> = endpoints.map(|endpoint| endpoint.to_proto(&self.id)).collect();
        let model = v1::Model {
            id: self.id.clone(),
            name: self.name.clone(),
            input_modalities: self.input_modalities.clone(),
            output_modalities: self.output_modalities.clone(),
            ..v1::Model::default()
        };
        (!endpoints.is_empty()).then_some(v1::ModelEntry { model: Some(model), endpoints })
    }
}

impl Endpoint {
    fn to_proto(&self, model: &str) -> v1::Endpoint {
        let row = providers().iter().find(|provider| provider.id == self.provider);
        v1::Endpoint {
            model: model.to_owned(),
            id: self.provider.clone(),
            provider: self.provider.clone(),
            upstream_id: self.upstream_id.clone(),
            context_length: self.context_length,
            max_output_tokens: self.max_output_tokens,
            price: Some((&self.price()).into()),
            supported_parameters: self.supported_parameters.clone(),
            cancel_stops_billing: row.is_some_and(|row| row.cancel_stops_billing),
            input_modalities: self.input_modalities.clone(),
            ..v1::Endpoint::default()
        }
    }

    fn price(&self) -> Written {
        let tiers = self.tiers.iter().map(|tier| written::Override {
            min_prompt_tokens: Some(tier.above),
            price: tier.price.clone(),
            ..written::Override::default()
        });
        let later = self.later.iter().map(|later| written::Version {
            from: Some(later.from),
            price: later.price.clone(),
            overrides: Vec::new(),
        });
        let schedule = written::Schedule { overrides: tiers.collect(), versions: later.collect() };
        Written { parts: self.price.clone(), schedule }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use switchyard_proto::{auth::Scheme, id, price::Tariff};

    use super::*;

    #[test]
    fn every_row_can_be_configured() {
        let ids: HashSet<&str> = providers().iter().map(|provider| provider.id.as_str()).collect();
        assert_eq!(ids.len(), providers().len());
        let mut names = HashSet::new();
        for provider in providers() {
            for name in std::iter::once(&provider.id).chain(&provider.aliases) {
                assert!(id::is_slug(name) && names.insert(name), "{name}");
            }
            let is_at_home = provider.base_url.starts_with("http://localhost:");
            assert!(is_at_home || provider.base_url.starts_with("https://"), "{}", provider.id);
            let scheme = match provider.auth.as_str() {
                "" => Scheme::of_adapter(&provider.adapter),
                name => name.parse().unwrap(),
            };
            let is_put_together = scheme == Scheme::SigV4;
            let is_found = !provider.credential_env.is_empty();
            assert!(is_at_home || is_put_together || is_found, "{}", provider.id);
            let url = provider.base_url.replace(['{', '}'], "");
            assert!(crate::domain::provider::origin(&url).is_ok(), "{url}");
        }
        let mut models_seen = HashSet::new();
        for model in models() {
            assert!(id::is_model(&model.id) && models_seen.insert(&model.id), "{}", model.id);
            let mut at = HashSet::new();
            for endpoint in &model.endpoints {
                let name = format!("{} at {}", model.id, endpoint.provider);
                assert!(ids.contains(endpoint.provider.as_str()) && at.insert(&endpoint.provider), "{name}");
                Tariff::parse(&endpoint.price()).unwrap();
                let others = endpoint.tiers.iter().map(|tier| &tier.price);
                let others = others.chain(endpoint.later.iter().map(|later| &later.price));
                for price in std::iter::once(&endpoint.price).chain(others) {
                    check_plausible(&price.0, model.output_modalities != ["embeddings"], &name);
                }
                let above = endpoint.tiers.iter().map(|tier| tier.above);
                assert!(above.clone().all(|above| above < endpoint.context_length), "{name}");
                assert!(above.is_sorted(), "{name}: the last one that holds wins");
                let known = [
                    "input",
                    "cached_input",
                    "cache_write",
                    "cache_write_1h",
                    "output",
                    "reasoning",
                    "audio_input",
                ];
                assert!(endpoint.price.0.keys().all(|price| known.contains(&price.as_str())), "{name}");
                assert!(endpoint.context_length > 0, "{name}");
                let puts_out = model.output_modalities != ["embeddings"];
                assert_eq!(endpoint.max_output_tokens > 0, puts_out, "{name}");
            }
        }
    }

    /// Nobody asks more than a thousand dollars for a million tokens, sells cached ones dearer than fresh ones, or
    /// answers for less than a fifth of what they read for.
    fn check_plausible(price: &BTreeMap<String, String>, puts_out: bool, name: &str) {
        let dollars = |part: &str| price.get(part).map(|text| text.parse::<f64>().expect("a decimal"));
        let (input, output) = (dollars("input").expect("given"), dollars("output"));
        let is_plausible = |price: f64| (0.001..1_000.0).contains(&price);
        assert!(is_plausible(input) && output.is_none_or(is_plausible), "{name}: {price:?}");
        // Vectors cost nothing but what they are made of.
        assert_eq!(output.is_some(), puts_out, "{name}");
        assert!(output.is_none_or(|output| output >= input / 5.0), "{name}: {price:?}");
        assert!(dollars("cached_input").is_none_or(|cached| cached <= input), "{name}: {price:?}");
        assert!(dollars("cache_write").is_none_or(|write| write <= 3.0 * input), "{name}: {price:?}");
    }

    #[test]
    fn another_content_is_another_edition() {
        let advice = "the catalogue changed: add one to `version` in edition.json, and note the new checksum";
        assert_eq!(NOTED.checksum, checksum(), "{advice}");
        assert!(NOTED.version > 0, "0 is a store that has seen none");
    }

    #[test]
    fn a_manifest_has_the_chosen_providers_and_their_models_alone() {
        let manifest = manifest_for(&[("groq", Secret::new("gsk-1")), ("nobody", Secret::new("x"))]);
        let [groq] = manifest.providers.as_slice() else { panic!("one provider") };
        assert_eq!((groq.id.as_str(), groq.credential.as_str()), ("groq", "gsk-1"));
        assert!(!manifest.models.is_empty());
        for entry in &manifest.models {
            let providers: Vec<&str> =
                entry.endpoints.iter().map(|endpoint| endpoint.provider.as_str()).collect();
            assert_eq!(providers, ["groq"], "{:?}", entry.model);
        }
    }

    #[test]
    fn long_prompts_have_their_own_price_in_the_whole_window() {
        let manifest = manifest_for(&[("anthropic", Secret::new("x"))]);
        let all = manifest.models.iter().flat_map(|entry| &entry.endpoints);
        let haiku = all.clone().find(|endpoint| endpoint.upstream_id == "claude-haiku-5-5").unwrap();
        let [tier] = haiku.price.as_ref().unwrap().overrides.as_slice() else { panic!("one tier") };
        assert_eq!((haiku.context_length, tier.min_prompt_tokens), (1_000_000, Some(100_000)));
        assert_eq!(tier.price.as_ref().unwrap().input, "0.5");
        let sonnet = all.clone().find(|endpoint| endpoint.upstream_id == "claude-sonnet-5-5").unwrap();
        assert!(sonnet.price.as_ref().unwrap().overrides.is_empty());
    }

    #[test]
    fn announced_prices_begin_on_their_day() {
        let manifest = manifest_for(&[("google-ai-studio", Secret::new("x"))]);
        let all = manifest.models.iter().flat_map(|entry| &entry.endpoints);
        let risen = all.flat_map(|endpoint| {
            let versions = &endpoint.price.as_ref().unwrap().versions;
            versions.iter().map(|version| {
                let from = version.from.as_ref().unwrap().seconds;
                (endpoint.upstream_id.as_str(), from, version.price.as_ref().unwrap().input.as_str())
            })
        });
        let risen: Vec<_> = risen.collect();
        assert_eq!(
            risen,
            [("gemini-4-argon", 1_796_083_200, "4"), ("gemini-3.8-flash", 1_798_761_600, "1.5")]
        );
    }

    #[test]
    fn credentials_are_found_by_their_usual_names() {
        let variables = |name: &str| match name {
            "OPENAI_API_KEY" => Some(" sk-1\n".to_owned()),
            "GOOGLE_API_KEY" => Some("g".to_owned()),
            "GROQ_API_KEY" => Some(String::new()),
            _ => None,
        };
        let offer = discover(variables, &["openai", "anthropic"]);
        let names = |found: &[Found]| {
            found.iter().map(|found| (found.provider.id.as_str(), found.variable)).collect::<Vec<_>>()
        };
        assert_eq!(names(&offer.usable), [("openai", "OPENAI_API_KEY")]);
        assert_eq!(names(&offer.without_adapter), [("google-ai-studio", "GOOGLE_API_KEY")]);
        assert_eq!(offer.manifest().providers[0].credential, "sk-1");
        assert!(!format!("{offer:?}").contains("sk-1"));
    }
}
