"""Policy unit tests: cases in YAML, decided by the service's own code with keys made for the test."""
