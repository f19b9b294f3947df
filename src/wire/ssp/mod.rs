//! SSP 1.3, the IMPS server-to-server protocol, as bytes and state machines.
