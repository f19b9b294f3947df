//! Whole messages, octet by octet.
