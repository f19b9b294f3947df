//! SSP peers over HTTP: sessions, transactions, the mapping to the model.

mod config;

pub use config::SspConfig;
