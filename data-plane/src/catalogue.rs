//! What `/models` and its friends list, from a snapshot, as the caller sees it: its tenant's models, providers and prices.
//!
//! Pure; the shapes are OpenRouter's, and OpenAI's and Anthropic's where theirs fit in. Who asks is the server's business;
//! `select` filters and sorts, `model`, `endpoint` and `pricing` print.

pub mod endpoint;
pub mod model;
pub mod pricing;
pub mod query;
pub mod select;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::catalogue::query::Query;
use crate::config::snapshot::{Endpoint, Model, Snapshot};
use crate::identity::Caller;
use crate::routing::filter::{self, account};
use crate::routing::health::{Reading, fleet};

/// Models whose answers are this are not for chat.
const EMBEDDINGS: &str = "embeddings";

/// Whom a catalogue is shown to, and when.
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    pub config: &'a Snapshot,
    /// Absent: the public, which sees the operator's catalogue.
    pub caller: Option<&'a Caller>,
    /// Whose prices are shown.
    pub now: DateTime<Utc>,
    pub doing: &'a dyn Fn(&Endpoint) -> Doing,
}

/// How an endpoint does.
#[derive(Debug, Clone, Default)]
pub struct Doing {
    pub reading: Reading,
    /// What the whole fleet saw, where it was told.
    pub fleet: Option<Arc<fleet::View>>,
}

/// A model as it is seen: with the endpoints that may serve it, of which there is one at least.
#[derive(Clone)]
pub struct Seen<'a> {
    pub model: &'a Model,
    pub endpoints: Vec<&'a Endpoint>,
}

impl<'a> Viewer<'a> {
    /// Every model that is seen, newest first.
    pub fn models(&self) -> Vec<Seen<'a>> {
        let models = self.config.catalogue.models.values();
        let mut seen: Vec<Seen<'a>> = models.filter_map(|model| self.see(model)).collect();
        seen.sort_by(|one, two| {
            two.created().cmp(&one.created()).then_with(|| one.model.id.cmp(&two.model.id))
        });
        seen
    }

    /// The model of a name, if it is seen: an id, an alias or a unique bare name, with suffixes such as `:free` or without.
    pub fn model(&self, name: &str) -> Option<Seen<'a>> {
        let mut base = name;
        loop {
            if let Some(model) = self.config.model(base) {
                return self.see(model);
            }
            base = base.rsplit_once(':')?.0;
        }
    }

    fn see(&self, model: &'a Arc<Model>) -> Option<Seen<'a>> {
        if model.config.disabled || !self.may_use(model) {
            return None;
        }
        let endpoints = model.endpoints.iter().map(|endpoint| &**endpoint);
        let endpoints: Vec<&Endpoint> = endpoints.filter(|endpoint| self.sees(endpoint)).collect();
        (!endpoints.is_empty()).then_some(Seen { model, endpoints })
    }

    fn may_use(&self, model: &Model) -> bool {
        self.caller.is_none_or(|Caller { tenant, key }| {
            let lists = [&tenant.config.allowed_models, &key.config.allowed_models];
            lists.into_iter().all(|list| filter::covers(list, model.id.as_str()))
        })
    }

    fn sees(&self, endpoint: &Endpoint) -> bool {
        let owner = endpoint.provider.tenant.as_ref();
        endpoint.is_enabled()
            && match self.caller.map(|caller| &*caller.tenant) {
                None => owner.is_none(),
                Some(tenant) => {
                    owner.is_none_or(|owner| *owner == tenant.id)
                        && account::admits(&tenant.config, self.config.credentials(&tenant.id), endpoint)
                }
            }
    }
}

impl<'a> Seen<'a> {
    /// Unix seconds; 0 where nobody said.
    pub fn created(&self) -> i64 {
        self.model.config.created.as_ref().map_or(0, |at| at.seconds)
    }

    /// What it is shown as: its name, else its id.
    pub fn name(&self) -> &'a str {
        if self.model.config.name.is_empty() { self.model.id.as_str() } else { &self.model.config.name }
    }

    /// Kinds of input; text where nobody said.
    pub fn inputs(&self) -> Vec<&'a str> {
        modalities(&self.model.config.input_modalities)
    }

    /// Kinds of output; text where nobody said.
    pub fn outputs(&self) -> Vec<&'a str> {
        modalities(&self.model.config.output_modalities)
    }

    /// Every parameter that some endpoint supports.
    pub fn parameters(&self) -> Vec<&'a str> {
        let named = self.endpoints.iter().flat_map(|endpoint| &endpoint.config.supported_parameters);
        let mut names: Vec<&str> = named.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The largest window that an endpoint has, in tokens.
    pub fn context_length(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.context_length()).max().unwrap_or_default()
    }

    /// The cheapest endpoint, of the default tier where there is one: a model is shown at its price.
    pub fn top(&self, viewer: &Viewer<'_>) -> &'a Endpoint {
        let by_price = |endpoint: &&&Endpoint| {
            let prices = pricing::shown(viewer, endpoint);
            (!endpoint.config.service_tier.is_empty(), prices.input.0.saturating_add(prices.output.0))
        };
        self.endpoints.iter().min_by_key(by_price).expect("a model without endpoints is not seen")
    }
}

fn modalities(list: &[String]) -> Vec<&str> {
    if list.is_empty() { vec!["text"] } else { list.iter().map(String::as_str).collect() }
}

/// `GET /models` and `GET /models/user`; `path` is which of them.
pub fn list(viewer: &Viewer<'_>, query: &Query, path: &str) -> Value {
    let chosen = select::choose(viewer, viewer.models(), query);
    page(viewer, &chosen, query, path)
}

/// `GET /models/count`.
pub fn count(viewer: &Viewer<'_>, query: &Query) -> Value {
    json!({"data": {"count": select::choose(viewer, viewer.models(), query).len()}})
}

/// `GET /embeddings/models`.
pub fn embeddings(viewer: &Viewer<'_>, query: &Query) -> Value {
    let chosen: Vec<Seen<'_>> =
        viewer.models().into_iter().filter(|seen| seen.outputs().contains(&EMBEDDINGS)).collect();
    page(viewer, &chosen, query, "/embeddings/models")
}

/// One page of models, in OpenRouter's envelope with OpenAI's and Anthropic's members beside.
fn page(viewer: &Viewer<'_>, chosen: &[Seen<'_>], query: &Query, path: &str) -> Value {
    let rest = &chosen[query.offset.min(chosen.len())..];
    let shown = &rest[..query.limit.unwrap_or(rest.len()).min(rest.len())];
    let id = |seen: Option<&Seen<'_>>| seen.map(|seen| seen.model.id.as_str().to_owned());
    let data: Vec<Value> = shown.iter().map(|seen| model::describe(viewer, seen).into()).collect();
    let has_more = shown.len() < rest.len();
    json!({
        "object": "list",
        "data": data,
        "total_count": chosen.len(),
        "links": {"next": has_more.then(|| query.next_page(path))},
        "has_more": has_more,
        "first_id": id(shown.first()),
        "last_id": id(shown.last()),
    })
}

/// `GET /model/{author}/{slug}`: under `data`, and as it is for OpenAI's clients, which ask for `/models/{id}`.
pub fn one(viewer: &Viewer<'_>, seen: &Seen<'_>) -> Value {
    let mut fields = model::describe(viewer, seen);
    fields.insert("data".to_owned(), Value::Object(fields.clone()));
    Value::Object(fields)
}

/// `GET /models/{author}/{slug}/endpoints`.
pub fn endpoints(viewer: &Viewer<'_>, seen: &Seen<'_>) -> Value {
    let endpoints: Vec<Value> =
        seen.endpoints.iter().map(|endpoint| endpoint::describe(viewer, seen, endpoint)).collect();
    json!({"data": {
        "id": seen.model.id.as_str(),
        "name": seen.name(),
        "created": seen.created(),
        "description": seen.model.config.description,
        "architecture": model::architecture(seen),
        "endpoints": endpoints,
    }})
}

/// `GET /endpoints/zdr`: endpoints whose providers keep nothing at all of a request.
pub fn zdr(viewer: &Viewer<'_>) -> Value {
    let seen = viewer.models();
    let rows = seen.iter().flat_map(|seen| seen.endpoints.iter().map(move |endpoint| (seen, endpoint)));
    let rows = rows.filter(|(_, endpoint)| endpoint.provider.keeps_nothing());
    let data: Vec<Value> = rows.map(|(seen, endpoint)| endpoint::describe(viewer, seen, endpoint)).collect();
    json!({"data": data})
}

/// `GET /providers`: those that serve some model that is seen, by slug.
pub fn providers(viewer: &Viewer<'_>) -> Value {
    let seen = viewer.models();
    let providers = seen.iter().flat_map(|seen| &seen.endpoints).map(|endpoint| &endpoint.provider);
    let mut rows: Vec<(&str, &str)> =
        providers.map(|provider| (provider.id.as_str(), provider.display_name.as_str())).collect();
    rows.sort_unstable();
    rows.dedup();
    let row = |(slug, name): &(&str, &str)| {
        json!({
            "name": name,
            "slug": slug,
            // Nobody tells us these.
            "privacy_policy_url": null,
            "terms_of_service_url": null,
            "status_page_url": null,
            "headquarters": null,
            "datacenters": null,
        })
    };
    json!({"data": rows.iter().map(row).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests;
