//! NAPTR records (RFC 3403) as ENUM uses them (RFC 6116).
