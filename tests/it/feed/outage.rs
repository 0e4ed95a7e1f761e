//! The database goes away and comes back; ports and certificates are checked before anything runs.

use std::path::Path;
use switchyard_control_plane::app::StartError;

use switchyard_tests::{client, process};
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Identity},
};

use super::*;

#[tokio::test]
async fn streams_stay_open_while_the_database_is_away_and_everything_recovers() {
    let mut server = postgres::own().await.unwrap();
    let plane = Plane::on(&server.url("postgres")).await;
    plane.tenant("acme", "1.00").await;
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    server.halt().await.unwrap();

    let acquire = v1::AcquireRequest { instance: "dp".into(), epoch: 1, asks: Vec::new() };
    let report = v1::ReportRequest { instance: "dp".into(), epoch: 1, ..Default::default() };
    let lookup = v1::LookupKeyRequest { sha256: vec![0; 32] };
    let codes = [
        plane.leases().await.acquire(acquire.clone()).await.unwrap_err().code(),
        plane.usage().await.report(report).await.unwrap_err().code(),
        plane.config().await.lookup_key(lookup).await.unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::Unavailable; 3]);
    let list = plane.as_operator(v1::ListTenantsRequest::default());
    let status = TenantServiceClient::new(plane.admin().await).list_tenants(list).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let key = v1::ForwardRequest {
        method: "GET".into(),
        path: "/key".into(),
        key_sha256: vec![0; 32],
        ..Default::default()
    };
    assert_eq!(plane.account().await.forward(key).await.unwrap().into_inner().status, 503);

    server.restart().await.unwrap();
    until("money again", async || plane.leases().await.acquire(acquire.clone()).await.ok()).await;
    // The same stream: no new hello.
    plane.tenant("beta", "").await;
    let push = data_plane.take().await;
    assert_eq!((push.full, push.shown()), (false, vec!["tenant beta".to_owned()]));
}

#[tokio::test]
async fn a_control_plane_waits_for_its_database() {
    let mut server = postgres::own().await.unwrap();
    server.halt().await.unwrap();
    let shutdown = CancellationToken::new();
    let plane =
        app::start(settings(&server.url("postgres")), Host::default(), shutdown.clone()).await.unwrap();
    let readyz = async || {
        let answer = client::http().get(format!("http://{}/readyz", plane.ops_addr)).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(readyz().await, 503);
    server.restart().await.unwrap();
    assert!(time::timeout(SOON, plane.ready()).await.unwrap());
    assert_eq!(readyz().await, 200);
    shutdown.cancel();
    time::timeout(SOON, plane.stopped()).await.unwrap();
}

#[tokio::test]
async fn wrong_settings_are_named_before_anything_runs() {
    let url = "postgres://nobody@127.0.0.1:1/none";
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _held = std::net::TcpListener::bind(taken).unwrap();
    let outside = "0.0.0.0:0".parse().unwrap();
    for (settings, expected) in [
        (Settings { fleet_listen: outside, ..settings(url) }, "fleet_tls.cert"),
        (Settings { admin_listen: taken, ..settings(url) }, "admin_listen"),
        (Settings { master_key: Secret::new("short"), ..settings(url) }, "master_key"),
        (Settings { database_url: Secret::new("mysql://x"), ..settings(url) }, "database_url"),
        (
            Settings {
                fleet_tls: FleetTls { ca: Some("/nowhere/ca.pem".into()), ..FleetTls::default() },
                ..settings(url)
            },
            "fleet_tls.ca",
        ),
    ] {
        let error = app::start(settings, Host::default(), CancellationToken::new()).await.unwrap_err();
        let named = match &error {
            StartError::PortTaken { setting, .. }
            | StartError::Listen { setting, .. }
            | StartError::Setting { setting, .. } => *setting,
        };
        assert_eq!(named, expected, "{error}");
    }
}

async fn certificates(folder: &Path) {
    let program = process::program().unwrap();
    let made = tokio::process::Command::new(program).args(["fleet", "certs", "--out"]).arg(folder).output();
    assert!(made.await.unwrap().status.success());
}

#[tokio::test]
async fn with_certificates_both_sides_show_one() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path()).await;
    let file = |name: &str| folder.path().join(name);
    let database = postgres::database(&schema::migrations()).await.unwrap();
    let tls = FleetTls {
        ca: Some(file("ca.pem")),
        cert: Some(file("control-plane.pem")),
        key: Some(file("control-plane.key")),
    };
    let plane = Plane::with(Settings { fleet_tls: tls, ..settings(&database.url) }).await;
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let trust =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca.pem"))).domain_name("localhost");
    let identity = Identity::from_pem(read("data-plane.pem"), read("data-plane.key"));
    for (what, tls, is_let_in) in [
        ("nothing", None, false),
        ("no certificate of its own", Some(trust.clone()), false),
        ("a certificate", Some(trust.identity(identity)), true),
    ] {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut endpoint = Channel::from_shared(format!("{scheme}://{}", plane.plane.fleet_addr)).unwrap();
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).unwrap();
        }
        let mut client = ConfigServiceClient::new(endpoint.connect_lazy());
        let found = client.lookup_key(v1::LookupKeyRequest { sha256: vec![0; 32] }).await;
        assert_eq!(found.is_ok(), is_let_in, "{what}: {found:?}");
    }
}
