//! Builds every part, joins them, shuts them down in order; the only file that knows all of them.
