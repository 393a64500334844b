"""Server-side apply and the book-keeping of who owns which field (`metadata.managedFields`).

`apply` merges a configuration by field ownership; `record` notes what any other write changed. Both are pure. `sets` is the algebra
of field sets, `compare` makes sets from objects, `merge` changes objects by them, `managers` reads and writes the list.

Source: Kubernetes KEP-555; k8s.io/apimachinery util/managedfields; sigs.k8s.io/structured-merge-diff merge.Updater.
"""

from kogia.api.apply.server_side import apply, record

__all__ = ["apply", "record"]
