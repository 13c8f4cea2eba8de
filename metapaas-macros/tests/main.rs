//! What the macros do from the outside.
