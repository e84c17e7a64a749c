"""Whose carbon it is: ways to share out what a device has emitted, none of which loses a gram."""
