//! What must be there when `dev` is up: a tenant, a key, an admin token, and the providers that were found.
//!
//! What is missing is made, in one call; what is there is left as people have made it, but for two things that
//! the machine decides: the address of a server on it, and a credential in the environment.
//! Keys and tokens are on disk before the database knows them, so a start that is cut short can be repeated.

mod echo;
mod held;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use switchyard_control_plane::service;
use switchyard_proto::{
    key::{self, KeyHash},
    seal,
    secret::Secret,
    v1,
};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Admin, Answer},
    control_plane::database,
    data_dir::DataDir,
    dev::{
        discover::{Found, Offer},
        first_start::held::Held,
    },
    fleet,
};

/// The tenant, and the owner of everything that is made here.
pub const TENANT: &str = "dev";

/// What the tenant may spend: a fence around real credentials, and enough for millions of echoes.
/// `switchyard tenant credits dev USD` moves it.
const CREDITS_USD: &str = "100";

/// What was sent along with a provider, as hashes, to see when the environment has another.
const SENT: &str = "credentials-sent.json";

const SERVED: Duration = Duration::from_secs(10);

/// Who uses this `dev`.
pub struct Identity {
    pub key: Secret,
    pub token: Secret,
    /// The first start on this folder.
    pub is_new: bool,
}

/// What should be there.
pub struct Wish {
    tenant: v1::TenantEntry,
    offers: Vec<Offer>,
}

/// What came of the wish.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Every provider that is wished for, and its models.
    pub providers: Vec<(String, usize)>,
}

/// A key that seals, made at the first start and kept in the folder.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn sealing_key(place: &DataDir, name: &str) -> anyhow::Result<String> {
    if let Some(kept) = place.secret(name)? {
        return Ok(kept.expose().to_owned());
    }
    let made = seal::generate_base64();
    place.write_secret(name, &made)?;
    Ok(made)
}

/// Key and admin token, from the folder or fresh.
///
/// # Errors
/// When the folder has lost the token of a database that has one.
pub async fn identity(place: &DataDir, database_url: &Secret) -> anyhow::Result<Identity> {
    let kept = place.secret("admin-token")?;
    let is_new = kept.is_none();
    let token = match kept {
        Some(token) => token,
        None => first_token(place, database_url).await?,
    };
    let key = match place.secret("key")? {
        Some(key) => key,
        None => {
            let key = key::generate(key::KEY_PREFIX);
            place.write_secret("key", key.expose())?;
            key
        }
    };
    Ok(Identity { key, token, is_new })
}

async fn first_token(place: &DataDir, database_url: &Secret) -> anyhow::Result<Secret> {
    let pool = database(database_url).await?;
    let made = service::token::init(&pool).await.context("cannot make an admin token")?;
    pool.close().await;
    let Some(token) = made else {
        bail!(
            "{place}/admin-token is gone, and the database has one: put it back, or remove {place} to start afresh"
        );
    };
    place.write_secret("admin-token", token.expose())?;
    Ok(token)
}

/// The tenant with its key, `echo`, and what was found.
pub fn wish(identity: &Identity, found: &[Found], lab_url: &str) -> Wish {
    let tenant =
        v1::Tenant { id: TENANT.into(), name: "Development".into(), prepaid: true, ..Default::default() };
    let key = v1::Key { name: "dev".into(), ..Default::default() };
    let key = v1::KeyEntry { key: Some(key), secret: identity.key.expose().to_owned(), ..Default::default() };
    let tenant = v1::TenantEntry {
        tenant: Some(tenant),
        credits_usd: CREDITS_USD.into(),
        keys: vec![key],
        ..Default::default()
    };
    let offers = found.iter().filter_map(Found::offer).cloned();
    Wish { tenant, offers: std::iter::once(echo::offer(lab_url)).chain(offers).collect() }
}

/// Makes what is missing of the wish, and brings addresses and credentials up to date.
///
/// # Errors
/// What the control plane refused.
pub async fn bring_about(admin: &Admin, place: &DataDir, wish: &Wish) -> anyhow::Result<Ready> {
    let held = Held::read(admin).await?;
    let manifest = missing(&held, wish);
    if manifest != v1::Manifest::default() {
        let manifest = Some(manifest);
        let request = v1::ApplyRequest { manifest, managed_by: TENANT.into(), ..Default::default() };
        admin.apply().apply(request).await.answer().context("cannot make what `dev` starts with")?;
    }
    add_key(admin, &held, wish).await?;
    add_endpoints(admin, &held, wish).await?;
    refresh(admin, place, &held, wish).await?;
    let models = |offer: &Offer| (offer.provider.id.clone(), offer.models.len());
    Ok(Ready { providers: wish.offers.iter().map(models).collect() })
}

/// Waits until the data plane runs the newest config.
///
/// # Errors
/// When the control plane does not answer. A data plane that takes its time is a warning only.
pub async fn wait_until_served(admin: &Admin) -> anyhow::Result<()> {
    let deadline = Instant::now() + SERVED;
    while Instant::now() < deadline {
        let v1::FleetRevision { attached, current, .. } = fleet::revision(admin).await?;
        if attached > 0 && current == attached {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
    tracing::warn!("the data plane has not taken its config yet; `switchyard fleet instances` says why");
    Ok(())
}

/// The part of the wish that one call can make: a new tenant, new providers, new models.
fn missing(held: &Held, wish: &Wish) -> v1::Manifest {
    let mut manifest = v1::Manifest::default();
    if !held.has_tenant {
        manifest.tenants.push(wish.tenant.clone());
    }
    for offer in &wish.offers {
        if !held.providers.contains_key(&offer.provider.id) {
            manifest.providers.push(offer.provider.clone());
        }
        let new = offer.models.iter().filter(|(model, _)| !held.models.contains(&model.id));
        for (model, endpoint) in new {
            add_model(&mut manifest, model, endpoint);
        }
    }
    manifest
}

/// Two providers may serve the same model.
fn add_model(manifest: &mut v1::Manifest, model: &v1::Model, endpoint: &v1::Endpoint) {
    let same = |entry: &&mut v1::ModelEntry| entry.model.as_ref().is_some_and(|other| other.id == model.id);
    match manifest.models.iter_mut().find(same) {
        Some(entry) => entry.endpoints.push(endpoint.clone()),
        None => manifest
            .models
            .push(v1::ModelEntry { model: Some(model.clone()), endpoints: vec![endpoint.clone()] }),
    }
}

/// The folder's key, where the tenant is older than it.
async fn add_key(admin: &Admin, held: &Held, wish: &Wish) -> anyhow::Result<()> {
    let [entry] = wish.tenant.keys.as_slice() else { return Ok(()) };
    let hash = KeyHash::of(&entry.secret).to_hex();
    if !held.has_tenant || held.keys.iter().any(|key| key.hash == hash) {
        return Ok(());
    }
    let name = match held.keys.iter().any(|key| key.name == "dev") {
        true => format!("dev-{}", &hash[..8]),
        false => "dev".to_owned(),
    };
    let key = Some(v1::Key { name, ..Default::default() });
    let request = v1::CreateKeyRequest { tenant: TENANT.into(), key, secret: entry.secret.clone() };
    admin.keys().create_key(request).await.answer().context("cannot make the key again")?;
    Ok(())
}

/// A new provider's endpoints of models that are there already.
async fn add_endpoints(admin: &Admin, held: &Held, wish: &Wish) -> anyhow::Result<()> {
    let new = wish.offers.iter().filter(|offer| !held.providers.contains_key(&offer.provider.id));
    for (model, endpoint) in new.flat_map(|offer| &offer.models) {
        if !held.models.contains(&model.id) {
            continue;
        }
        let request = v1::CreateEndpointRequest { model: model.id.clone(), endpoint: Some(endpoint.clone()) };
        match admin.endpoints().create_endpoint(request).await {
            Err(status) if status.code() == tonic::Code::AlreadyExists => {}
            answer => drop(answer.answer().with_context(|| format!("cannot serve `{}`", model.id))?),
        }
    }
    Ok(())
}

/// Addresses of servers on this machine and credentials of the environment, where they have changed.
async fn refresh(admin: &Admin, place: &DataDir, held: &Held, wish: &Wish) -> anyhow::Result<()> {
    let sent = sent(place)?;
    let mut now = BTreeMap::new();
    for offer in &wish.offers {
        let id = &offer.provider.id;
        let hash = hash(&offer.provider.credential);
        let is_sent = sent.get(id) == Some(&hash);
        if let Some(there) = held.providers.get(id).filter(|there| there.managed_by == TENANT) {
            update(admin, there, &offer.provider, is_sent).await?;
        }
        now.insert(id.clone(), hash);
    }
    if now != sent {
        place.write_secret(SENT, &serde_json::to_string(&now)?)?;
    }
    Ok(())
}

async fn update(
    admin: &Admin,
    there: &v1::Provider,
    wished: &v1::Provider,
    is_sent: bool,
) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    // One that is known by its profile has no address of its own to compare.
    if !wished.base_url.is_empty() && there.base_url != wished.base_url {
        paths.push("base_url".to_owned());
    }
    // A credential is sealed to its origin, so a new address asks for it again.
    if !wished.credential.is_empty() && (!is_sent || !paths.is_empty()) {
        paths.push("credential".to_owned());
    }
    if paths.is_empty() {
        return Ok(());
    }
    let request = v1::UpdateProviderRequest {
        id: there.id.clone(),
        provider: Some(wished.clone()),
        update_mask: Some(prost_types::FieldMask { paths }),
        revision: 0,
    };
    admin.providers().update_provider(request).await.answer()?;
    Ok(())
}

fn sent(place: &DataDir) -> anyhow::Result<BTreeMap<String, String>> {
    let text = place.secret(SENT)?;
    Ok(text.and_then(|text| serde_json::from_str(text.expose()).ok()).unwrap_or_default())
}

fn hash(credential: &str) -> String {
    Sha256::digest(credential.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
