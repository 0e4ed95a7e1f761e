//! The canonical words of the crate: requests, answers, stream events and usage, as plain data.
//!
//! Surfaces (`api`) and adapters (`adapters`) meet only here, so there are N + M translations, not N × M.
//! No I/O, no provider's habits: those are settled in the adapter before a value of this module exists.

pub mod deadlines;
pub mod event;
pub mod facts;
pub mod file;
pub mod media;
pub mod message;
pub mod names;
pub mod parameter;
pub mod preferences;
pub mod request;
pub mod response;
pub mod task;
pub mod usage;

pub use self::deadlines::Deadlines;
pub use self::event::{ChoiceDelta, Chunk, Delta, Event, Fold, Start, ToolDelta};
pub use self::facts::{Facts, Media, MediaFacts};
pub use self::file::{FileType, FileTypes};
pub use self::media::{Fetched, FetchedFile};
pub use self::message::{Message, Part, Role, Tool, ToolCall, ToolChoice, ToolKind};
pub use self::names::Names;
pub use self::parameter::{Parameter, Parameters};
pub use self::preferences::{Preferences, Sort, SortBy};
pub use self::request::{ChatRequest, Dialect, Lazy, Reasoning, ResponseFormat, Sampling, Source};
pub use self::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
pub use self::task::{Document, Embed, Encoding, Input, Operation, Product, Ranked, Rerank, Task};
pub use self::usage::{Provenance, Usage};
