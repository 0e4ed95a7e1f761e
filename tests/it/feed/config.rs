//! The config stream: what a data plane is sent, in which order, and who is told that it arrived.

use switchyard_control_plane::{
    catalogue::{self, profile},
    domain::edition::Edition,
    store,
};
use switchyard_proto::v1::{
    endpoint_service_client::EndpointServiceClient, fleet_service_client::FleetServiceClient,
    model_service_client::ModelServiceClient, provider_service_client::ProviderServiceClient,
};
use tokio::time::Instant;
use tonic::Code;

use super::*;

async fn provider(plane: &Plane) {
    let provider = v1::Provider {
        id: "openai".into(),
        adapter: "openai".into(),
        base_url: "https://api.openai.com/v1".into(),
        credential: "sk-upstream".into(),
        idle_timeout_ms: 250,
        headers_timeout_ms: 125,
        min_tokens_per_second: 1.5,
        rates: Some(v1::Rates { requests_per_minute: Some(90), ..Default::default() }),
        data_policy: Some(v1::DataPolicy { zdr: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let request = v1::CreateProviderRequest { provider: Some(provider) };
    let mut client = ProviderServiceClient::new(plane.admin().await);
    client.create_provider(plane.as_operator(request)).await.unwrap();
}

async fn model(plane: &Plane) {
    let rates = Some(v1::Rates { concurrency: Some(7), ..Default::default() });
    let model = v1::Model { id: "openai/gpt".into(), distillable: Some(true), rates, ..Default::default() };
    let request = v1::CreateModelRequest { model: Some(model) };
    let mut client = ModelServiceClient::new(plane.admin().await);
    client.create_model(plane.as_operator(request)).await.unwrap();
    let endpoint = v1::Endpoint {
        model: "openai/gpt".into(),
        id: "openai".into(),
        provider: "openai".into(),
        upstream_id: "gpt".into(),
        context_length: 1000,
        price: Some(v1::Price { input: "0.25".into(), ..Default::default() }),
        service_tier: "flex".into(),
        ..Default::default()
    };
    let request = v1::CreateEndpointRequest { model: "openai/gpt".into(), endpoint: Some(endpoint) };
    let mut client = EndpointServiceClient::new(plane.admin().await);
    client.create_endpoint(plane.as_operator(request)).await.unwrap();
}

async fn delete_key(plane: &Plane, id: &str) {
    let request = v1::DeleteKeyRequest { tenant: "acme".into(), id: id.into(), revision: 0 };
    let mut client = KeyServiceClient::new(plane.admin().await);
    client.delete_key(plane.as_operator(request)).await.unwrap();
}

async fn instance(plane: &Plane, id: &str) -> Option<v1::Instance> {
    let mut client = FleetServiceClient::new(plane.admin().await);
    let request = plane.as_operator(v1::ListInstancesRequest::default());
    let instances = client.list_instances(request).await.unwrap().into_inner().instances;
    instances.into_iter().find(|instance| instance.id == id)
}

#[tokio::test]
async fn everything_then_differences_then_tombstones() {
    let plane = Plane::start().await;
    provider(&plane).await;
    model(&plane).await;
    plane.tenant("acme", "").await;
    let key = plane.key("one", "5.00", v1::Reset::Daily).await.key.unwrap();

    let mut data_plane = DataPlane::attach(&plane, "dp-1", None).await;
    let push = data_plane.take().await;
    assert!(push.full && push.since.is_none());
    assert_eq!(
        push.shown(),
        ["provider openai", "model openai/gpt", "endpoint openai/gpt#openai", "tenant acme", "key one"]
    );
    let Some(v1::resource::Body::Provider(sent)) = &push.resources[0].body else { panic!("a provider") };
    assert_eq!(sent.credentials[0].secret, "sk-upstream");
    assert_eq!(sent.credentials[0].rates.unwrap().requests_per_minute, Some(90));
    let timeouts = sent.timeouts.unwrap();
    assert_eq!((timeouts.idle_ms, timeouts.headers_ms, timeouts.connect_ms), (Some(250), Some(125), None));
    assert_eq!((timeouts.min_tokens_per_second, sent.data_policy.unwrap().zdr), (1.5, Some(true)));
    let Some(v1::resource::Body::Model(sent)) = &push.resources[1].body else { panic!("a model") };
    assert_eq!((sent.distillable, sent.rates.unwrap().concurrency), (Some(true), Some(7)));
    let Some(v1::resource::Body::Endpoint(sent)) = &push.resources[2].body else { panic!("an endpoint") };
    assert_eq!(sent.service_tier, "flex");
    let Some(v1::resource::Body::Key(sent)) = &push.resources[4].body else { panic!("a key") };
    assert_eq!(sent.limit, Some(v1::SpendLimit { usd: "5".into(), reset: v1::Reset::Daily.into() }));

    delete_key(&plane, &key.id).await;
    let next = data_plane.take().await;
    assert_eq!((next.full, next.since), (false, Some(push.revision.number)));
    assert_eq!(next.shown(), [format!("gone RESOURCE_KEY {}", key.id)]);
    assert_eq!(next.revision.incarnation, data_plane.incarnation);
}

#[tokio::test]
async fn a_profile_is_filled_in_when_it_is_sent_and_sent_again_under_a_newer_catalogue() {
    let plane = Plane::start().await;
    let provider = v1::Provider {
        id: "quick".into(),
        profile: "groq".into(),
        credential: "sk-upstream".into(),
        quirks: [("single_choice".to_owned(), "false".to_owned())].into(),
        ..Default::default()
    };
    let request = v1::CreateProviderRequest { provider: Some(provider) };
    let mut client = ProviderServiceClient::new(plane.admin().await);
    client.create_provider(plane.as_operator(request)).await.unwrap();

    let mut data_plane = DataPlane::attach(&plane, "dp-1", None).await;
    let push = data_plane.take().await;
    let Some(v1::resource::Body::Provider(sent)) = &push.resources[0].body else { panic!("a provider") };
    let row = profile::by_name("groq").unwrap();
    assert_eq!(
        (&sent.adapter, &sent.base_url, &sent.display_name),
        (&row.adapter, &row.base_url, &row.display_name)
    );
    assert_eq!(sent.credentials[0].secret, "sk-upstream");
    assert_eq!(sent.quirks.len(), row.quirks.len());
    for quirk in &sent.quirks {
        let expected = if quirk.name == "single_choice" { "false" } else { &row.quirks[&quirk.name] };
        assert_eq!(quirk.value, expected, "{}", quirk.name);
        let is_own = quirk.name == "single_choice";
        assert_eq!(sent.profile_quirks.contains(&quirk.name), !is_own, "{}", quirk.name);
    }

    for is_new in [true, false] {
        let newer = Edition { version: catalogue::edition().version + 1, checksum: "newer".into() };
        let mut db = plane.pool.acquire().await.unwrap();
        assert_eq!(store::catalogue::refresh(&mut db, &newer).await.unwrap(), is_new);
    }
    let next = data_plane.take().await;
    assert_eq!(next.shown(), ["provider quick"]);
    assert_eq!(next.revision.number, push.revision.number + 1);
}

#[tokio::test]
async fn changes_pile_up_while_a_push_is_unanswered_and_go_out_together() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let mut data_plane = DataPlane::attach(&plane, "dp-1", None).await;
    let push = data_plane.push().await;
    // Nobody answers, so each of these waits its second.
    let (one, two) =
        tokio::join!(plane.key("one", "", v1::Reset::Never), plane.key("two", "", v1::Reset::Never));
    assert!(!one.served_everywhere && !two.served_everywhere);
    data_plane.answer(&push.revision, Vec::new(), "").await;
    let next = data_plane.take().await;
    assert_eq!((next.shown().len(), next.since), (2, Some(push.revision.number)));
}

#[tokio::test]
async fn what_a_data_plane_holds_decides_between_difference_and_everything() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.key("one", "", v1::Reset::Never).await;
    let mut data_plane = DataPlane::attach(&plane, "dp", None).await;
    let newest = data_plane.take().await.revision;
    for (what, number, incarnation, expected) in [
        ("older", newest.number - 1, newest.incarnation.as_str(), Some((false, 1))),
        ("newer than ours", newest.number + 1, newest.incarnation.as_str(), Some((true, 2))),
        ("of another store", newest.number, "other", Some((true, 2))),
        ("the newest", newest.number, newest.incarnation.as_str(), None),
    ] {
        let held = v1::Revision { incarnation: incarnation.into(), number };
        let mut data_plane = DataPlane::attach(&plane, what, Some(held)).await;
        match expected {
            Some((full, resources)) => {
                let push = data_plane.take().await;
                assert_eq!((push.full, push.resources.len()), (full, resources), "{what}");
            }
            // It counts as current without a push.
            None => {
                let look = async || instance(&plane, what).await.filter(|instance| instance.lag == 0);
                until("current", look).await;
            }
        }
    }
}

#[tokio::test]
async fn who_holds_less_than_the_tombstones_gets_everything() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let key = plane.key("one", "", v1::Reset::Never).await.key.unwrap();
    let old = DataPlane::attach(&plane, "dp", None).await.push().await.revision;
    delete_key(&plane, &key.id).await;
    let later = switchyard_proto::clock::now() + chrono::TimeDelta::days(8);
    jobs::tombstones::run_once(&plane.pool, later).await.unwrap();
    let mut data_plane = DataPlane::attach(&plane, "dp", Some(old)).await;
    let push = data_plane.take().await;
    assert!(push.full);
    assert_eq!(push.shown(), ["tenant acme"]);
}

#[tokio::test]
async fn a_change_arrives_in_a_quarter_of_a_second() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let mut data_planes = Vec::new();
    for name in ["dp-1", "dp-2", "dp-3"] {
        data_planes.push(DataPlane::current(&plane, name).await);
    }
    let mut fastest = Duration::MAX;
    for round in 0..5 {
        let begun = Instant::now();
        let name = format!("key-{round}");
        let served = async {
            for data_plane in &mut data_planes {
                data_plane.take().await;
            }
            begun.elapsed()
        };
        let (made, took) = tokio::join!(plane.key(&name, "", v1::Reset::Never), served);
        assert!(made.served_everywhere);
        fastest = fastest.min(took);
    }
    // The slowest of a busy machine says nothing; a poll alone would never be this fast five times.
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
}

#[tokio::test]
async fn a_broken_push_is_followed_by_everything() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    plane.tenant("beta", "").await;
    let push = data_plane.push().await;
    assert!(!push.full);
    data_plane.answer(&push.revision, Vec::new(), "the checksum is wrong").await;
    let again = data_plane.take().await;
    assert!(again.full);
    assert_eq!(again.shown().len(), 2);
}

#[tokio::test]
async fn refusals_are_shown_by_name_until_their_resource_is_taken() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let mut data_plane = DataPlane::attach(&plane, "dp", None).await;
    let push = data_plane.push().await;
    let refusal = v1::Refusal {
        kind: v1::ResourceKind::ResourceTenant.into(),
        id: "acme".into(),
        field: "markup_ppm".into(),
        reason: "is odd".into(),
    };
    data_plane.answer(&push.revision, vec![refusal.clone()], "").await;
    let look = async || instance(&plane, "dp").await.filter(|instance| !instance.refused.is_empty());
    let shown = until("the refusal", look).await;
    assert_eq!((shown.refused, shown.lag, shown.attached, shown.epoch), (vec![refusal], 0, true, 1));

    // Another change says nothing about it, nor does coming back with the same state.
    plane.tenant("beta", "").await;
    let held = data_plane.take().await.revision;
    drop(data_plane);
    until("detached", async || instance(&plane, "dp").await.filter(|instance| !instance.attached)).await;
    let mut data_plane = DataPlane::attach(&plane, "dp", Some(held)).await;
    let look =
        async || instance(&plane, "dp").await.filter(|instance| instance.attached && instance.lag == 0);
    assert_eq!(until("attached again", look).await.refused.len(), 1);

    let request = v1::UpdateTenantRequest {
        id: "acme".into(),
        tenant: Some(v1::Tenant { name: "Acme".into(), ..Default::default() }),
        ..Default::default()
    };
    let mut client = TenantServiceClient::new(plane.admin().await);
    client.update_tenant(plane.as_operator(request)).await.unwrap();
    data_plane.take().await;
    let look = async || instance(&plane, "dp").await.filter(|instance| instance.refused.is_empty());
    until("no refusal", look).await;
}

#[tokio::test]
async fn a_newer_session_fences_the_older() {
    let plane = Plane::start().await;
    let mut older = DataPlane::current(&plane, "dp").await;
    let newer = DataPlane::attach(&plane, "dp", None).await;
    assert_eq!((older.epoch, newer.epoch), (1, 2));
    let status = older.end().await;
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "fenced"));
    for (epoch, fenced) in [(older.epoch, true), (newer.epoch, false)] {
        let request = v1::AcquireRequest { instance: "dp".into(), epoch, asks: Vec::new() };
        let answer = plane.leases().await.acquire(request).await;
        assert_eq!(answer.is_err_and(|status| status.message() == "fenced"), fenced, "epoch {epoch}");
        let request = v1::ReportRequest { instance: "dp".into(), epoch, ..Default::default() };
        let answer = plane.usage().await.report(request).await;
        assert_eq!(answer.is_err_and(|status| status.message() == "fenced"), fenced, "epoch {epoch}");
    }
}

#[tokio::test]
async fn a_key_is_looked_up_by_its_hash() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let made = plane.key("one", "", v1::Reset::Never).await;
    let sha256 = switchyard_proto::key::KeyHash::of(&made.secret).0.to_vec();
    let look = async |sha256: Vec<u8>| {
        let request = v1::LookupKeyRequest { sha256 };
        plane.config().await.lookup_key(request).await.map(tonic::Response::into_inner)
    };
    let found = look(sha256.clone()).await.unwrap();
    assert_eq!(found.key.unwrap().name, "one");
    assert_eq!(found.tenant.unwrap().id, "acme");
    assert_eq!(look(vec![0; 32]).await.unwrap(), v1::LookupKeyResponse::default());
    assert_eq!(look(vec![0; 31]).await.unwrap_err().code(), Code::InvalidArgument);
    delete_key(&plane, &made.key.unwrap().id).await;
    assert_eq!(look(sha256).await.unwrap(), v1::LookupKeyResponse::default());
}
