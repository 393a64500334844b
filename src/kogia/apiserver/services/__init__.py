"""Addresses and ports of Services, and the `kubernetes` Service itself."""
