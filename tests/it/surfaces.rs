//! Every surface of chat through every adapter: text, streams, tools, images, schemas, reasoning, errors.
//!
//! What was seen is `docs/surfaces.md`; `SWITCHYARD_BLESS=1` writes it.

mod asks;
mod page;

use futures_util::StreamExt;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::Cluster;

use crate::failover::{self, DIALECTS, Row};
use crate::surfaces::asks::{Ask, SURFACES, Surface};

/// Cells that are carried at once.
const AT_ONCE: usize = 8;

/// What a caller can do, and the lab's behaviour that answers it.
pub const DEEDS: [(&str, &str); 7] = [
    ("text", "echo"),
    ("stream", "echo"),
    ("tools", "tools"),
    ("image", "image"),
    ("schema", "json"),
    ("reasoning", "reasoning"),
    ("error", "status-429-7"),
];

/// One cell of the table.
pub struct Seen {
    pub surface: &'static str,
    pub adapter: &'static str,
    pub deed: &'static str,
    /// `pass`, or why not.
    pub came: String,
}

fn model(row: &Row, behaviour: &str) -> String {
    format!("test/{}-{behaviour}", row.adapter)
}

async fn cluster() -> Cluster {
    let cluster = failover::cluster().await;
    for row in &DIALECTS {
        let behaviours: std::collections::BTreeSet<&str> =
            DEEDS.iter().map(|(_, behaviour)| *behaviour).collect();
        for behaviour in behaviours {
            cluster.model(&model(row, behaviour), &[(row.id, behaviour)]).await.unwrap();
        }
    }
    cluster
}

async fn cell(client: &Client, surface: &'static Surface, row: &'static Row, deed: usize) -> Seen {
    let (name, behaviour) = DEEDS[deed];
    let ask = Ask { deed: name, model: model(row, behaviour) };
    let came = match surface.ask(client, &ask).await {
        Ok(()) => "pass".to_owned(),
        Err(why) => why,
    };
    Seen { surface: surface.name, adapter: row.adapter, deed: name, came }
}

#[tokio::test]
async fn every_surface_reaches_every_adapter_as_the_table_says() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let cells = SURFACES.iter().flat_map(|surface| {
        DIALECTS.iter().flat_map(move |row| (0..DEEDS.len()).map(move |deed| (surface, row, deed)))
    });
    let seen: Vec<Seen> = futures_util::stream::iter(cells)
        .map(|(surface, row, deed)| cell(&client, surface, row, deed))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let wrong: Vec<String> = seen
        .iter()
        .filter_map(|seen| {
            let why = page::surprise(seen)?;
            Some(format!("{} {} {}: {why}", seen.surface, seen.adapter, seen.deed))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    page::hold(&seen);
}
