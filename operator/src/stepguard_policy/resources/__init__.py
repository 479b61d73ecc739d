"""Typed models of TokenIssuer and StepUpPolicy: the one source of the CRDs."""
