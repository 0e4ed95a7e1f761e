//! What streams look like.
