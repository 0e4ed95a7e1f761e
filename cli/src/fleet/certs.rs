//! `switchyard fleet certs`: a private authority and one certificate for each plane.
//!
//! Enough for a compose file or a first cluster. Whoever runs an authority already gives its files to the
//! settings instead.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::{DateTime, Datelike, Days, Utc};
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use switchyard_proto::clock;

/// Arguments.
#[derive(Debug, Args)]
pub struct Certs {
    /// The folder to write to, made if it is missing
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// A name or address that data planes reach the control plane by; repeatable
    #[arg(long = "host", value_name = "HOST", default_values = ["localhost", "control-plane", "127.0.0.1", "::1"])]
    hosts: Vec<String>,
    /// How long they are valid
    #[arg(long, value_name = "DAYS", default_value_t = 825, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// Replace what is there; data planes with older certificates are then refused
    #[arg(long)]
    force: bool,
}

/// Certificate and private key, as PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Certs {
    /// Writes the files, unless they are there.
    ///
    /// # Errors
    /// For a name that no certificate can have, and when a file cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let folder = self.out.display();
        if self.out.join("ca.pem").exists() && !self.force {
            println!("{folder}/ca.pem is there already: nothing was changed (--force replaces it).");
            return Ok(());
        }
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make the folder `{folder}`"))?;
        let made = make(&self.hosts, clock::now(), self.days)?;
        for (name, pair) in ["ca", "control-plane", "data-plane"].into_iter().zip(made) {
            write(&self.out.join(format!("{name}.pem")), &pair.cert, 0o644)?;
            write(&self.out.join(format!("{name}.key")), &pair.key, 0o600)?;
        }
        println!("{}", instructions(&folder.to_string()));
        Ok(())
    }
}

fn instructions(folder: &str) -> String {
    format!(
        "Wrote an authority and two certificates to {folder}.\n\
         Control plane: SWITCHYARD_FLEET_CA={folder}/ca.pem SWITCHYARD_FLEET_CERT={folder}/control-plane.pem \
         SWITCHYARD_FLEET_KEY={folder}/control-plane.key\n\
         Data planes:   SWITCHYARD_FLEET_CA={folder}/ca.pem SWITCHYARD_FLEET_CERT={folder}/data-plane.pem \
         SWITCHYARD_FLEET_KEY={folder}/data-plane.key\n\
         Keep {folder}/ca.key offline: whoever has it can join the fleet."
    )
}

/// Authority, control plane, data plane.
fn make(hosts: &[String], now: DateTime<Utc>, days: u64) -> anyhow::Result<[Pair; 3]> {
    let key = KeyPair::generate()?;
    let mut params = params(&[], "Switchyard fleet authority", now, days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = Pair { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
    let issuer = Issuer::new(params, key);
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let control_plane = signed(&issuer, self::params(hosts, "control-plane", now, days)?, server)?;
    let names = ["data-plane".to_owned()];
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let data_plane = signed(&issuer, self::params(&names, "data-plane", now, days)?, client)?;
    Ok([ca, control_plane, data_plane])
}

fn params(hosts: &[String], name: &str, now: DateTime<Utc>, days: u64) -> anyhow::Result<CertificateParams> {
    let hosts_shown = hosts.join(", ");
    let mut params = CertificateParams::new(hosts)
        .with_context(|| format!("--host: one of `{hosts_shown}` cannot be in a certificate"))?;
    params.distinguished_name.push(DnType::CommonName, name);
    // A day earlier, for clocks that are slow.
    let (from, to) = (now - Days::new(1), now + Days::new(days));
    params.not_before = rcgen::date_time_ymd(from.year(), month(from), day(from));
    params.not_after = rcgen::date_time_ymd(to.year(), month(to), day(to));
    Ok(params)
}

fn signed(
    issuer: &Issuer<'_, KeyPair>,
    mut params: CertificateParams,
    purpose: ExtendedKeyUsagePurpose,
) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    Ok(Pair { cert: params.signed_by(&key, issuer)?.pem(), key: key.serialize_pem() })
}

fn month(at: DateTime<Utc>) -> u8 {
    u8::try_from(at.month()).expect("there are twelve months")
}

fn day(at: DateTime<Utc>) -> u8 {
    u8::try_from(at.day()).expect("no month has more than 31 days")
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let open = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_once_and_keys_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let certs = |force| Certs {
            out: folder.path().to_owned(),
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            days: 30,
            force,
        };
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        certs(false).run().unwrap();
        let first = read("ca.pem");
        certs(false).run().unwrap();
        assert_eq!(read("ca.pem"), first);
        certs(true).run().unwrap();
        assert_ne!(read("ca.pem"), first);
        for plane in ["control-plane", "data-plane"] {
            assert!(read(&format!("{plane}.pem")).starts_with("-----BEGIN CERTIFICATE-----"));
            let key = folder.path().join(format!("{plane}.key"));
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused() {
        assert!(make(&["bücher.example".to_owned()], clock::now(), 30).is_err());
    }
}
