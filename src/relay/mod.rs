//! The use cases, one file each: admit, route, deliver, answer.
