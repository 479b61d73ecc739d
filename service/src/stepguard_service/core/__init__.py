"""The decision, pure: no I/O, no clock, no logging, no protobuf."""
