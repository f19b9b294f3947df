//! The admin API (v1) and the NOC console.
