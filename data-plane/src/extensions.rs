//! What a request may ask of the router itself: presets, plugins, the automatic model. A request in, a request out.
//!
//! Pure. Applied once, between reading a body and planning; what a plugin does to answers is here too.

pub mod auto;
pub mod caching;
pub mod compress;
pub mod heal;
pub mod plugins;
pub mod preset;
