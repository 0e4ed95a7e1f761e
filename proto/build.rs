//! Compiles the protos without a system `protoc`.
#![expect(clippy::disallowed_methods, reason = "cargo hands a build script its folder in the environment")]

use std::{env, fs, path::PathBuf};

use prost::Message;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    println!("cargo:rerun-if-changed=switchyard");
    println!("cargo:rerun-if-changed=google");
    let files = protos()?;
    // `protox::compile` would lose the `google.api.http` options; the encoded set keeps them.
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let encoded = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &encoded)?;
    let set = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    // Secrets in these messages must not print; `secret.rs` writes their Debug by hand.
    let mut config = prost_build_config();
    config.skip_debug(SECRET_MESSAGES.iter().copied());
    tonic_prost_build::configure().compile_fds_with_config(set, config)?;
    Ok(())
}

/// Messages with a field that is a secret.
const SECRET_MESSAGES: &[&str] = &[
    ".switchyard.v1.CredentialConfig",
    ".switchyard.v1.Provider",
    ".switchyard.v1.TenantCredentialConfig",
    ".switchyard.v1.Credential",
    ".switchyard.v1.CreateKeyRequest",
    ".switchyard.v1.CreateKeyResponse",
    ".switchyard.v1.CreateTokenResponse",
    ".switchyard.v1.KeyEntry",
    ".switchyard.v1.MadeSecret",
    ".switchyard.v1.Webhook",
    ".switchyard.v1.CreateWebhookResponse",
];

fn prost_build_config() -> tonic_prost_build::Config {
    let mut config = tonic_prost_build::Config::new();
    // Repeated payloads of the fleet streams are handed on without copying.
    config.bytes([".switchyard.v1.ReportRequest.records"]);
    config
}

fn protos() -> Result<Vec<PathBuf>, Error> {
    let mut files: Vec<PathBuf> = fs::read_dir("switchyard/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}
