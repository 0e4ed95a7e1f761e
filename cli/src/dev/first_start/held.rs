//! What the control plane has already, as far as `dev` must know.

use std::collections::{BTreeMap, BTreeSet};

use switchyard_proto::v1;

use crate::{client::Admin, dev::first_start::TENANT, key, model, provider, tenant};

/// More is not looked at: nobody keeps as much in `dev`.
const MOST: usize = 100_000;

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub has_tenant: bool,
    pub keys: Vec<v1::Key>,
    pub providers: BTreeMap<String, v1::Provider>,
    pub models: BTreeSet<String>,
}

impl Held {
    pub(super) async fn read(admin: &Admin) -> anyhow::Result<Self> {
        let (tenants, providers, models) = tokio::try_join!(
            tenant::list(admin, MOST),
            provider::list(admin, MOST),
            model::list(admin, MOST)
        )?;
        let has_tenant = tenants.iter().any(|tenant| tenant.id == TENANT);
        let keys = if has_tenant { key::list(admin, TENANT, MOST).await? } else { Vec::new() };
        let providers = providers.into_iter().map(|provider| (provider.id.clone(), provider)).collect();
        let models = models.into_iter().map(|model| model.id).collect();
        Ok(Self { has_tenant, keys, providers, models })
    }
}
