"""What a user would otherwise write or install, each a server of its own on the same fixtures."""
