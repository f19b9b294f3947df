//! Walks over hand-made RRsets.
