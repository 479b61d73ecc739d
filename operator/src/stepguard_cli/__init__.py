"""stepguard: the command line for people."""
