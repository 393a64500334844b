"""Everything served that is not plain storage: discovery, OpenAPI, health, metrics, reviews, tokens, tunnels to kubelets."""
