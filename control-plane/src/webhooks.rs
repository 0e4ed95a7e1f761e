//! Events about money, told to webhooks as Standard Webhooks say: <https://www.standardwebhooks.com>.
//!
//! `event` makes bodies, [`send`] signs and sends. When is `jobs`' business, where they wait `store::delivery`'s.

pub mod event;
pub mod send;
