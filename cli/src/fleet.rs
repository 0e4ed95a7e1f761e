//! `switchyard fleet`: which data plane runs which config, and how endpoints do; and certificates for the port between the planes.

mod certs;

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::Limit,
    client::{Admin, Answer, Remote, pages},
    output::{Column, Output},
};

const INSTANCES: &[Column] = &[
    ("ID", "id"),
    ("VERSION", "version"),
    ("REGION", "region"),
    ("ATTACHED", "attached"),
    ("SENT", "sent.number"),
    ("APPLIED", "applied.number"),
    ("LAG", "lag"),
    ("LAST SEEN", "last_seen"),
];

const HEALTH: &[Column] = &[
    ("MODEL", "model"),
    ("ENDPOINT", "endpoint"),
    ("UP 5M %", "uptime_last_5m"),
    ("UP 30M %", "uptime_last_30m"),
    ("UP 1D %", "uptime_last_1d"),
    ("REQUESTS 30M", "requests_last_30m"),
    ("FIRST P50 MS", "latency_last_30m.p50"),
    ("P99", "latency_last_30m.p99"),
    ("TOKENS/S P50", "throughput_last_30m.p50"),
    ("P99", "throughput_last_30m.p99"),
    ("TOOLS OK %", "tool_success_last_30m"),
    ("LAST FAILURE", "last_failure_at"),
    ("CLOSED BY", "open_instances"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Fleet {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List data planes: what each was sent, runs and refused
    #[command(alias = "list")]
    Instances(Limit),
    /// Show the newest config revision, and how many data planes run it
    Revision,
    /// List how endpoints do over all data planes, and which of these send no requests there
    Health(Health),
    /// Give back what a data plane that never returns was lent; what it reports later is yours to pay
    Release(Release),
    /// Make a private authority, and certificates of both planes, for the fleet port
    Certs(certs::Certs),
}

#[derive(Debug, Args)]
struct Release {
    /// As `fleet instances` lists it
    #[arg(value_name = "INSTANCE")]
    id: String,
    /// Why it is certain that it spends nothing any more; on the ledger lines and in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
struct Health {
    /// Endpoints of this model alone
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

impl Fleet {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused, or files that cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        let output = self.remote.output;
        match self.verb {
            Verb::Instances(Limit { limit }) => {
                let instances = instances(&self.remote.connect().await?, limit).await?;
                output.list("Instance", &instances, INSTANCES)?;
                if output == Output::Table {
                    print!("{}", refusals(&instances));
                }
                Ok(())
            }
            Verb::Revision => {
                let admin = self.remote.connect().await?;
                output.one("FleetRevision", &revision(&admin).await?)
            }
            Verb::Health(Health { model, limit: Limit { limit } }) => {
                let endpoints = health(&self.remote.connect().await?, model, limit).await?;
                output.list("EndpointHealth", &endpoints, HEALTH)?;
                if output == Output::Table {
                    print!("{}", breakers(&endpoints));
                }
                Ok(())
            }
            Verb::Release(Release { id, reason }) => {
                let admin = self.remote.connect().await?;
                let request = v1::ReleaseInstanceRequest { id, reason };
                output
                    .one("ReleaseInstanceResponse", &admin.fleet().release_instance(request).await.answer()?)
            }
            Verb::Certs(certs) => certs.run(),
        }
    }
}

/// All data planes that the control plane remembers, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn instances(admin: &Admin, most: usize) -> anyhow::Result<Vec<v1::Instance>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListInstancesRequest { page_size, page_token };
        let page = admin.fleet().list_instances(request).await.answer()?;
        Ok((page.instances, page.next_page_token))
    })
    .await
}

/// The newest revision, and how far the fleet is.
///
/// # Errors
/// What the control plane refused.
pub async fn revision(admin: &Admin) -> anyhow::Result<v1::FleetRevision> {
    admin.fleet().get_revision(v1::GetRevisionRequest {}).await.answer()
}

async fn health(
    admin: &Admin,
    model: Option<String>,
    most: usize,
) -> anyhow::Result<Vec<v1::EndpointHealth>> {
    pages(most, |page_size, page_token| {
        let model = model.clone().unwrap_or_default();
        async move {
            let request = v1::ListHealthRequest { page_size, page_token, model };
            let page = admin.fleet().list_health(request).await.answer()?;
            Ok((page.endpoints, page.next_page_token))
        }
    })
    .await
}

/// Breakers that are not closed, a line each, below the table.
fn breakers(endpoints: &[v1::EndpointHealth]) -> String {
    let mut text = String::new();
    for endpoint in endpoints {
        for breaker in endpoint.breakers.iter().filter(|breaker| breaker.state != 0) {
            let state = breaker.state().as_str_name().trim_start_matches("BREAKER_").to_lowercase();
            let v1::EndpointHealth { model, endpoint, .. } = endpoint;
            let v1::InstanceBreaker { instance, consecutive_failures, .. } = breaker;
            text.push_str(&format!(
                "{instance}: {model} {endpoint} was {}, {consecutive_failures} failures in a row\n",
                state.replace('_', "-")
            ));
        }
    }
    text
}

/// What was refused, a line each, below the table.
fn refusals(instances: &[v1::Instance]) -> String {
    let mut text = String::new();
    for instance in instances {
        for refusal in &instance.refused {
            let kind = refusal.kind().as_str_name().trim_start_matches("RESOURCE_").to_lowercase();
            let v1::Refusal { id, field, reason, .. } = refusal;
            text.push_str(&format!("{} refused {kind} {id}: {field}: {reason}\n", instance.id));
        }
    }
    text
}
