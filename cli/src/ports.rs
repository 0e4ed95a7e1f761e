//! Sees to it that ports are free before anything is started, and names the flag or setting of one that is not.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("port {} on {} is taken: choose another with {setting}", addr.port(), addr.ip())]
    Taken { addr: SocketAddr, setting: String },
    #[error("cannot listen on {addr}: change {setting}")]
    Refused { addr: SocketAddr, setting: String, source: io::Error },
}

/// Binds all of them for a moment; two that are the same are caught as well.
///
/// Without `SO_REUSEPORT`, which the data plane uses: a second one on the same port would start, and share the
/// first one's callers.
///
/// # Errors
/// The first address that cannot be bound.
pub fn ensure_free(wanted: &[(SocketAddr, &str)]) -> Result<(), PortError> {
    let mut held = Vec::new();
    for (addr, setting) in wanted {
        held.push(TcpListener::bind(addr).map_err(|error| refused(*addr, setting, error))?);
    }
    Ok(())
}

/// Why an address could not be bound, in words.
pub fn refused(addr: SocketAddr, setting: &str, error: io::Error) -> PortError {
    let setting = setting.to_owned();
    match error.kind() {
        io::ErrorKind::AddrInUse => PortError::Taken { addr, setting },
        _ => PortError::Refused { addr, setting, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let (taken, free) = (other.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
        let error = ensure_free(&[(free, "--listen"), (taken, "--admin-listen")]).unwrap_err();
        let expected =
            format!("port {} on 127.0.0.1 is taken: choose another with --admin-listen", taken.port());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_same_port_twice_is_caught() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ensure_free(&[(free, "--listen"), (free, "--ops-listen")]).unwrap_err();
        assert!(error.to_string().ends_with("--ops-listen"), "{error}");
        ensure_free(&[(free, "--listen")]).unwrap();
    }
}
