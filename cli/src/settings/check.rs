//! What a single value's type cannot say: required settings, pairs of files, keys of the right length.

use std::{net::SocketAddr, path::PathBuf};

use switchyard_control_plane::settings::Settings as ControlPlane;
use switchyard_data_plane::settings::Settings as DataPlane;
use switchyard_proto::{seal::SealKey, secret::Secret};

use crate::{
    settings::{Settings, SettingsError},
    telemetry::Log,
};

type Checked = Result<(), SettingsError>;

/// Settings whose values are never shown.
const SECRETS: &[&str] = &[
    "data_plane.config_key",
    "data_plane.redis_url",
    "control_plane.database_url",
    "control_plane.master_key",
];

pub(super) fn is_secret(setting: &str) -> bool {
    SECRETS.contains(&setting)
}

pub(super) fn log(settings: &Settings, log: &Log) -> Checked {
    if let Err(error) = log.filter.parse::<tracing_subscriber::EnvFilter>() {
        return Err(settings.wrong("log.filter", format!("`{}` is no log filter: {error}", log.filter)));
    }
    if !(0.0..=1.0).contains(&log.otlp_sample_ratio) {
        let problem = format!("`{}` is not between 0 and 1", log.otlp_sample_ratio);
        return Err(settings.wrong("log.otlp_sample_ratio", problem));
    }
    if !log.otlp_endpoint.is_empty() && !log.otlp_endpoint.starts_with("http://") {
        let problem = format!("`{}` is not an `http://` address", log.otlp_endpoint);
        return Err(settings.wrong("log.otlp_endpoint", problem));
    }
    Ok(())
}

pub(super) fn data_plane(settings: &Settings, section: &DataPlane) -> Checked {
    let tls = &section.fleet_tls;
    files(settings, "data_plane.fleet_tls", &[("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)])?;
    let tls = &section.client_tls;
    files(settings, "data_plane.client_tls", &[("cert", &tls.cert), ("key", &tls.key)])?;
    control_plane_address(settings, section)?;
    if !section.config_key.is_empty() {
        sealing(settings, "data_plane.config_key", &section.config_key)?;
    }
    if !section.redis_url.is_empty() && redis::Client::open(section.redis_url.expose()).is_err() {
        return Err(settings.wrong("data_plane.redis_url", "is not a `redis://` or `rediss://` address"));
    }
    for (setting, is_zero) in [
        ("data_plane.requests.max_body_bytes", section.requests.max_body_bytes == 0),
        ("data_plane.requests.max_concurrent", section.requests.max_concurrent == 0),
        ("data_plane.requests.read_timeout_s", section.requests.read_timeout.is_zero()),
        ("data_plane.deadlines.connect_ms", section.deadlines.connect.is_zero()),
        ("data_plane.deadlines.headers_ms", section.deadlines.headers.is_zero()),
        ("data_plane.deadlines.first_content_ms", section.deadlines.first_content.is_zero()),
        ("data_plane.deadlines.whole_ms", section.deadlines.whole.is_zero()),
        ("data_plane.deadlines.idle_ms", section.deadlines.idle.is_zero()),
        ("data_plane.deadlines.total_ms", section.deadlines.total.is_zero()),
        ("data_plane.deadlines.min_rate_over_ms", section.deadlines.min_rate_over.is_zero()),
        ("data_plane.leases.default_output_tokens", section.leases.default_output_tokens == 0),
    ] {
        more_than_zero(settings, setting, is_zero)?;
    }
    for (setting, share) in [
        ("data_plane.drift.sample", section.drift.sample),
        ("data_plane.retries.share", section.retries.share),
        ("data_plane.routing.keep_decisions", section.routing.keep_decisions),
    ] {
        if !(0.0..=1.0).contains(&share) {
            return Err(settings.wrong(setting, format!("`{share}` is not between 0 and 1")));
        }
    }
    segments(settings, section)
}

pub(super) fn control_plane(settings: &Settings, section: &ControlPlane) -> Checked {
    let tls = &section.fleet_tls;
    files(settings, "control_plane.fleet_tls", &[("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)])?;
    if tls.ca.is_none() && !section.fleet_listen.ip().is_loopback() {
        let problem = "is not a loopback address, so `control_plane.fleet_tls` must be set \
                       (SWITCHYARD_FLEET_CA, SWITCHYARD_FLEET_CERT, SWITCHYARD_FLEET_KEY)";
        let problem = format!("`{}` {problem}", section.fleet_listen);
        return Err(settings.wrong("control_plane.fleet_listen", problem));
    }
    database_url(settings, &section.database_url)?;
    more_than_zero(settings, "control_plane.database_connections", section.database_connections == 0)?;
    more_than_zero(settings, "control_plane.drift.keep_days", section.drift.keep.is_zero())?;
    more_than_zero(settings, "control_plane.webhooks.timeout_ms", section.webhooks.timeout.is_zero())?;
    let kept = section.retention;
    kept_long_enough(settings, "control_plane.retention.generations_days", kept.generations_days)?;
    kept_long_enough(settings, "control_plane.retention.lines_days", kept.lines_days)?;
    required(settings, "control_plane.master_key", &section.master_key)?;
    sealing(settings, "control_plane.master_key", &section.master_key)
}

/// A record that comes twice is known by the first; data planes offer theirs again for some days.
fn kept_long_enough(settings: &Settings, setting: &str, days: u32) -> Checked {
    match days {
        1..7 => Err(settings.wrong(setting, format!("`{days}` is less than 7; 0 keeps them for ever"))),
        0 | 7.. => Ok(()),
    }
}

pub(super) fn database_url(settings: &Settings, url: &Secret) -> Checked {
    let setting = "control_plane.database_url";
    required(settings, setting, url)?;
    if url.expose().parse::<sqlx::postgres::PgConnectOptions>().is_err() {
        return Err(settings.wrong(setting, "is not a `postgres://` address"));
    }
    Ok(())
}

/// Credentials travel on this connection, so it is TLS or it does not leave the machine.
fn control_plane_address(settings: &Settings, section: &DataPlane) -> Checked {
    let setting = "data_plane.control_plane";
    let shown = &section.control_plane;
    let Ok(address) = shown.parse::<http::Uri>() else {
        return Err(
            settings.wrong(setting, format!("`{shown}` is not an address such as `https://host:50051`"))
        );
    };
    let has_files = section.fleet_tls.ca.is_some();
    match (address.scheme_str(), address.host()) {
        (Some("https"), Some(_)) if has_files => Ok(()),
        (Some("https"), Some(_)) => {
            let problem = "is `https`, so `data_plane.fleet_tls` must be set \
                           (SWITCHYARD_FLEET_CA, SWITCHYARD_FLEET_CERT, SWITCHYARD_FLEET_KEY)";
            Err(settings.wrong(setting, format!("`{shown}` {problem}")))
        }
        (Some("http"), Some(host)) if is_loopback(host) => Ok(()),
        (Some("http"), Some(_)) => {
            Err(settings.wrong(setting, format!("`{shown}` must be `https`: `http` is for loopback only")))
        }
        _ => {
            Err(settings.wrong(setting, format!("`{shown}` is not an address such as `https://host:50051`")))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = |host: &str| format!("{host}:0").parse::<SocketAddr>();
    host == "localhost" || address(host).is_ok_and(|address| address.ip().is_loopback())
}

fn segments(settings: &Settings, section: &DataPlane) -> Checked {
    let (segment, most) = (section.journal.segment_bytes, section.journal.max_bytes);
    if segment == 0 || segment > most {
        let problem = format!("`{segment}` is not between 1 and `data_plane.journal.max_bytes` ({most})");
        return Err(settings.wrong("data_plane.journal.segment_bytes", problem));
    }
    Ok(())
}

/// All of them or none, and those that are named exist.
fn files(settings: &Settings, section: &str, files: &[(&str, &Option<PathBuf>)]) -> Checked {
    let is_any = files.iter().any(|(_, file)| file.is_some());
    for (name, file) in files {
        let setting = format!("{section}.{name}");
        match file {
            None if is_any => {
                return Err(settings.wrong(&setting, "is missing while others of its section are set"));
            }
            Some(path) if !path.is_file() => {
                return Err(settings.wrong(&setting, format!("there is no file `{}`", path.display())));
            }
            None | Some(_) => {}
        }
    }
    Ok(())
}

fn required(settings: &Settings, setting: &str, value: &Secret) -> Checked {
    if value.is_empty() { Err(settings.wrong(setting, "must be set")) } else { Ok(()) }
}

fn sealing(settings: &Settings, setting: &str, value: &Secret) -> Checked {
    let problem = "is not base64 of 32 bytes (`openssl rand -base64 32` makes one)";
    SealKey::from_base64(value.expose()).map(drop).map_err(|_| settings.wrong(setting, problem))
}

fn more_than_zero(settings: &Settings, setting: &str, is_zero: bool) -> Checked {
    if is_zero { Err(settings.wrong(setting, "must be more than 0")) } else { Ok(()) }
}
