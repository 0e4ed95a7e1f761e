//! The built-in catalogue fits the adapters that the data plane has.

use sqlx::Connection;
use switchyard_cli::client::Answer;
use switchyard_control_plane::catalogue;
use switchyard_control_plane::domain::edition::Edition;
use switchyard_control_plane::store::catalogue::refresh;
use switchyard_data_plane::adapters::{self, Quirks};
use switchyard_data_plane::model::parameter::Parameter;
use switchyard_proto::v1;
use switchyard_tests::cluster::Cluster;

#[test]
fn providers_have_quirks_that_their_adapters_know() {
    for provider in catalogue::providers() {
        if adapters::by_name(&provider.adapter).is_none() {
            continue;
        }
        let mut quirks = Quirks::default();
        for (name, value) in &provider.quirks {
            quirks.set(name, value).unwrap_or_else(|error| panic!("{}: {error}", provider.id));
        }
    }
}

#[test]
fn endpoints_name_parameters_that_routing_knows() {
    for endpoint in catalogue::models().iter().flat_map(|model| &model.endpoints) {
        for name in &endpoint.supported_parameters {
            assert!(Parameter::from_name(name).is_some(), "{}: {name}", endpoint.upstream_id);
        }
    }
}

#[test]
fn what_is_known_of_models_is_said_in_quirks_that_adapters_know() {
    for family in catalogue::families() {
        for (name, value) in &family.quirks {
            Quirks::default().set(name, value).unwrap_or_else(|error| panic!("{:?}: {error}", family.names));
        }
        for fact in family.billing.keys() {
            assert!(BILLING.contains(&fact.as_str()), "{:?}: {fact}", family.names);
        }
    }
}

const BILLING: [&str; 5] =
    ["hidden_tool_tokens", "tokens_per_image", "tokens_per_audio_kib", "tokens_per_file", "tokens_per_video"];

#[tokio::test]
async fn a_newer_catalogue_is_pushed_to_data_planes_once_and_an_older_one_never() {
    let cluster = Cluster::start().await.unwrap();
    cluster.settled().await;
    let mut db = sqlx::PgConnection::connect(&cluster.database.url).await.unwrap();
    let revision = async || {
        let request = v1::GetProviderRequest { id: "lab".to_owned() };
        cluster.admin.providers().get_provider(request).await.answer().unwrap().revision
    };
    let before = revision().await;
    let own = catalogue::edition();
    let newer = Edition { version: own.version + 1, checksum: "newer".to_owned() };
    assert!(refresh(&mut db, &newer).await.unwrap());
    let pushed = revision().await;
    assert!(pushed > before);
    assert!(!refresh(&mut db, &newer).await.unwrap(), "the same catalogue changes nothing");
    assert!(!refresh(&mut db, &own).await.unwrap(), "an older program takes nothing back");
    assert_eq!(revision().await, pushed);
    assert!(!refresh(&mut db, &newer).await.unwrap(), "and the newer one has nothing to do again");
    cluster.settled().await;
    db.close().await.unwrap();
}
