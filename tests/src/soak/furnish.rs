//! Who may spend how much, and on what: tenants, keys with small limits, and models that do well or badly.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use switchyard_cli::client::{Admin, Answer as _};
use switchyard_proto::v1::{self, AccountKind};

use crate::cluster::plain_endpoint;
use crate::soak::plan::Plan;

/// Callers of one group spend the same keys, one after the other.
pub const GROUPS: usize = 20;
/// The last groups' tenants are prepaid, and half of their keys have no limit of their own.
const PREPAID: usize = 4;
/// What a group spends in a minute.
const KEYS_A_MINUTE: f64 = 16.0;
/// Longer runs have larger limits instead of more keys.
const MOST_KEYS: f64 = 160.0;
/// Nano-dollars; a call costs some 7,000 and reserves twice that.
const LIMIT: std::ops::Range<u64> = 250_000..500_000;

/// The accounts of a run.
#[derive(Debug)]
pub struct Furniture {
    pub groups: Vec<Group>,
    /// Ids of all keys, group by group, once they are made.
    ids: OnceLock<Vec<String>>,
}

#[derive(Debug)]
pub struct Group {
    pub tenant: String,
    /// Nano-dollars; `None`: not prepaid.
    pub credits: Option<u64>,
    pub keys: Vec<Key>,
}

#[derive(Debug)]
pub struct Key {
    pub secret: String,
    /// Nano-dollars; `None`: the tenant's credits alone.
    pub limit: Option<u64>,
}

/// A model, and what its endpoints do, in order; the price is the lab's.
const MODELS: &[(&str, &[(&str, &str)])] = &[
    ("soak/fine", &[("lab", "lorem-12")]),
    ("soak/slow", &[("lab", "lorem-12+slow-20")]),
    // Whoever leaves stops the bill here.
    ("soak/quit", &[("lab", "lorem-12+slow-30")]),
    ("soak/cut", &[("lab", "lorem-12+cut-5")]),
    ("soak/mid", &[("lab", "lorem-12+error-mid-5")]),
    ("soak/early", &[("lab", "lorem-12+cut-early"), ("other", "lorem-12")]),
    ("soak/500", &[("lab", "status-500"), ("other", "lorem-12")]),
    ("soak/inside", &[("lab", "error-in-200"), ("other", "lorem-12")]),
    ("soak/reset", &[("lab", "reset"), ("other", "lorem-12")]),
    ("soak/hang", &[("lab", "hang")]),
    ("soak/stall", &[("lab", "lorem-12+stall-3")]),
];

impl Furniture {
    /// The accounts of a plan, by its seed.
    pub fn of(plan: &Plan) -> Self {
        let mut dice = StdRng::seed_from_u64(plan.seed ^ 0xacc0);
        let wanted = (KEYS_A_MINUTE * plan.lasts.as_secs_f64() / 60.0).max(2.0);
        let keys = wanted.min(MOST_KEYS);
        let mut limit = || (dice.random_range(LIMIT) as f64 * wanted / keys) as u64;
        let groups = (0..GROUPS).map(|number| {
            let is_prepaid = number >= GROUPS - PREPAID;
            let keys = (0..keys as usize).map(|key| Key {
                secret: format!("sk-soak-{:016x}-{number:04}-{key:06}", plan.seed),
                limit: (!is_prepaid || key % 2 == 0).then(&mut limit),
            });
            let keys: Vec<Key> = keys.collect();
            let credits = is_prepaid.then(|| keys.len() as u64 * LIMIT.start / 2);
            Group { tenant: format!("tenant-{number}"), credits, keys }
        });
        Self { groups: groups.collect(), ids: OnceLock::new() }
    }

    /// Makes it all.
    pub async fn make(&self, admin: &Admin, lab: &str) -> Result<()> {
        for id in ["lab", "other"] {
            let provider = v1::Provider {
                id: id.to_owned(),
                adapter: "openai".to_owned(),
                base_url: format!("{lab}/v1"),
                credential: format!("credential-of-{id}"),
                ..Default::default()
            };
            let request = v1::CreateProviderRequest { provider: Some(provider) };
            admin.providers().create_provider(request).await.answer()?;
        }
        for (model, endpoints) in MODELS {
            make_model(admin, model, endpoints).await?;
        }
        let mut ids = Vec::new();
        for group in &self.groups {
            ids.extend(make_group(admin, group).await?);
        }
        self.ids.set(ids).ok().context("it is made once")
    }

    /// What each account may spend, by the ledger's number of its kind and its owner.
    pub fn limits(&self) -> BTreeMap<(i16, String), i64> {
        let ids = self.ids.get().map_or(&[][..], Vec::as_slice);
        let keys = self.groups.iter().flat_map(|group| &group.keys).zip(ids);
        let keys = keys.filter_map(|(key, id)| Some(((AccountKind::KeyLimit, id.clone()), key.limit?)));
        let credits = self
            .groups
            .iter()
            .filter_map(|group| Some(((AccountKind::TenantCredits, group.tenant.clone()), group.credits?)));
        let number = |((kind, owner), limit): ((AccountKind, String), u64)| {
            ((kind as i16, owner), i64::try_from(limit).unwrap_or(i64::MAX))
        };
        keys.chain(credits).map(number).collect()
    }
}

async fn make_model(admin: &Admin, id: &str, endpoints: &[(&str, &str)]) -> Result<()> {
    let model = v1::Model { id: id.to_owned(), ..Default::default() };
    admin.models().create_model(v1::CreateModelRequest { model: Some(model) }).await.answer()?;
    for (provider, behaviour) in endpoints {
        let price = v1::Price { input: "0.1".to_owned(), output: "0.4".to_owned(), ..Default::default() };
        let endpoint = v1::Endpoint {
            id: (*provider).to_owned(),
            price: Some(price),
            cancel_stops_billing: id == "soak/quit",
            ..plain_endpoint(provider, behaviour)
        };
        let request = v1::CreateEndpointRequest { model: id.to_owned(), endpoint: Some(endpoint) };
        admin.endpoints().create_endpoint(request).await.answer()?;
    }
    Ok(())
}

async fn make_group(admin: &Admin, group: &Group) -> Result<Vec<String>> {
    // So many that nobody reaches them: the counters are asked all the same.
    let rates = Some(v1::Rates { requests_per_minute: Some(1_000_000), ..Default::default() });
    let tenant = v1::Tenant { id: group.tenant.clone(), rates, ..Default::default() };
    let credits_usd = group.credits.map(usd).unwrap_or_default();
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd };
    admin.tenants().create_tenant(request).await.answer()?;
    let mut ids = Vec::new();
    for (number, key) in group.keys.iter().enumerate() {
        let limit = key.limit.map(|nano| v1::SpendLimit { usd: usd(nano), reset: v1::Reset::Never.into() });
        let made = v1::Key { name: format!("key-{number}"), limit, ..Default::default() };
        let request = v1::CreateKeyRequest {
            tenant: group.tenant.clone(),
            key: Some(made),
            secret: key.secret.clone(),
        };
        ids.push(admin.keys().create_key(request).await.answer()?.key.context("a key comes back")?.id);
    }
    Ok(ids)
}

fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}
