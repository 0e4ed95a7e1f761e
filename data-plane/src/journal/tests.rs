//! The journal as a whole: files, restarts, refusals.
