//! The authoritative DNS server for the bundled zones.
