"""Reconcilers: one file or folder per controller, all of one shape; meet the rest only at the API."""
