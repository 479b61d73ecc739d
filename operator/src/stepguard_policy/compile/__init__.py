"""From resources to a PolicySnapshot and a verdict for each resource."""
