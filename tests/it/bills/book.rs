//! Published prices: OpenRouter's own list of models as it was recorded, and the shared catalogue.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use switchyard_proto::price::written::{Override, Schedule};
use switchyard_proto::price::{Parts, UnitPrice, Written};

use crate::conformance::exchange::Exchange;

/// Where a price was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// OpenRouter's list of models.
    List,
    /// The shared catalogue.
    Catalogue,
    /// The name says that it is free.
    Free,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "OpenRouter's list",
            Self::Catalogue => "the catalogue",
            Self::Free => "`:free`",
        }
    }
}

/// All published prices.
pub struct Book {
    /// By public name.
    list: BTreeMap<String, Written>,
    /// By public name and provider, and by a provider's own name and provider.
    catalogue: BTreeMap<(String, String), Written>,
    free: Written,
}

/// Names of our prices by OpenRouter's, which are per unit, and by the catalogue's, which are per million.
const LISTED: &[(&str, &str)] = &[
    ("prompt", "input"),
    ("completion", "output"),
    ("input_cache_read", "cached_input"),
    ("input_cache_write", "cache_write"),
    ("input_cache_write_1h", "cache_write_1h"),
    ("internal_reasoning", "reasoning"),
];
const CATALOGUED: &[(&str, &str)] = &[
    ("input", "input"),
    ("output", "output"),
    ("cache_read", "cached_input"),
    ("cache_write", "cache_write"),
    ("cache_write_1h", "cache_write_1h"),
    ("cache_write_12h", "cache_write_1h"),
    ("reasoning_output", "reasoning"),
    ("audio_input", "audio_input"),
];

/// Who serves, in OpenRouter's words.
const SERVED_BY: &[(&str, &str)] = &[
    ("Amazon Bedrock", "amazon-bedrock"),
    ("Anthropic", "anthropic"),
    ("Google AI Studio", "google-ai-studio"),
    ("OpenAI", "openai"),
    ("xAI", "xai"),
];

impl Book {
    pub fn read(catalogue: &Path, exchanges: &[Exchange]) -> Self {
        let text = fs::read_to_string(catalogue).unwrap();
        let rows: Value = serde_json::from_str(&text).unwrap();
        let lists = exchanges.iter().filter(|exchange| exchange.place.starts_with("openrouter/models/"));
        let lists = lists.filter_map(|exchange| serde_json::from_slice::<Value>(&exchange.body).ok());
        let listed = lists.flat_map(|list| list["data"].as_array().cloned().unwrap_or_default());
        Self {
            list: listed.map(|model| (text_of(&model, "id"), listed_price(&model["pricing"]))).collect(),
            catalogue: rows["models"].as_array().into_iter().flatten().flat_map(catalogued).collect(),
            free: Written::default(),
        }
    }

    /// The price of a recorded call's model, where it is known.
    pub fn price(&self, exchange: &Exchange) -> Option<(&Written, Source)> {
        let asked = exchange.request.as_ref().map(|request| text_of(request, "model"))?;
        if asked.ends_with(":free") {
            return Some((&self.free, Source::Free));
        }
        if let Some(price) = self.list.get(&asked) {
            return Some((price, Source::List));
        }
        let provider = served_by(exchange);
        let exact = self.catalogue.get(&(asked.clone(), provider));
        let of_any = || self.catalogue.iter().find(|((model, _), _)| *model == asked).map(|(_, price)| price);
        let is_resold = exchange.provider == "openrouter" || exchange.provider == "vercel-gateway";
        let price = exact.or_else(|| is_resold.then(of_any).flatten());
        price.map(|price| (price, Source::Catalogue))
    }
}

/// The provider that answered; who sells others' answers says whose it was.
fn served_by(exchange: &Exchange) -> String {
    let answer = String::from_utf8_lossy(&exchange.body);
    let named = |(name, _): &&(&str, &str)| {
        answer.contains(&format!("\"provider\":\"{name}\""))
            || answer.contains(&format!("\"provider\": \"{name}\""))
    };
    match SERVED_BY.iter().find(named) {
        Some((_, provider)) if exchange.provider == "openrouter" => (*provider).to_owned(),
        _ => exchange.provider.clone(),
    }
}

fn listed_price(pricing: &Value) -> Written {
    let overrides = pricing["overrides"].as_array().into_iter().flatten().map(|row| Override {
        min_prompt_tokens: row["min_prompt_tokens"].as_u64(),
        price: listed_parts(row),
        ..Override::default()
    });
    let schedule = Schedule { overrides: overrides.collect(), versions: Vec::new() };
    Written { parts: listed_parts(pricing), schedule }
}

fn listed_parts(pricing: &Value) -> Parts {
    let per_million = |text: &str| UnitPrice::parse_per_unit(text).unwrap().per_million();
    let parts = LISTED.iter().filter_map(|(theirs, ours)| {
        pricing[theirs].as_str().map(|text| ((*ours).to_owned(), per_million(text)))
    });
    let per_unit = [("web_search", "search"), ("request", "request"), ("image", "image")];
    let per_unit = per_unit.iter().filter_map(|(theirs, ours)| {
        pricing[theirs].as_str().map(|text| ((*ours).to_owned(), text.to_owned()))
    });
    Parts(parts.chain(per_unit).collect())
}

fn catalogued(row: &Value) -> Vec<((String, String), Written)> {
    let tiers = row["tiers_usd_per_million"].as_array().into_iter().flatten().map(|tier| Override {
        min_prompt_tokens: tier["applies_when_input_tokens_above"].as_u64(),
        price: catalogued_parts(tier),
        ..Override::default()
    });
    let schedule = Schedule { overrides: tiers.collect(), versions: Vec::new() };
    let price = Written { parts: catalogued_parts(&row["prices_usd_per_million"]), schedule };
    let provider = text_of(row, "provider");
    ["id", "provider_model_id"].map(|name| ((text_of(row, name), provider.clone()), price.clone())).into()
}

fn catalogued_parts(prices: &Value) -> Parts {
    let parts = CATALOGUED.iter().filter_map(|(theirs, ours)| {
        prices[theirs].as_str().map(|text| ((*ours).to_owned(), text.to_owned()))
    });
    Parts(parts.collect())
}

fn text_of(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
