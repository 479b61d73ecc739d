"""The parts of `stepguard demo`: a client, an authorization server, a sample application, Envoy and the story."""
