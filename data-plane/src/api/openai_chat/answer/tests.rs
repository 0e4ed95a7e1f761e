//! What whole answers look like.
