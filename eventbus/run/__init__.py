"""A configuration made into a running server: start, reload, trial, rollback."""
