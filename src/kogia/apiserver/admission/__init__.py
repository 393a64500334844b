"""Admission plugins: what may change or refuse a write between decoding and storing. `chain.py` has their order."""
