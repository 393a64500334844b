"""The command line: kubectl's verbs, crictl's, and the node-level ones."""
