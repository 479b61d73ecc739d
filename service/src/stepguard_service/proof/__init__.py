"""Verification of tokens, proofs and what they are bound to: pure, given keys and `now`."""
