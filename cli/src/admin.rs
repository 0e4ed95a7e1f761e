//! `switchyard admin`: the first admin token.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use switchyard_control_plane::service;
use switchyard_proto::secret::Secret;

use crate::{
    control_plane::database,
    data_dir::{self, DataDir},
    settings::Sources,
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Admin {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the first admin token and print it, once, while there is none
    Init {
        /// A TOML file of settings: the database is named there, or by SWITCHYARD_DATABASE_URL
        #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true)]
        settings: Option<PathBuf>,
        /// The folder of `switchyard dev`, where no database is named
        #[arg(long, value_name = "DIR", default_value = data_dir::DEFAULT)]
        data_dir: PathBuf,
    },
}

impl Admin {
    /// Prints the token alone on stdout.
    ///
    /// # Errors
    /// When there is a token already, and when the database does not answer.
    pub async fn run(self) -> anyhow::Result<()> {
        let Verb::Init { settings, data_dir } = self.verb;
        let pool = database(&database_url(settings, data_dir)?).await?;
        let made = service::token::init(&pool).await.context("cannot make an admin token")?;
        let Some(token) = made else {
            bail!(
                "there is an admin token already; whoever has it makes more with `switchyard token create`"
            );
        };
        println!("{}", token.expose());
        eprintln!(
            "This is the first admin token. It is shown this once; SWITCHYARD_ADMIN_TOKEN hands it to the other commands."
        );
        Ok(())
    }
}

fn database_url(file: Option<PathBuf>, data_dir: PathBuf) -> anyhow::Result<Secret> {
    let settings = Sources::of_process(file).read()?;
    if settings.text("control_plane.database_url").is_empty()
        && let Some(running) = DataDir::new(data_dir).running()
    {
        return Ok(Secret::new(running.database_url));
    }
    Ok(settings.database_url()?)
}
