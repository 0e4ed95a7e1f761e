//! Presets as requests read them: their members as JSON text, found by tenant and name.
//!
//! How one is laid under a request is `extensions::preset`'s business.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use switchyard_proto::id::{PresetId, TenantId};
use switchyard_proto::v1;

/// A tenant's stored part of requests, in its newest version.
#[derive(Debug, Clone)]
pub struct Preset {
    pub id: PresetId,
    pub tenant: TenantId,
    /// Members of a chat completions request and their JSON text, byte for byte as stored.
    pub members: Vec<(String, Bytes)>,
    /// JSON of the system message that goes before all others.
    pub system: Option<Bytes>,
    /// Whether answers may be kept; absent: as the request says.
    pub cache_enabled: Option<bool>,
    /// How long answers are kept, in seconds.
    pub cache_ttl: Option<u64>,
    pub config: v1::PresetConfig,
    pub revision: u64,
}

/// One tenant's, by id.
pub type Presets = BTreeMap<PresetId, Arc<Preset>>;
