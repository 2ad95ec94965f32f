"""Readers, checks and repairs that end in the HDF5 file of ``socialgraph.schema``."""
