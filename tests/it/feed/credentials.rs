//! Tenants' own credentials in the config stream: with their secrets, and without them where the provider has moved.

use switchyard_proto::v1::{
    credential_service_client::CredentialServiceClient, provider_service_client::ProviderServiceClient,
    resource::Body,
};

use super::*;

async fn start() -> Plane {
    let plane = Plane::start().await;
    let provider = v1::Provider {
        id: "openai".into(),
        adapter: "openai".into(),
        base_url: "https://api.openai.com/v1".into(),
        ..Default::default()
    };
    let request = v1::CreateProviderRequest { provider: Some(provider) };
    let mut client = ProviderServiceClient::new(plane.admin().await);
    client.create_provider(plane.as_operator(request)).await.unwrap();
    plane.tenant("acme", "").await;
    plane.key("one", "", v1::Reset::Never).await;
    let credential = v1::Credential {
        id: "mine".into(),
        provider: "openai".into(),
        secret: "sk-mine".into(),
        required: true,
        order: 3,
        allowed_models: vec!["openai/*".into()],
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "acme".into(), credential: Some(credential) };
    let mut client = CredentialServiceClient::new(plane.admin().await);
    client.create_credential(plane.as_operator(request)).await.unwrap();
    plane
}

fn sent(push: &Push) -> &v1::TenantCredentialConfig {
    let bodies = push.resources.iter().filter_map(|resource| resource.body.as_ref());
    let mut credentials = bodies.filter_map(|body| match body {
        Body::Credential(credential) => Some(credential),
        _ => None,
    });
    credentials.next().expect("a credential was pushed")
}

#[tokio::test]
async fn a_credential_comes_with_its_secret_after_its_parents_and_before_keys() {
    let plane = start().await;
    let mut data_plane = DataPlane::attach(&plane, "dp", None).await;
    let push = data_plane.take().await;
    assert_eq!(push.shown(), ["provider openai", "tenant acme", "credential acme#mine", "key one"]);
    let expected = v1::TenantCredentialConfig {
        tenant: "acme".into(),
        id: "mine".into(),
        provider: "openai".into(),
        secret: "sk-mine".into(),
        origin: "https://api.openai.com".into(),
        required: true,
        order: 3,
        allowed_models: vec!["openai/*".into()],
        rates: Some(v1::Rates::default()),
        ..Default::default()
    };
    assert_eq!(*sent(&push), expected);
}

#[tokio::test]
async fn a_provider_that_moved_brings_its_credentials_again_without_their_secrets() {
    let plane = start().await;
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    let provider = v1::Provider { base_url: "https://moved.test/v1".into(), ..Default::default() };
    let request =
        v1::UpdateProviderRequest { id: "openai".into(), provider: Some(provider), ..Default::default() };
    let mut client = ProviderServiceClient::new(plane.admin().await);
    client.update_provider(plane.as_operator(request)).await.unwrap();
    let push = data_plane.take().await;
    assert_eq!(push.shown(), ["provider openai", "credential acme#mine"]);
    let credential = sent(&push);
    assert_eq!((credential.secret.as_str(), credential.required), ("", true), "what it forbids holds");

    let mut fresh = DataPlane::attach(&plane, "dp-2", None).await;
    assert_eq!(sent(&fresh.take().await).secret, "", "nor in a full state");
}

#[tokio::test]
async fn a_deleted_credential_is_a_tombstone() {
    let plane = start().await;
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    let request = v1::DeleteCredentialRequest { tenant: "acme".into(), id: "mine".into(), revision: 0 };
    let mut client = CredentialServiceClient::new(plane.admin().await);
    client.delete_credential(plane.as_operator(request)).await.unwrap();
    assert_eq!(data_plane.take().await.shown(), ["gone RESOURCE_CREDENTIAL acme#mine"]);
}
