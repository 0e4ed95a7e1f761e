//! What survives on the disk, and what is refused to be served from it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use switchyard_proto::id::TenantId;
use switchyard_proto::seal::SealKey;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    PolicyConfig, PolicyStage, Resource, TenantConfig, TenantCredentialConfig, WeightedModel,
};

use super::{Disk, DiskError, Found};
use crate::config::Current;
use crate::config::fixtures::{credential, model, push, resource};
use crate::config::snapshot::Snapshot;

const HOUR: Duration = Duration::from_secs(3600);

fn key(byte: u8) -> Option<SealKey> {
    Some(SealKey::from_bytes(&[byte; 32]).unwrap())
}

fn load(folder: &Path) -> Result<Found, DiskError> {
    Disk::open(folder, key(1)).1
}

/// A disk that has kept one full push and then one model per further revision, each flushed.
fn kept(folder: &Path, revisions: u64) -> (Disk, Current) {
    let (mut disk, found) = Disk::open(folder, key(1));
    let current = Current::new(found.unwrap().snapshot, Duration::ZERO, HOUR);
    for number in 1..=revisions {
        put(&mut disk, &current, number, vec![resource(Body::Model(model(&format!("a/m{number}"))))]);
        disk.flush(&current);
    }
    (disk, current)
}

fn put(disk: &mut Disk, current: &Current, number: u64, resources: Vec<Resource>) {
    let compiled = push(&current.load(), number == 1, resources.clone(), number);
    disk.keep(number == 1, &resources, &compiled.snapshot.revision);
    current.swap(compiled.snapshot);
}

fn shape(snapshot: &Snapshot) -> (u64, usize) {
    (snapshot.revision.number, snapshot.catalogue.models.len())
}

#[test]
fn a_restart_finds_base_and_deltas() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path(), 3);
    let found = load(folder.path()).unwrap();
    assert_eq!(shape(&found.snapshot), (3, 3));
    assert!(found.age < HOUR);
}

#[test]
fn a_restart_finds_policies() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, found) = Disk::open(folder.path(), key(1));
    let current = Current::new(found.unwrap().snapshot, Duration::ZERO, HOUR);
    let model = WeightedModel { model: "a/m".into(), weight: 0 };
    let stages = vec![PolicyStage { models: vec![model], ..Default::default() }];
    let policy = PolicyConfig { id: "p".into(), stages, ..Default::default() };
    put(&mut disk, &current, 1, vec![resource(Body::Policy(policy))]);
    disk.flush(&current);
    assert_eq!(load(folder.path()).unwrap().snapshot.policies.all().count(), 1);
}

#[test]
fn an_empty_disk_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(shape(&load(folder.path()).unwrap().snapshot), (0, 0));
}

#[test]
fn without_a_key_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, _) = Disk::open(folder.path(), None);
    let current = Current::new(Snapshot::default(), Duration::ZERO, HOUR);
    put(&mut disk, &current, 1, vec![resource(Body::Model(model("a/m")))]);
    disk.flush(&current);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn another_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path(), 1);
    assert!(matches!(Disk::open(folder.path(), key(2)).1, Err(DiskError::Unopenable)));
}

#[test]
fn an_old_copy_put_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, current) = kept(folder.path(), 2);
    let path = folder.path().join("config/deltas");
    let old = fs::read(&path).unwrap();
    put(&mut disk, &current, 3, vec![]);
    disk.flush(&current);
    fs::write(&path, old).unwrap();
    assert!(matches!(load(folder.path()), Err(DiskError::Rollback)));
}

#[test]
fn a_torn_delta_beyond_the_mark_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path(), 2);
    let path = folder.path().join("config/deltas");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(shape(&load(folder.path()).unwrap().snapshot), (2, 2));
}

#[test]
fn no_secret_is_on_the_disk_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let mut provider = crate::config::fixtures::provider("p");
    provider.credentials = vec![switchyard_proto::v1::CredentialConfig {
        id: "c".into(),
        secret: "canary-9d1".into(),
        weight: 1,
        rates: None,
    }];
    let (mut disk, _) = Disk::open(folder.path(), key(1));
    let current = Current::new(Snapshot::default(), Duration::ZERO, HOUR);
    let own = TenantCredentialConfig { secret: "canary-9d1".into(), ..credential("mine", "p") };
    let acme = TenantConfig { id: "acme".into(), ..Default::default() };
    let rows = vec![
        resource(Body::Provider(provider)),
        resource(Body::Tenant(acme)),
        resource(Body::Credential(own)),
    ];
    put(&mut disk, &current, 1, rows);
    disk.flush(&current);
    let bytes = fs::read(folder.path().join("config/base")).unwrap();
    assert!(!bytes.windows(10).any(|window| window == b"canary-9d1"));
    let found = load(folder.path()).unwrap().snapshot;
    assert_eq!(found.catalogue.providers["p"].credentials[0].secret.expose(), "canary-9d1");
    let own = &found.credentials(&TenantId::new("acme"))[0];
    assert_eq!(own.secret.as_ref().map(|secret| secret.secret.expose()), Some("canary-9d1"));
}
