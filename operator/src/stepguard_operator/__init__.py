"""stepguard-operator: the control plane."""
