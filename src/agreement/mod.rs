//! What the interconnection agreement with a peer lets through.
