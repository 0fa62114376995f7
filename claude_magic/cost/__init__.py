"""Tokens and money: counts, prices, budget, ledger, context window."""
