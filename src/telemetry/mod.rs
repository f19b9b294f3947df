//! Names of every metric, span and field; set-up of logs and metrics.
