"""Who asks, and may they: authenticators and authorizers. Reads through `ReadCache` only; no I/O of its own."""
