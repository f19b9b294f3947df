//! SSP peers over HTTP: sessions, transactions, the mapping to the model.
