"""Tokens and money: count, price, budget, ledger, context window."""
