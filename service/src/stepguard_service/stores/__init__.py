"""State behind small protocols: rules, keys, used proofs."""
