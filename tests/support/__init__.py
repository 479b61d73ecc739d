"""Real parts and builders that several test folders share."""
