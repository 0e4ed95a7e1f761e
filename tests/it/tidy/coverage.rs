//! Lists that must cover something else: settings their manual, admin operations their tests, adapters their proofs.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::FileDescriptorSet;
use switchyard_cli::settings::{DEFAULTS, Sources, environment_names};
use switchyard_data_plane::{adapters::ADAPTERS, telemetry::metrics};

use super::source::{read, sources};

/// Services of the fleet port; every other one is an admin service.
const FLEET_SERVICES: &[&str] = &["AccountService", "ConfigService", "IngestService", "LeaseService"];

/// Every RPC of our protos as `Service/Rpc`.
fn rpcs() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(switchyard_proto::DESCRIPTORS).unwrap();
    let ours = set.file.iter().filter(|file| file.package() == "switchyard.v1");
    let services = ours.flat_map(|file| &file.service);
    let rpcs = services.flat_map(|service| {
        service
            .method
            .iter()
            .map(|method| (service.name().to_owned(), format!("{}/{}", service.name(), method.name())))
    });
    rpcs.collect()
}

#[test]
fn every_admin_rpc_is_asked_by_strangers_and_by_another_tenant() {
    let cases = read("tests/it/admin_access.rs");
    let admin: Vec<String> = rpcs()
        .into_iter()
        .filter(|(service, _)| !FLEET_SERVICES.contains(&service.as_str()))
        .map(|(_, rpc)| rpc)
        .collect();
    assert!(admin.len() > 30, "only {} admin RPCs: has the descriptor lost some?", admin.len());
    let missing: Vec<&String> = admin.iter().filter(|rpc| !cases.contains(&format!("\"{rpc}\""))).collect();
    assert!(
        missing.is_empty(),
        "no case in tests/it/admin_access.rs for {missing:?}. Add a row that says whom each lets in; its tests call it \
         without a token, with each role, and from another tenant"
    );
}

#[test]
fn every_fleet_service_is_on_the_list() {
    let services: BTreeSet<String> = rpcs().into_iter().map(|(service, _)| service).collect();
    for service in FLEET_SERVICES {
        assert!(services.contains(*service), "{service} is gone: remove it from the list");
    }
}

#[test]
fn every_adapter_is_proven_on_recordings_and_on_faults() {
    let (recordings, faults) = (read("tests/it/conformance/exchange.rs"), read("tests/it/failover.rs"));
    for adapter in ADAPTERS {
        let name = format!("\"{}\"", adapter.name());
        assert!(
            recordings.contains(&name),
            "adapter {name} is not in tests/it/conformance/exchange.rs: say there which recordings are its"
        );
        assert!(faults.contains(&name), "adapter {name} is not in tests/it/failover.rs: add it to DIALECTS");
    }
}

/// The name of a metric tells its unit by its end, or counts things.
#[test]
fn every_metric_has_a_unit_and_a_name_of_its_own() {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for metric in metrics::ALL {
        assert!(!metric.help.is_empty(), "{}: no text", metric.name);
        check_name(metric.name, metric.unit.as_str());
        owners.insert(metric.name.to_owned(), "the data plane".to_owned());
    }
    assert_eq!(owners.len(), metrics::ALL.len(), "two metrics of the data plane have the same name");
    let text = read("control-plane/src/telemetry.rs");
    let constants = text.lines().filter_map(|line| {
        let (constant, name) =
            line.trim_start_matches("pub ").strip_prefix("const ")?.split_once(": &str = \"")?;
        Some((constant, name.strip_suffix("\";")?))
    });
    let named: Vec<(&str, &str)> = constants.filter(|(_, name)| name.starts_with("switchyard_")).collect();
    assert!(!named.is_empty(), "control-plane/src/telemetry.rs names no metric: have they moved?");
    for (constant, name) in named {
        assert!(text.contains(&format!("!({constant}, Unit::")), "{name}: not described with a unit");
        let known = owners.insert(name.to_owned(), "the control plane".to_owned());
        assert!(known.is_none(), "{name}: {} has one of this name", known.unwrap_or_default());
    }
}

fn check_name(name: &str, unit: &str) {
    let expected = match unit {
        "seconds" => "_seconds",
        "bytes" => "_bytes",
        _ => return,
    };
    assert!(name.ends_with(expected), "{name} is in {unit}: its name should end in `{expected}`");
}

/// Metrics are recorded under the names of the list, so that it is complete.
#[test]
fn no_metric_is_recorded_under_a_name_of_its_own() {
    for file in sources("").into_iter().filter(|file| !file.is_test() && !file.path.contains("/telemetry")) {
        for kind in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            assert!(!file.text.contains(kind), "{}: {kind}…\": name it in the crate's telemetry", file.path);
        }
    }
}

/// Each setting is a line of the manual, with a text and its variable above it.
#[test]
fn every_setting_is_explained_in_the_defaults_and_has_a_variable() {
    let known = environment_names();
    let mut above: Vec<&str> = Vec::new();
    let mut count = 0;
    for line in DEFAULTS.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            above.push(comment.trim());
            continue;
        }
        if let Some((setting, _)) = line.split_once(" = ") {
            let (variable, text) = above.split_last().unwrap_or((&"", &[]));
            assert!(
                known.iter().any(|name| name == variable),
                "defaults.toml: `{setting}`: `{variable}` is no variable"
            );
            assert!(
                !text.is_empty(),
                "defaults.toml: `{setting}`: say what it does, its unit and what it costs"
            );
            count += 1;
        }
        above.clear();
    }
    assert!(count > 40, "defaults.toml has only {count} settings: has its form changed?");
}

/// Without a default there would be an error here; a default without a setting is one too.
#[test]
fn the_defaults_are_all_settings_and_all_settings_have_defaults() {
    let required = [
        ("SWITCHYARD_DATABASE_URL", "postgres://localhost/switchyard"),
        ("SWITCHYARD_MASTER_KEY", switchyard_tests::plane::SEALING_KEY),
    ];
    let environment = required.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = Sources { environment, ..Sources::default() }.read().unwrap();
    settings.data_plane().unwrap();
    settings.control_plane().unwrap();
    settings.log().unwrap();
}
