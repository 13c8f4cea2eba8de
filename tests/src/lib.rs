//! Helpers for tests that look at the whole from outside.
