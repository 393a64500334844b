"""The MVCC store: revisions of keys to bytes. Knows no Kubernetes. `interface` is the seam, `memory` and `sqlite` implement it."""
