//! Reads the configuration file and reports every mistake at once.
