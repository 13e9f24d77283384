"""Verification: oracles for gradients, and a checker that says what is wrong."""
