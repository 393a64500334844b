"""What every room may lean on: clocks, errors, back-off, task supervision, logging. Imports nothing of ours."""
