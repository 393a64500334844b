"""The API server: connections → handler chain → registry → store, and the watch cache between store and readers."""
