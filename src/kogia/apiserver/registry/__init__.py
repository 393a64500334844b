"""All verbs on stored kinds, between the handler chain and the store.

`core` dispatches; `reading`, `writing`, `deleting`, `scale` and `binding` are the verbs; `pipeline` is the road of every write; `options`,
`bodies`, `negotiation` and `forms` read requests and shape answers; `kinds` and `metadata` hold what is true of kinds and of metadata.
"""

from kogia.apiserver.registry.core import StoreRegistry, open_registry

__all__ = ["StoreRegistry", "open_registry"]
