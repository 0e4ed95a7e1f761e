//! `switchyard endpoint`: one model served by one provider.

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::{Limit, Mask},
    client::{Admin, Answer, Remote, pages},
    output::Column,
    price::PriceFlags,
    provider::quirks,
};

const COLUMNS: &[Column] = &[
    ("MODEL", "model"),
    ("ID", "id"),
    ("PROVIDER", "provider"),
    ("UPSTREAM ID", "upstream_id"),
    ("CONTEXT", "context_length"),
    ("INPUT $/M", "price.input"),
    ("OUTPUT $/M", "price.output"),
    ("DISABLED", "disabled"),
    ("REVISION", "revision"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Endpoint {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a model's endpoints, oldest first
    List {
        model: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one endpoint
    Get {
        model: String,
        #[arg(value_name = "ENDPOINT")]
        id: String,
    },
    /// Serve a model by one more provider
    Create {
        model: String,
        /// Unique in its model [default: the provider]
        #[arg(long, default_value = "", hide_default_value = true)]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Change fields of an endpoint
    Update {
        model: String,
        #[arg(value_name = "ENDPOINT")]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete an endpoint
    Delete {
        model: String,
        #[arg(value_name = "ENDPOINT")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// The provider that serves it
    #[arg(long)]
    provider: Option<String>,
    /// The model's name at the provider
    #[arg(long, value_name = "NAME")]
    upstream_id: Option<String>,
    /// Tokens that prompt and answer may have together
    #[arg(long, value_name = "TOKENS")]
    context_length: Option<u64>,
    /// Tokens of an answer; 0: as much as the context length leaves
    #[arg(long, value_name = "TOKENS")]
    max_output_tokens: Option<u64>,
    #[command(flatten)]
    price: PriceFlags,
    /// A request parameter that it understands; repeatable, none: all are tried
    #[arg(long = "parameter", value_name = "NAME")]
    supported_parameters: Vec<String>,
    /// What prompts may hold; repeatable [default: as the model]
    #[arg(long = "input", value_name = "MODALITY")]
    input_modalities: Vec<String>,
    /// E.g. `fp8`
    #[arg(long)]
    quantization: Option<String>,
    /// The provider's tier that it is, e.g. `priority` or `flex`; reached by opt-in alone [default: the default tier]
    #[arg(long, value_name = "TIER")]
    service_tier: Option<String>,
    /// Closing the connection stops the provider's billing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    cancel_stops_billing: Option<bool>,
    #[command(flatten)]
    billing: BillingFlags,
    /// Send it no requests
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// An adapter quirk; repeatable, an empty value removes it
    #[arg(long = "quirk", value_name = "NAME=VALUE")]
    quirks: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    next_help_heading = "Upper bounds of what the provider counts; by default what is known of the model"
)]
struct BillingFlags {
    /// Tokens of the instructions that it adds where tools are declared
    #[arg(long, value_name = "TOKENS")]
    hidden_tool_tokens: Option<u64>,
    /// Most tokens of one image
    #[arg(long, value_name = "TOKENS")]
    tokens_per_image: Option<u64>,
    /// Most tokens of a kibibyte of audio
    #[arg(long, value_name = "TOKENS")]
    tokens_per_audio_kib: Option<u64>,
    /// Most tokens of one file
    #[arg(long, value_name = "TOKENS")]
    tokens_per_file: Option<u64>,
    /// Most tokens of one video
    #[arg(long, value_name = "TOKENS")]
    tokens_per_video: Option<u64>,
    /// Most web searches of one answer where the request lets the provider search
    #[arg(long, value_name = "N")]
    max_searches: Option<u64>,
    /// Most web searches of one answer where the request asks for none
    #[arg(long, value_name = "N")]
    max_searches_unasked: Option<u64>,
    /// Tokens of a stream that money is taken for at a time where it is short; for endpoints that stream all they bill and stop
    /// billing when they are left
    #[arg(long, value_name = "TOKENS")]
    step_tokens: Option<u64>,
}

impl Endpoint {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let output = self.remote.output;
        match self.verb {
            Verb::List { model, limit } => {
                output.list("Endpoint", &list(&admin, &model, limit.limit).await?, COLUMNS)
            }
            Verb::Get { model, id } => output.one("Endpoint", &get(&admin, model, id).await?),
            Verb::Create { model, id, fields } => {
                let mut endpoint = v1::Endpoint { id, ..Default::default() };
                fields.put(&mut endpoint, &mut Mask::default())?;
                let request = v1::CreateEndpointRequest { model, endpoint: Some(endpoint) };
                let made = admin.endpoints().create_endpoint(request).await.answer()?;
                output.one("Endpoint", &made.endpoint.unwrap_or_default())
            }
            Verb::Update { model, id, fields, revision } => {
                let mut endpoint = get(&admin, model.clone(), id.clone()).await?;
                let mut mask = Mask::default();
                fields.put(&mut endpoint, &mut mask)?;
                let request = v1::UpdateEndpointRequest {
                    model,
                    id,
                    revision: revision.unwrap_or(endpoint.revision),
                    endpoint: Some(endpoint),
                    update_mask: mask.finish()?,
                };
                output.one("Endpoint", &admin.endpoints().update_endpoint(request).await.answer()?)
            }
            Verb::Delete { model, id, revision } => {
                let request = v1::DeleteEndpointRequest { model, id, revision };
                admin.endpoints().delete_endpoint(request).await.answer()?;
                Ok(())
            }
        }
    }
}

/// A model's endpoints, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn list(admin: &Admin, model: &str, most: usize) -> anyhow::Result<Vec<v1::Endpoint>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListEndpointsRequest { model: model.to_owned(), page_size, page_token };
        let page = admin.endpoints().list_endpoints(request).await.answer()?;
        Ok((page.endpoints, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, model: String, id: String) -> anyhow::Result<v1::Endpoint> {
    admin.endpoints().get_endpoint(v1::GetEndpointRequest { model, id }).await.answer()
}

impl Fields {
    fn put(self, endpoint: &mut v1::Endpoint, mask: &mut Mask) -> anyhow::Result<()> {
        mask.put("provider", &mut endpoint.provider, self.provider);
        mask.put("upstream_id", &mut endpoint.upstream_id, self.upstream_id);
        mask.put("context_length", &mut endpoint.context_length, self.context_length);
        mask.put("max_output_tokens", &mut endpoint.max_output_tokens, self.max_output_tokens);
        let price = self.price.over(endpoint.price.clone())?;
        mask.put("price", &mut endpoint.price, price.map(Some));
        let billing = self.billing.over(endpoint.billing);
        mask.put("billing", &mut endpoint.billing, billing.map(Some));
        mask.put_list("supported_parameters", &mut endpoint.supported_parameters, self.supported_parameters);
        mask.put_list("input_modalities", &mut endpoint.input_modalities, self.input_modalities);
        mask.put("quantization", &mut endpoint.quantization, self.quantization);
        mask.put("service_tier", &mut endpoint.service_tier, self.service_tier);
        mask.put("cancel_stops_billing", &mut endpoint.cancel_stops_billing, self.cancel_stops_billing);
        mask.put("disabled", &mut endpoint.disabled, self.disabled);
        let quirks = quirks(endpoint.quirks.clone(), &self.quirks)?;
        mask.put("quirks", &mut endpoint.quirks, (!self.quirks.is_empty()).then_some(quirks));
        Ok(())
    }
}

impl BillingFlags {
    /// The facts as they were, changed by what was given; `None` if nothing was.
    fn over(self, before: Option<v1::Billing>) -> Option<v1::Billing> {
        let before = before.unwrap_or_default();
        let after = v1::Billing {
            hidden_tool_tokens: self.hidden_tool_tokens.or(before.hidden_tool_tokens),
            tokens_per_image: self.tokens_per_image.or(before.tokens_per_image),
            tokens_per_audio_kib: self.tokens_per_audio_kib.or(before.tokens_per_audio_kib),
            tokens_per_file: self.tokens_per_file.or(before.tokens_per_file),
            tokens_per_video: self.tokens_per_video.or(before.tokens_per_video),
            max_searches: self.max_searches.or(before.max_searches),
            max_searches_unasked: self.max_searches_unasked.or(before.max_searches_unasked),
            step_tokens: self.step_tokens.or(before.step_tokens),
        };
        (after != before).then_some(after)
    }
}
