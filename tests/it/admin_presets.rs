//! Presets over the admin API: checked before they are stored, kept by version, owned by tenants, and pushed.

use prost_types::FieldMask;
use serde_json::{Value, json};
use switchyard_control_plane::store::feed::{self, Reader};
use switchyard_proto::v1;
use switchyard_tests::{admin::AdminPort, client};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

fn preset_of(id: &str, config: &str) -> v1::Preset {
    v1::Preset { id: id.to_owned(), config: config.to_owned(), ..Default::default() }
}

async fn create(port: &AdminPort, preset: v1::Preset) -> Result<v1::Preset, Status> {
    let request = v1::CreatePresetRequest { tenant: "acme".to_owned(), preset: Some(preset) };
    let made: v1::CreatePresetResponse = port.call("PresetService/CreatePreset", &request).await?;
    Ok(made.preset.unwrap())
}

async fn update(
    port: &AdminPort,
    preset: v1::Preset,
    paths: &[&str],
    revision: u64,
) -> Result<v1::Preset, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdatePresetRequest {
        tenant: "acme".to_owned(),
        id: "p".to_owned(),
        preset: Some(preset),
        update_mask: Some(FieldMask { paths }),
        revision,
    };
    port.call("PresetService/UpdatePreset", &request).await
}

async fn versions(port: &AdminPort, page_size: u32, page_token: &str) -> v1::ListPresetVersionsResponse {
    let request = v1::ListPresetVersionsRequest {
        tenant: "acme".to_owned(),
        id: "p".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    port.call("PresetService/ListPresetVersions", &request).await.unwrap()
}

async fn version(port: &AdminPort, version: u64) -> Result<v1::PresetVersion, Status> {
    let request = v1::GetPresetVersionRequest { tenant: "acme".to_owned(), id: "p".to_owned(), version };
    port.call("PresetService/GetPresetVersion", &request).await
}

async fn delete(port: &AdminPort, revision: u64) -> Result<v1::DeletePresetResponse, Status> {
    let request = v1::DeletePresetRequest { tenant: "acme".to_owned(), id: "p".to_owned(), revision };
    port.call("PresetService/DeletePreset", &request).await
}

async fn port() -> AdminPort {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port
}

fn field(status: &Status) -> &str {
    status.metadata().get("switchyard-field").map_or("", |field| field.to_str().unwrap())
}

#[tokio::test]
async fn what_no_request_could_have_is_refused_by_its_member_and_not_stored() {
    let port = port().await;
    for (id, config, at) in [
        ("Not A Slug", "{}", "preset.id"),
        ("p", "{", "preset.config"),
        ("p", r#"{"temperature": "hot"}"#, "preset.config.temperature"),
        ("p", r#"{"messages": []}"#, "preset.config.messages"),
        ("p", r#"{"model": "@preset/other"}"#, "preset.config.model"),
        ("p", r#"{"provider": {"ony": []}}"#, "preset.config.provider.ony"),
    ] {
        let status = create(&port, preset_of(id, config)).await.unwrap_err();
        assert_eq!((status.code(), field(&status)), (Code::InvalidArgument, at), "{status:?}");
    }
    let listed: v1::ListPresetsResponse = port
        .call(
            "PresetService/ListPresets",
            &v1::ListPresetsRequest { tenant: "acme".into(), ..Default::default() },
        )
        .await
        .unwrap();
    assert_eq!(listed.presets, []);
    let nobodys = v1::CreatePresetRequest { tenant: "nobody".into(), preset: Some(preset_of("p", "")) };
    let refused = port.call::<_, v1::CreatePresetResponse>("PresetService/CreatePreset", &nobodys).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_a_preset_says_is_kept_by_version_and_the_rest_is_not() {
    let port = port().await;
    let made = create(&port, preset_of("p", r#"{"temperature": 0.10}"#)).await.unwrap();
    assert_eq!((made.version, made.config.as_str()), (1, r#"{"temperature": 0.10}"#));
    assert_eq!(create(&port, preset_of("p", "")).await.unwrap_err().code(), Code::AlreadyExists);

    let about = v1::Preset { description: "ours".into(), ..Default::default() };
    let told = update(&port, about, &["description"], made.revision).await.unwrap();
    assert_eq!((told.version, told.description.as_str()), (1, "ours"));
    assert!(told.revision > made.revision);
    let stale = update(&port, preset_of("p", "{}"), &["config"], made.revision).await;
    assert_eq!(stale.unwrap_err().code(), Code::Aborted);

    let spoken = v1::Preset { system_prompt: "Be terse.".into(), ..Default::default() };
    let changed = update(&port, spoken.clone(), &["system_prompt"], told.revision).await.unwrap();
    assert_eq!((changed.version, changed.config.as_str()), (2, r#"{"temperature": 0.10}"#));
    let same = update(&port, spoken, &["system_prompt"], changed.revision).await.unwrap();
    assert_eq!((same.version, same.revision), (2, changed.revision), "nothing has changed");

    let first = versions(&port, 1, "").await;
    assert_eq!(first.versions.iter().map(|row| row.version).collect::<Vec<_>>(), [2]);
    let second = versions(&port, 1, &first.next_page_token).await;
    assert_eq!(second.versions.iter().map(|row| row.version).collect::<Vec<_>>(), [1]);
    assert_eq!(second.next_page_token, "");
    let old = version(&port, 1).await.unwrap();
    assert_eq!((old.system_prompt.as_str(), old.config.as_str()), ("", r#"{"temperature": 0.10}"#));
    assert!(!old.created_by.is_empty());
    assert_eq!(version(&port, 3).await.unwrap_err().code(), Code::NotFound);

    assert_eq!(delete(&port, made.revision).await.unwrap_err().code(), Code::Aborted);
    delete(&port, changed.revision).await.unwrap();
    assert_eq!(version(&port, 1).await.unwrap_err().code(), Code::NotFound);
    let again = create(&port, preset_of("p", "{}")).await.unwrap();
    assert_eq!(again.version, 3, "a number never means two things");
    assert_eq!(version(&port, 1).await.unwrap_err().code(), Code::NotFound);
    let audit: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    let told: Vec<_> = audit.entries.iter().filter(|entry| entry.noun == "preset").collect();
    assert_eq!(told.len(), 5);
    assert!(!format!("{told:?}").contains("terse"), "prompts are not the audit's");
}

#[tokio::test]
async fn the_last_hundred_versions_are_kept() {
    let port = port().await;
    create(&port, preset_of("p", r#"{"seed": 0}"#)).await.unwrap();
    for seed in 1..=101 {
        update(&port, preset_of("p", &format!(r#"{{"seed": {seed}}}"#)), &["config"], 0).await.unwrap();
    }
    let listed = versions(&port, 1000, "").await.versions;
    assert_eq!((listed.len(), listed[0].version, listed[99].version), (100, 102, 3));
}

#[tokio::test]
async fn rest_has_a_path_for_presets_and_their_versions() {
    let port = port().await;
    let client = client::http();
    let call = async |method: reqwest::Method, path: &str, body: Value| {
        let url = format!("http://{}/admin/v1/tenants/acme/presets{path}", port.addr);
        let request = client.request(method, url).bearer_auth(&port.operator);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let body = json!({"preset": {"id": "p", "config": "{\"model\":\"a/m\"}"}});
    let (status, made) = call(reqwest::Method::POST, "", body).await;
    assert_eq!((status, &made["preset"]["tenant"]), (201, &json!("acme")), "{made}");
    let patch = json!({"preset": {"system_prompt": "Be terse."}});
    let (status, changed) = call(reqwest::Method::PATCH, "/p", patch).await;
    assert_eq!((status, &changed["config"]), (200, &json!("{\"model\":\"a/m\"}")), "{changed}");
    let (_, listed) = call(reqwest::Method::GET, "/p/versions", Value::Null).await;
    assert_eq!(listed["versions"].as_array().map(Vec::len), Some(2), "{listed}");
    let (status, first) = call(reqwest::Method::GET, "/p/versions/1", Value::Null).await;
    assert_eq!((status, &first["system_prompt"]), (200, &json!("")), "{first}");
}

#[tokio::test]
async fn presets_are_pushed_and_go_with_their_tenant() {
    let port = port().await;
    let made = create(&port, preset_of("p", r#"{"model":"a/m"}"#)).await.unwrap();
    let (mut reader, state) = Reader::open(&port.pool).await.unwrap();
    let rows: Vec<feed::Preset> = reader.presets(None).map(Result::unwrap).collect().await;
    let sent: Vec<_> = rows
        .iter()
        .map(|row| (row.tenant.as_str(), row.id.as_str(), row.version, row.config.as_str()))
        .collect();
    assert_eq!(sent, [("acme", "p", 1, made.config.as_str())]);
    drop(reader);
    let gone = v1::DeleteTenantRequest { id: "acme".into(), revision: 0 };
    port.call::<_, v1::DeleteTenantResponse>("TenantService/DeleteTenant", &gone).await.unwrap();
    let (mut reader, _) = Reader::open(&port.pool).await.unwrap();
    let buried: Vec<feed::Tombstone> = reader
        .tombstones(feed::Table::Presets, Some(state.revision.number))
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(buried.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["acme#p"]);
}
