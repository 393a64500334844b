"""The three kinds of patch that need no field ownership: JSON patch, JSON merge patch, strategic merge patch.

All are pure: the document and the patch are left as they were, and the result shares no mutable part with either. Errors are
`StatusError`, in the words of Kubernetes' patch handler. Server-side apply is next door in `kogia.api.apply`.
"""

from kogia.api.patch.json_patch import MAX_OPERATIONS, json_patch
from kogia.api.patch.merge import merge_patch
from kogia.api.patch.strategic import strategic_merge

__all__ = ["MAX_OPERATIONS", "json_patch", "merge_patch", "strategic_merge"]
