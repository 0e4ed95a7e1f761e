//! Lists that must cover something else: settings their manual, admin operations their tests, adapters their proofs.
