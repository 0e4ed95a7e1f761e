//! TLS for clients, from PEM files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::settings::ClientTls;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`client_tls.cert` and `client_tls.key` must be set together")]
    Half,
    #[error("`{setting}`: {path} holds no PEM that can be read")]
    Pem {
        setting: &'static str,
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("`client_tls`: certificate and key do not fit")]
    Mismatch(#[source] rustls::Error),
}

/// The acceptor that settings ask for; none for plain HTTP.
///
/// # Errors
/// Names the setting at fault.
pub fn acceptor(settings: &ClientTls) -> Result<Option<TlsAcceptor>, TlsError> {
    let (cert, key) = match (&settings.cert, &settings.key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        _ => return Err(TlsError::Half),
    };
    let pem = |setting, path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::Pem { setting, path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem("client_tls.cert", cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem("client_tls.key", key))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
