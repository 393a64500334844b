"""Images of the embedded runtime: names, content, unpacked layers, and how they get here (registries, archives, built on the spot).

`store.ImageStore` is what the rest of the runtime uses; `service.Images` is the CRI's ImageService over it.
"""
