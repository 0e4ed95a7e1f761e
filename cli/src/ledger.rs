//! `switchyard ledger`: the proof that balances are what the ledger adds up to.

use anyhow::bail;
use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    client::{Answer, Remote},
    output::{Column, Output, print_json, to_json},
};

const DIFFERENCES: &[Column] = &[
    ("WHAT", "what"),
    ("KIND", "account.kind"),
    ("OWNER", "account.owner"),
    ("PERIOD", "account.period"),
    ("TENANT", "tenant"),
    ("LINE", "line"),
    ("RECORDED", "recorded_usd"),
    ("PROVEN", "proven_usd"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Ledger {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add up every line and every lease, and list what differs by a nano-dollar or more; fails if anything does
    Prove,
}

impl Ledger {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused, and when the ledger does not add up.
    pub async fn run(self) -> anyhow::Result<()> {
        let Verb::Prove = self.verb;
        let admin = self.remote.connect().await?;
        let proof = admin.ledger().prove(v1::ProveRequest {}).await.answer()?;
        match self.remote.output {
            Output::Json => print_json(&to_json("Proof", &proof)?),
            Output::Table if proof.holds => {
                let v1::Proof { accounts, tenants, lines, .. } = proof;
                println!("Everything adds up: {accounts} accounts, {tenants} tenants, {lines} lines.");
            }
            Output::Table => Output::Table.list("Difference", &proof.differences, DIFFERENCES)?,
        }
        if !proof.holds {
            bail!("the ledger does not add up: {} differences", proof.differences.len());
        }
        Ok(())
    }
}
