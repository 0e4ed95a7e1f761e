//! Providers with their credentials, models, endpoints.

use std::collections::HashMap;

use prost_types::FieldMask;
use switchyard_control_plane::store::sealed;
use switchyard_proto::v1;
use switchyard_tests::admin::AdminPort;
use tonic::{Code, Status};

fn provider() -> v1::Provider {
    v1::Provider {
        id: "p".to_owned(),
        adapter: "openai".to_owned(),
        base_url: "https://api.example.com/v1".to_owned(),
        ..Default::default()
    }
}

async fn create(port: &AdminPort, provider: v1::Provider) -> Result<v1::Provider, Status> {
    let request = v1::CreateProviderRequest { provider: Some(provider) };
    let made: v1::CreateProviderResponse = port.call("ProviderService/CreateProvider", &request).await?;
    Ok(made.provider.unwrap())
}

async fn update(port: &AdminPort, provider: v1::Provider, paths: &[&str]) -> Result<v1::Provider, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdateProviderRequest {
        id: "p".to_owned(),
        provider: Some(provider),
        update_mask: Some(FieldMask { paths }),
        revision: 0,
    };
    port.call("ProviderService/UpdateProvider", &request).await
}

/// The stored credential in the clear, as the config stream opens it.
async fn opened(port: &AdminPort) -> Option<String> {
    let mut db = port.pool.acquire().await.unwrap();
    let mut stored = sealed::of_providers(&mut db, &["p".to_owned()]).await.unwrap();
    assert!(stored.len() <= 1);
    let sealed = stored.pop()?.sealed;
    Some(port.crypto.open(&sealed).await.unwrap().expose().to_owned())
}

#[tokio::test]
async fn a_credential_is_sealed_and_never_comes_back() {
    let port = AdminPort::start().await.unwrap();
    let canary = "sk-canary-0123456789";
    let made = create(&port, v1::Provider { credential: canary.to_owned(), ..provider() }).await.unwrap();
    assert_eq!((made.has_credential, made.credential.as_str()), (true, ""));
    assert_eq!(opened(&port).await.as_deref(), Some(canary));
    let get: v1::Provider = port
        .call("ProviderService/GetProvider", &v1::GetProviderRequest { id: "p".to_owned() })
        .await
        .unwrap();
    assert_eq!(get, made);
    let entries: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    assert!(entries.entries.iter().any(|entry| entry.change.contains("credential")));
    assert!(entries.entries.iter().all(|entry| !entry.change.contains(canary)));
    let bytes: Vec<u8> =
        sqlx::query_scalar("SELECT sealed FROM provider_credentials").fetch_one(&port.pool).await.unwrap();
    assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
}

#[tokio::test]
async fn a_new_origin_asks_for_the_credential_again() {
    let port = AdminPort::start().await.unwrap();
    create(&port, v1::Provider { credential: "sk-1".to_owned(), ..provider() }).await.unwrap();
    let moved = v1::Provider { base_url: "https://evil.example/v1".to_owned(), ..Default::default() };
    let refused = update(&port, moved.clone(), &["base_url"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "provider.credential is sealed to https://api.example.com; give it again for https://evil.example"
    );
    // Another path, the default port and another case are the same origin.
    let same = v1::Provider { base_url: "https://API.example.com:443/v2/".to_owned(), ..Default::default() };
    let kept = update(&port, same, &["base_url"]).await.unwrap();
    assert_eq!((kept.base_url.as_str(), kept.has_credential), ("https://API.example.com:443/v2", true));
    assert_eq!(opened(&port).await.as_deref(), Some("sk-1"));
    let given = v1::Provider { credential: "sk-2".to_owned(), ..moved.clone() };
    update(&port, given, &["base_url", "credential"]).await.unwrap();
    assert_eq!(opened(&port).await.as_deref(), Some("sk-2"));
    // Without a credential there is nothing to protect.
    update(&port, v1::Provider::default(), &["credential"]).await.unwrap();
    assert_eq!(opened(&port).await, None);
    let home = v1::Provider { base_url: "https://api.example.com".to_owned(), ..Default::default() };
    assert!(!update(&port, home, &["base_url"]).await.unwrap().has_credential);
}

#[tokio::test]
async fn a_credential_is_replaced_only_when_it_is_another_one() {
    let port = AdminPort::start().await.unwrap();
    let made = create(&port, v1::Provider { credential: "sk-1".to_owned(), ..provider() }).await.unwrap();
    let same = v1::Provider { credential: "sk-1".to_owned(), ..Default::default() };
    assert_eq!(update(&port, same, &["credential"]).await.unwrap().revision, made.revision);
    let whole = v1::Provider { region: "eu".to_owned(), auth: "azure-key".to_owned(), ..made.clone() };
    let whole = update(&port, whole, &["*"]).await.unwrap();
    assert_eq!((whole.has_credential, whole.auth.as_str()), (true, "azure-key"));
    let other = v1::Provider { credential: "sk-2".to_owned(), ..Default::default() };
    assert_eq!(update(&port, other, &["credential"]).await.unwrap().revision, made.revision + 2);
    assert_eq!(opened(&port).await.as_deref(), Some("sk-2"));
}

#[tokio::test]
async fn bad_providers_are_refused_by_field() {
    let port = AdminPort::start().await.unwrap();
    let url = |base_url: &str| v1::Provider { base_url: base_url.to_owned(), ..provider() };
    for (provider, message) in [
        (v1::Provider { id: "P".to_owned(), ..provider() }, "provider.id is not a slug"),
        (
            v1::Provider { adapter: "opneai".to_owned(), ..provider() },
            "provider.adapter is `opneai`, which is none of anthropic, openai",
        ),
        (url(""), "provider.base_url is required"),
        (url("api.example.com"), "provider.base_url does not start with http:// or https://"),
        (url("https://user:pw@host"), "provider.base_url has a user or password"),
        (url("https://host/?q=1"), "provider.base_url has a query"),
        (url("https://host/#f"), "provider.base_url has a fragment"),
        (
            v1::Provider { credential: "sk\r\nx".to_owned(), ..provider() },
            "provider.credential has a control character",
        ),
        (
            v1::Provider { auth: "baerer".to_owned(), ..provider() },
            "provider.auth is `baerer`, which is none of bearer, x-api-key, header:NAME",
        ),
        (
            v1::Provider { total_timeout_ms: u64::MAX, ..provider() },
            "provider.total_timeout_ms is more than 86400000",
        ),
        (
            v1::Provider { quirks: HashMap::from([(String::new(), "x".to_owned())]), ..provider() },
            "provider.quirks has one without a name",
        ),
    ] {
        let refused = create(&port, provider).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{message}");
        assert!(refused.message().starts_with(message), "{}", refused.message());
    }
    create(&port, provider()).await.unwrap();
    assert_eq!(create(&port, provider()).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_provider_in_use_cannot_be_deleted() {
    let port = AdminPort::start().await.unwrap();
    create(&port, v1::Provider { credential: "sk-1".to_owned(), ..provider() }).await.unwrap();
    port.model("a/m").await.unwrap();
    port.endpoint("a/m", "p").await.unwrap();
    let delete = v1::DeleteProviderRequest { id: "p".to_owned(), revision: 0 };
    let refused = port
        .call::<_, v1::DeleteProviderResponse>("ProviderService/DeleteProvider", &delete)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "provider `p` is used by endpoints `a/m#p`; delete those first");
    // A model takes its endpoints along.
    let model = v1::DeleteModelRequest { id: "a/m".to_owned(), revision: 0 };
    port.call::<_, v1::DeleteModelResponse>("ModelService/DeleteModel", &model).await.unwrap();
    port.call::<_, v1::DeleteProviderResponse>("ProviderService/DeleteProvider", &delete).await.unwrap();
    assert_eq!(opened(&port).await, None);
    // The id is free again, and the credential does not come back with it.
    assert!(!create(&port, provider()).await.unwrap().has_credential);
}

#[tokio::test]
async fn an_endpoint_names_a_model_and_a_provider_that_are_there() {
    let port = AdminPort::start().await.unwrap();
    let refused = port.endpoint("a/m", "p").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "model `a/m` not found"));
    port.model("a/m").await.unwrap();
    let refused = port.endpoint("a/m", "p").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "endpoint.provider names unknown provider `p`");
    create(&port, provider()).await.unwrap();
    let endpoint = port.endpoint("a/m", "p").await.unwrap();
    assert_eq!((endpoint.model.as_str(), endpoint.id.as_str()), ("a/m", "p"));
    assert_eq!(port.endpoint("a/m", "p").await.unwrap_err().message(), "endpoint `a/m#p` already exists");
    let moved = v1::UpdateEndpointRequest {
        model: "a/m".to_owned(),
        id: "p".to_owned(),
        endpoint: Some(v1::Endpoint { provider: "q".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let refused = port.call::<_, v1::Endpoint>("EndpointService/UpdateEndpoint", &moved).await.unwrap_err();
    assert_eq!(refused.message(), "endpoint.provider names unknown provider `q`");
}

#[tokio::test]
async fn an_endpoint_keeps_what_it_was_given() {
    let port = AdminPort::start().await.unwrap();
    create(&port, provider()).await.unwrap();
    port.model("a/m").await.unwrap();
    let long = v1::PriceOverride {
        min_prompt_tokens: Some(200_000),
        utc_start: "16:30".to_owned(),
        utc_end: "00:30".to_owned(),
        price: Some(v1::PriceParts { input: "0.5".to_owned(), ..Default::default() }),
    };
    let given = v1::Endpoint {
        id: "eu".to_owned(),
        provider: "p".to_owned(),
        upstream_id: "m-2026".to_owned(),
        context_length: 200_000,
        max_output_tokens: 8192,
        price: Some(v1::Price {
            input: "0.25".to_owned(),
            output: "2.00".to_owned(),
            request: "0.001".to_owned(),
            overrides: vec![long.clone()],
            versions: vec![v1::PriceVersion {
                from: Some(prost_types::Timestamp { seconds: 1_798_761_600, nanos: 0 }),
                price: Some(v1::PriceParts { search: "0.01".to_owned(), ..Default::default() }),
                overrides: vec![long.clone()],
            }],
            ..Default::default()
        }),
        supported_parameters: vec!["tools".to_owned()],
        quantization: "fp8".to_owned(),
        cancel_stops_billing: true,
        quirks: HashMap::from([("max_tokens_field".to_owned(), "max_tokens".to_owned())]),
        input_modalities: vec!["text".to_owned(), "image".to_owned()],
        billing: Some(v1::Billing { tokens_per_image: Some(4_000), ..Default::default() }),
        service_tier: "priority".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateEndpointRequest { model: "a/m".to_owned(), endpoint: Some(given.clone()) };
    let made: v1::CreateEndpointResponse =
        port.call("EndpointService/CreateEndpoint", &request).await.unwrap();
    let made = made.endpoint.unwrap();
    let expected = v1::Endpoint {
        model: "a/m".to_owned(),
        revision: made.revision,
        created_at: made.created_at,
        updated_at: made.updated_at,
        ..given
    };
    assert_eq!(made, expected);
    let request = v1::UpdateEndpointRequest {
        model: "a/m".to_owned(),
        id: "eu".to_owned(),
        endpoint: Some(v1::Endpoint {
            price: Some(v1::Price { output: "3".to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["price.output".to_owned()] }),
        revision: made.revision,
    };
    let updated: v1::Endpoint = port.call("EndpointService/UpdateEndpoint", &request).await.unwrap();
    let price = updated.price.unwrap();
    assert_eq!((price.input.as_str(), price.output.as_str()), ("0.25", "3"));
    assert_eq!((price.overrides, price.versions.len()), (vec![long], 1));
    assert_eq!(updated.service_tier, "priority");
}

#[tokio::test]
async fn a_model_tells_unknown_from_forbidden() {
    let port = AdminPort::start().await.unwrap();
    let given = v1::Model { id: "a/m".to_owned(), distillable: Some(false), ..Default::default() };
    let request = v1::CreateModelRequest { model: Some(given) };
    let made: v1::CreateModelResponse = port.call("ModelService/CreateModel", &request).await.unwrap();
    assert_eq!(made.model.unwrap().distillable, Some(false));
    for told in [Some(true), None] {
        let request = v1::UpdateModelRequest {
            id: "a/m".to_owned(),
            model: Some(v1::Model { distillable: told, ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["distillable".to_owned()] }),
            revision: 0,
        };
        let updated: v1::Model = port.call("ModelService/UpdateModel", &request).await.unwrap();
        assert_eq!(updated.distillable, told);
    }
}

#[tokio::test]
async fn a_name_leads_to_one_model() {
    let port = AdminPort::start().await.unwrap();
    let model = |id: &str, aliases: &[&str]| v1::CreateModelRequest {
        model: Some(v1::Model {
            id: id.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ..Default::default()
        }),
    };
    let make =
        async |request| port.call::<_, v1::CreateModelResponse>("ModelService/CreateModel", &request).await;
    make(model("a/one", &["one"])).await.unwrap();
    for (request, message) in [
        (model("a/two", &["one"]), "model.aliases names `one`, which already leads to model `a/one`"),
        (model("a/two", &["a/one"]), "model.aliases names `a/one`, which already leads to model `a/one`"),
        (model("a/one", &[]), "model `a/one` already exists"),
    ] {
        let refused = make(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::AlreadyExists, message));
    }
    make(model("a/two", &["two"])).await.unwrap();
    let rename = |aliases: &[&str]| v1::UpdateModelRequest {
        id: "a/one".to_owned(),
        model: Some(v1::Model {
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["aliases".to_owned()] }),
        revision: 0,
    };
    let refused = port.call::<_, v1::Model>("ModelService/UpdateModel", &rename(&["two"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    port.call::<_, v1::Model>("ModelService/UpdateModel", &rename(&["uno"])).await.unwrap();
    // What it was called before is free.
    make(model("a/three", &["one"])).await.unwrap();
}

#[tokio::test]
async fn two_models_made_at_once_cannot_both_have_a_name() {
    let port = AdminPort::start().await.unwrap();
    let model = |id: &str| v1::CreateModelRequest {
        model: Some(v1::Model { id: id.to_owned(), aliases: vec!["same".to_owned()], ..Default::default() }),
    };
    let make =
        async |request| port.call::<_, v1::CreateModelResponse>("ModelService/CreateModel", &request).await;
    let (one, two) = tokio::join!(make(model("a/one")), make(model("a/two")));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn bad_models_are_refused_by_field() {
    let port = AdminPort::start().await.unwrap();
    for (model, field) in [
        (v1::Model::default(), "model.id"),
        (v1::Model { id: "gpt".to_owned(), ..Default::default() }, "model.id"),
        (
            v1::Model {
                id: "a/m".to_owned(),
                input_modalities: vec!["smell".to_owned()],
                ..Default::default()
            },
            "model.input_modalities[0]",
        ),
        (
            v1::Model { id: "a/m".to_owned(), aliases: vec!["a b".to_owned()], ..Default::default() },
            "model.aliases[0]",
        ),
    ] {
        let request = v1::CreateModelRequest { model: Some(model) };
        let refused =
            port.call::<_, v1::CreateModelResponse>("ModelService/CreateModel", &request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.metadata().get("switchyard-field").unwrap(), field);
    }
}
