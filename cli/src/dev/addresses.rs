//! Where `dev` listens: flags over the environment over defaults on loopback.

use std::net::SocketAddr;

use clap::Args;
use toml::Value;

use crate::settings::{Settings, SettingsError};

/// Flags, one a port. Port 0 takes a free one.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ports")]
pub struct Addresses {
    /// Client API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Admin gRPC, REST and OpenAPI [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Between the planes; a second data plane attaches here [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    fleet_listen: Option<SocketAddr>,
    /// The data plane's health and metrics [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
    /// The control plane's health and metrics [default: 127.0.0.1:9091]
    #[arg(long, value_name = "ADDR")]
    control_ops_listen: Option<SocketAddr>,
}

/// What the layers came to.
#[derive(Debug, Clone, Copy)]
pub struct Resolved {
    listen: SocketAddr,
    admin: SocketAddr,
    fleet: SocketAddr,
    ops: SocketAddr,
    control_ops: SocketAddr,
}

/// Setting, default and flag of each port.
const PORTS: [(&str, &str, &str); 5] = [
    ("data_plane.listen", "127.0.0.1:8080", "--listen"),
    ("control_plane.admin_listen", "127.0.0.1:8081", "--admin-listen"),
    ("control_plane.fleet_listen", "127.0.0.1:50051", "--fleet-listen"),
    ("data_plane.ops_listen", "127.0.0.1:9090", "--ops-listen"),
    ("control_plane.ops_listen", "127.0.0.1:9091", "--control-ops-listen"),
];

/// Loopback, on the ports that the planes have anywhere.
pub fn defaults() -> Vec<(&'static str, Value)> {
    PORTS.iter().map(|(setting, default, _)| (*setting, Value::from(*default))).collect()
}

/// What the settings say.
///
/// # Errors
/// For settings that are wrong, these or others.
pub fn of(settings: &Settings) -> Result<Resolved, SettingsError> {
    let (data_plane, control_plane) = (settings.data_plane()?, settings.control_plane()?);
    Ok(Resolved {
        listen: data_plane.listen,
        admin: control_plane.admin_listen,
        fleet: control_plane.fleet_listen,
        ops: data_plane.ops_listen,
        control_ops: control_plane.ops_listen,
    })
}

impl Addresses {
    /// The flags that were given, as settings.
    pub fn flags(&self) -> Vec<(&'static str, Value, &'static str)> {
        let given =
            [self.listen, self.admin_listen, self.fleet_listen, self.ops_listen, self.control_ops_listen];
        let given = PORTS.iter().zip(given).filter_map(|(port, addr)| Some((port, addr?)));
        given.map(|((setting, _, flag), addr)| (*setting, Value::from(addr.to_string()), *flag)).collect()
    }
}

impl Resolved {
    /// Each address with the flag that changes it.
    pub fn wanted(&self) -> [(SocketAddr, &'static str); 5] {
        let addresses = [self.listen, self.admin, self.fleet, self.ops, self.control_ops];
        let mut flags = PORTS.iter().map(|(_, _, flag)| *flag);
        addresses.map(|addr| (addr, flags.next().expect("there are as many flags")))
    }

    /// Ports that are ours, so that nobody else's server is there.
    pub fn ports(&self) -> [u16; 5] {
        self.wanted().map(|(addr, _)| addr.port())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        addresses: Addresses,
    }

    #[test]
    fn each_port_has_its_flag() {
        for (setting, _, flag) in PORTS {
            let line = Line::parse_from(["dev", flag, "127.0.0.1:1"]);
            assert_eq!(line.addresses.flags(), [(setting, Value::from("127.0.0.1:1"), flag)]);
        }
    }
}
