"""stepguard-service: the data plane. It decides about requests and knows nothing of Kubernetes."""
