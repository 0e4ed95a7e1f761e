//! `switchyard model`: what callers ask for.

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::{Limit, Mask, RateFlags},
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("INPUT", "input_modalities"),
    ("OUTPUT", "output_modalities"),
    ("ALIASES", "aliases"),
    ("DISABLED", "disabled"),
    ("MANAGED BY", "managed_by"),
    ("REVISION", "revision"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Model {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List models, oldest first
    List(Limit),
    /// Show one model
    Get { id: String },
    /// Make a model; give it endpoints with `switchyard endpoint create`
    Create {
        /// `author/name`
        id: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change fields of a model
    Update {
        id: String,
        #[command(flatten)]
        fields: Fields,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a model and its endpoints
    Delete {
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// Shown to people
    #[arg(long)]
    name: Option<String>,
    /// Shown to people
    #[arg(long)]
    description: Option<String>,
    /// What prompts may hold: text, image, audio, file, video; repeatable
    #[arg(long = "input", value_name = "MODALITY")]
    input_modalities: Vec<String>,
    /// What answers may hold; repeatable
    #[arg(long = "output-modality", value_name = "MODALITY")]
    output_modalities: Vec<String>,
    /// Name of the tokenizer, for people
    #[arg(long)]
    tokenizer: Option<String>,
    /// Another name that leads to it; repeatable, "" clears
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// Its author lets its text train other models
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    distillable: Option<bool>,
    /// Refuse requests for it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    #[command(flatten)]
    rates: RateFlags,
}

impl Model {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let output = self.remote.output;
        match self.verb {
            Verb::List(Limit { limit }) => output.list("Model", &list(&admin, limit).await?, COLUMNS),
            Verb::Get { id } => output.one("Model", &get(&admin, id).await?),
            Verb::Create { id, fields } => {
                let mut model = v1::Model { id, ..Default::default() };
                fields.put(&mut model, &mut Mask::default());
                let request = v1::CreateModelRequest { model: Some(model) };
                let made = admin.models().create_model(request).await.answer()?;
                output.one("Model", &made.model.unwrap_or_default())
            }
            Verb::Update { id, fields, revision } => {
                let mut model = get(&admin, id.clone()).await?;
                let mut mask = Mask::default();
                fields.put(&mut model, &mut mask);
                let revision = revision.unwrap_or(model.revision);
                let update_mask = mask.finish()?;
                let request = v1::UpdateModelRequest { id, model: Some(model), update_mask, revision };
                output.one("Model", &admin.models().update_model(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                admin.models().delete_model(v1::DeleteModelRequest { id, revision }).await.answer()?;
                Ok(())
            }
        }
    }
}

/// All models, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn list(admin: &Admin, most: usize) -> anyhow::Result<Vec<v1::Model>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListModelsRequest { page_size, page_token };
        let page = admin.models().list_models(request).await.answer()?;
        Ok((page.models, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, id: String) -> anyhow::Result<v1::Model> {
    admin.models().get_model(v1::GetModelRequest { id }).await.answer()
}

impl Fields {
    fn put(self, model: &mut v1::Model, mask: &mut Mask) {
        mask.put("name", &mut model.name, self.name);
        mask.put("description", &mut model.description, self.description);
        mask.put_list("input_modalities", &mut model.input_modalities, self.input_modalities);
        mask.put_list("output_modalities", &mut model.output_modalities, self.output_modalities);
        mask.put("tokenizer", &mut model.tokenizer, self.tokenizer);
        mask.put_list("aliases", &mut model.aliases, self.aliases);
        mask.put("distillable", &mut model.distillable, self.distillable.map(Some));
        mask.put("disabled", &mut model.disabled, self.disabled);
        let rates = self.rates.over(model.rates);
        mask.put("rates", &mut model.rates, rates.map(Some));
    }
}
