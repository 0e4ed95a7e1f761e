//! `switchyard tenant`: customer organisations, and their credits.

use clap::{Args, Subcommand, ValueEnum};
use switchyard_proto::v1;

use crate::{
    arguments::{self, Limit, Mask, RateFlags, Reset},
    client::{Admin, Answer, Remote, pages},
    output::{Column, Output},
    price,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("DISABLED", "disabled"),
    ("PREPAID", "prepaid"),
    ("CREDITS LEFT", "credits_left_usd"),
    ("MODELS", "allowed_models"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Tenant {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List tenants, oldest first
    List(Limit),
    /// Show one tenant
    Get { id: String },
    /// Make a tenant
    Create {
        /// Lower-case letters, digits and hyphens
        id: String,
        /// USD granted at once; makes the tenant prepaid
        #[arg(long, value_name = "USD")]
        credits: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change fields of a tenant
    Update {
        id: String,
        #[command(flatten)]
        fields: Fields,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a tenant and its keys
    Delete {
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
    /// Grant credits, or take some back with a negative amount
    Credits {
        id: String,
        #[arg(value_name = "USD", allow_negative_numbers = true)]
        usd: String,
        /// Shown on the ledger line
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Makes a repeated call harmless
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        idempotency_key: String,
        /// Why they move; adjustments and refunds want a reason [default: top-up, or adjustment where some are taken]
        #[arg(long, value_enum)]
        kind: Option<CreditKind>,
        /// Take back credits that are spent or lent already: the balance may become negative
        #[arg(long)]
        force: bool,
    },
}

/// Why credits move.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CreditKind {
    /// Money that came in; only ever grants
    TopUp,
    /// A correction, either way
    Adjustment,
    /// Money paid back; only ever takes
    Refund,
}

impl CreditKind {
    fn to_proto(self) -> v1::CreditKind {
        match self {
            Self::TopUp => v1::CreditKind::TopUp,
            Self::Adjustment => v1::CreditKind::Adjustment,
            Self::Refund => v1::CreditKind::Refund,
        }
    }
}

#[derive(Debug, Args)]
struct Fields {
    /// Shown to people
    #[arg(long)]
    name: Option<String>,
    /// Refuse all its requests
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Spend prepaid credits only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    prepaid: Option<bool>,
    /// Mark-up on provider prices, in parts per million
    #[arg(long, value_name = "PPM")]
    markup_ppm: Option<u64>,
    /// What it pays for some models or providers in place of the mark-up: `model=openai/*,markup_ppm=50000`,
    /// `model=a/b,provider=p,input=1,output=2`; the first that covers both holds. Repeatable, "" clears
    #[arg(long = "price-rule", value_name = "LIST")]
    price_rules: Vec<String>,
    /// A model that it may use, `author/*` for all of one author; repeatable, "" clears
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
    /// A provider that its requests may go to: an id, or `provider/variant`; repeatable, "" clears
    #[arg(long = "allow-provider", value_name = "PROVIDER")]
    allowed_providers: Vec<String>,
    /// A provider that its requests never go to; repeatable, "" clears
    #[arg(long = "ignore-provider", value_name = "PROVIDER")]
    ignored_providers: Vec<String>,
    /// A region that its requests may be served in, all of a provider's `region` or its beginning; repeatable, "" clears
    #[arg(long = "allow-region", value_name = "REGION")]
    allowed_regions: Vec<String>,
    /// Only providers that keep nothing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    zdr: Option<bool>,
    /// `deny`: only providers that neither store nor train; `allow` or "": any
    #[arg(long, value_name = "ALLOW_OR_DENY")]
    data_collection: Option<String>,
    /// What it may spend over a window: daily, weekly, monthly, or the last hours or days (24h, 7d); repeatable,
    /// `WINDOW=none` takes one away, `none` all
    #[arg(long = "budget", value_name = "WINDOW=USD")]
    budgets: Vec<String>,
    /// Count what its own credentials pay for on budgets and users' limits, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    include_byok_in_budgets: Option<bool>,
    /// Most that each of its users may spend over all keys that trust the request's `user`, or `none`
    #[arg(long = "user-limit-usd", value_name = "USD")]
    user_limit: Option<String>,
    /// When users' limits start afresh, at 00:00 UTC
    #[arg(long, value_enum)]
    user_reset: Option<Reset>,
    #[command(flatten)]
    rates: RateFlags,
}

impl Tenant {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let output = self.remote.output;
        match self.verb {
            Verb::List(Limit { limit }) => output.list("Tenant", &list(&admin, limit).await?, COLUMNS),
            Verb::Get { id } => output.one("Tenant", &get(&admin, id).await?),
            Verb::Create { id, credits, fields } => create(&admin, output, id, credits, fields).await,
            Verb::Update { id, fields, revision } => update(&admin, output, id, fields, revision).await,
            Verb::Delete { id, revision } => {
                admin.tenants().delete_tenant(v1::DeleteTenantRequest { id, revision }).await.answer()?;
                Ok(())
            }
            Verb::Credits { id, usd, reason, idempotency_key, kind, force } => {
                let kind = kind.map_or(v1::CreditKind::Unspecified, CreditKind::to_proto).into();
                let request = v1::AdjustCreditsRequest { id, usd, reason, idempotency_key, kind, force };
                output.one("Tenant", &admin.tenants().adjust_credits(request).await.answer()?)
            }
        }
    }
}

/// All tenants, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn list(admin: &Admin, most: usize) -> anyhow::Result<Vec<v1::Tenant>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListTenantsRequest { page_size, page_token };
        let page = admin.tenants().list_tenants(request).await.answer()?;
        Ok((page.tenants, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, id: String) -> anyhow::Result<v1::Tenant> {
    admin.tenants().get_tenant(v1::GetTenantRequest { id }).await.answer()
}

async fn create(
    admin: &Admin,
    output: Output,
    id: String,
    credits: Option<String>,
    fields: Fields,
) -> anyhow::Result<()> {
    let mut tenant = v1::Tenant { id, ..Default::default() };
    fields.put(&mut tenant, &mut Mask::default())?;
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: credits.unwrap_or_default() };
    let made = admin.tenants().create_tenant(request).await.answer()?;
    output.one("Tenant", &made.tenant.unwrap_or_default())
}

async fn update(
    admin: &Admin,
    output: Output,
    id: String,
    fields: Fields,
    revision: Option<u64>,
) -> anyhow::Result<()> {
    let mut tenant = get(admin, id.clone()).await?;
    let mut mask = Mask::default();
    fields.put(&mut tenant, &mut mask)?;
    let revision = revision.unwrap_or(tenant.revision);
    let request = v1::UpdateTenantRequest { id, tenant: Some(tenant), update_mask: mask.finish()?, revision };
    output.one("Tenant", &admin.tenants().update_tenant(request).await.answer()?)
}

impl Fields {
    fn put(self, tenant: &mut v1::Tenant, mask: &mut Mask) -> anyhow::Result<()> {
        mask.put("name", &mut tenant.name, self.name);
        mask.put("disabled", &mut tenant.disabled, self.disabled);
        mask.put("prepaid", &mut tenant.prepaid, self.prepaid);
        mask.put("markup_ppm", &mut tenant.markup_ppm, self.markup_ppm);
        mask.put_list("allowed_models", &mut tenant.allowed_models, self.allowed_models);
        mask.put_list("allowed_providers", &mut tenant.allowed_providers, self.allowed_providers);
        mask.put_list("ignored_providers", &mut tenant.ignored_providers, self.ignored_providers);
        mask.put_list("allowed_regions", &mut tenant.allowed_regions, self.allowed_regions);
        mask.put("zdr", &mut tenant.zdr, self.zdr);
        mask.put("data_collection", &mut tenant.data_collection, self.data_collection);
        let rates = self.rates.over(tenant.rates);
        mask.put("rates", &mut tenant.rates, rates.map(Some));
        mask.put("price_book", &mut tenant.price_book, price::book(&self.price_rules)?);
        let budgets = arguments::budgets(tenant.budgets.clone(), &self.budgets)?;
        mask.put("budgets", &mut tenant.budgets, (!self.budgets.is_empty()).then_some(budgets));
        let byok = self.include_byok_in_budgets;
        mask.put("include_byok_in_budgets", &mut tenant.include_byok_in_budgets, byok);
        let limit = arguments::limit(tenant.user_limit.clone(), self.user_limit.as_deref(), self.user_reset);
        mask.put("user_limit", &mut tenant.user_limit, limit);
        Ok(())
    }
}
