//! The defaults are complete and documented; layers win in order; errors name setting, variable and layer.

use std::{collections::BTreeMap, io::Write};

use crate::settings::{
    DEFAULTS, Settings, SettingsError, Sources, known, manual,
    manual::{Entry, entries},
    variables::{VARIABLES, variable_of},
};

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Sources { environment: environment(pairs), ..Sources::default() }.read()
}

fn from_file(text: &str) -> Result<Settings, SettingsError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Sources { file: Some(file.path().to_owned()), ..Sources::default() }.read()
}

#[test]
fn defaults_have_every_setting_of_both_planes() {
    let required =
        [("SWITCHYARD_DATABASE_URL", "postgres://localhost/switchyard"), ("SWITCHYARD_MASTER_KEY", KEY)];
    let settings = from_environment(&required).unwrap();
    // The structs deny unknown fields and have no defaults of their own, so both directions are covered.
    settings.log().unwrap();
    settings.data_plane().unwrap();
    settings.control_plane().unwrap();
}

#[test]
fn every_default_is_documented_with_its_variable() {
    let entries = entries();
    for Entry { setting, variable, explanation, .. } in &entries {
        assert_eq!(Some(variable.as_str()), variable_of(setting), "the last comment line of {setting}");
        assert!(explanation.len() > 10, "{setting} has no explanation");
    }
    let documented: Vec<&str> = entries.iter().map(|entry| entry.setting.as_str()).collect();
    for setting in known(&DEFAULTS.parse().unwrap()) {
        assert!(documented.contains(&setting.as_str()), "{setting}");
    }
}

#[test]
fn help_lists_the_variables_of_a_plane() {
    let text = manual("control_plane");
    assert!(text.contains("SWITCHYARD_ADMIN_LISTEN") && text.contains("SWITCHYARD_LOG"), "{text}");
    assert!(!text.contains("SWITCHYARD_LISTEN"), "{text}");
}

#[test]
fn every_variable_leads_to_a_setting() {
    let all = known(&DEFAULTS.parse().unwrap());
    for (name, settings) in VARIABLES {
        for setting in *settings {
            assert!(all.iter().any(|known| known == setting), "{name}: {setting}");
        }
    }
}

#[test]
fn units_are_part_of_the_name() {
    for setting in known(&DEFAULTS.parse().unwrap()) {
        let name = setting.rsplit('.').next().unwrap();
        let is_time = ["timeout", "every", "after", "age", "idle", "drain", "total", "wait"]
            .iter()
            .any(|word| name.split('_').any(|part| part == *word));
        assert!(!is_time || name.ends_with("_s") || name.ends_with("_ms"), "{setting}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[data_plane]\nregion = \"file\"\n[data_plane.deadlines]\ntotal_ms = 5\n").unwrap();
    let sources = Sources {
        profile: vec![("data_plane.region", "profile".into()), ("data_plane.threads", 3.into())],
        file: Some(file.path().to_owned()),
        environment: environment(&[("SWITCHYARD_DEADLINES_TOTAL_MS", "7"), ("SWITCHYARD_LISTEN", "")]),
        flags: vec![("data_plane.ops_listen", "127.0.0.1:1".into(), "--ops-listen")],
    };
    let section = sources.read().unwrap().data_plane().unwrap();
    assert_eq!(section.region, "file");
    assert_eq!(section.threads, 3);
    assert_eq!(section.deadlines.total.as_millis(), 7);
    assert_eq!(section.listen.to_string(), "0.0.0.0:8080", "an empty variable is not set");
    assert_eq!(section.ops_listen.to_string(), "127.0.0.1:1");
}

#[test]
fn wrong_values_name_the_setting_and_the_variable() {
    for (name, value, expected) in [
        (
            "SWITCHYARD_THREADS",
            "many",
            "setting `data_plane.threads` (SWITCHYARD_THREADS): `many` is not a whole number",
        ),
        ("SWITCHYARD_THREADS", "-1", "setting `data_plane.threads` (SWITCHYARD_THREADS): "),
        ("SWITCHYARD_LISTEN", "8080", "setting `data_plane.listen` (SWITCHYARD_LISTEN): "),
        ("SWITCHYARD_LOG_FORMAT", "xml", "setting `log.format` (SWITCHYARD_LOG_FORMAT): "),
        (
            "SWITCHYARD_OTLP_SAMPLE_RATIO",
            "2",
            "setting `log.otlp_sample_ratio` (SWITCHYARD_OTLP_SAMPLE_RATIO): ",
        ),
        ("SWITCHYARD_CONFIG_KEY", "short", "setting `data_plane.config_key` (SWITCHYARD_CONFIG_KEY): "),
        (
            "SWITCHYARD_CONTROL_PLANE",
            "http://cp:1",
            "setting `data_plane.control_plane` (SWITCHYARD_CONTROL_PLANE): ",
        ),
        (
            "SWITCHYARD_FLEET_CERT",
            "/none",
            "setting `data_plane.fleet_tls.ca` (SWITCHYARD_FLEET_CA): is missing",
        ),
        (
            "SWITCHYARD_DEADLINES_TOTAL_MS",
            "0",
            "setting `data_plane.deadlines.total_ms` (SWITCHYARD_DEADLINES_TOTAL_MS): ",
        ),
    ] {
        let read = from_environment(&[(name, value)]);
        let error =
            read.and_then(|settings| settings.log().and(settings.data_plane().map(drop))).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{name}={value}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn secrets_are_not_in_errors() {
    let canary = "canary-7f3a";
    for name in
        ["SWITCHYARD_CONFIG_KEY", "SWITCHYARD_MASTER_KEY", "SWITCHYARD_DATABASE_URL", "SWITCHYARD_REDIS_URL"]
    {
        let settings = from_environment(&[(name, canary)]).unwrap();
        let errors = [settings.data_plane().err(), settings.control_plane().err()];
        for error in errors.into_iter().flatten() {
            assert!(!error.to_string().contains(canary), "{error}");
        }
    }
}

#[test]
fn what_the_control_plane_cannot_do_without_is_named() {
    let error = from_environment(&[]).unwrap().control_plane().unwrap_err();
    assert!(error.to_string().contains("SWITCHYARD_DATABASE_URL"), "{error}");
    let database = ("SWITCHYARD_DATABASE_URL", "postgres://localhost/switchyard");
    let error = from_environment(&[database]).unwrap().control_plane().unwrap_err();
    assert!(error.to_string().contains("SWITCHYARD_MASTER_KEY"), "{error}");
    let open = [database, ("SWITCHYARD_MASTER_KEY", KEY), ("SWITCHYARD_FLEET_LISTEN", "0.0.0.0:50051")];
    let error = from_environment(&open).unwrap().control_plane().unwrap_err();
    assert!(error.to_string().contains("SWITCHYARD_FLEET_CA"), "{error}");
}

#[test]
fn a_file_with_an_unknown_setting_is_refused_with_a_guess() {
    let error =
        from_file("[data_plane]\nlisten_on = \"x\"\n[data_plane.deadlines]\ntotal = 1\n").unwrap_err();
    assert!(
        error.to_string().contains("`data_plane.deadlines.total`") || error.to_string().contains("listen_on")
    );
    let error = from_file("[data_plane.deadlines]\ntotal = 1\n").unwrap_err();
    assert!(error.to_string().ends_with("; did you mean `data_plane.deadlines.total_ms`?"), "{error}");
}

#[test]
fn a_file_with_a_wrong_type_is_refused() {
    let error = from_file("[data_plane]\nthreads = \"two\"\n").unwrap_err();
    assert!(error.to_string().contains("`two` is not a whole number; set in `"), "{error}");
    let error = from_file("[data_plane\n").unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn variables_that_mean_nothing_are_told_with_a_guess() {
    let settings = from_environment(&[
        ("SWITCHYARD_LISTN", "x"),
        ("SWITCHYARD_ADMIN_TOKEN", "x"),
        ("SWITCHYARD_PROVIDER_OPENAI", "x"),
        ("SWITCHYARD_SERVICE_HOST", "10.0.0.1"),
        ("SWITCHYARD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ]);
    let warnings = settings.unwrap().warnings;
    let expected =
        "the environment variable `SWITCHYARD_LISTN` is not a setting; did you mean `SWITCHYARD_LISTEN`?";
    assert_eq!(warnings, [expected]);
}
