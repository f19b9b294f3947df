//! Address to plan: ENUM, SRV, portability, caches, explanation.
