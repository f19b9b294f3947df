//! Domain words: people, messages, presence, requests and their outcomes. No I/O, no clock, no protocol.
