"""The node agent: makes this node's Pods real through CRI and tells the API what came of it."""
