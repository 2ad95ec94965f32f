"""The HDF5 file that ``data_prep`` writes and ``socialgraph.data`` reads.

What is in it tells :mod:`socialgraph.schema.layout`.
"""

from socialgraph.schema.layout import SCHEMA_VERSION, SchemaError
from socialgraph.schema.metadata import read_positions
from socialgraph.schema.reading import read, read_blocks, read_outline, read_steps, read_vdids
from socialgraph.schema.writing import append, write, write_parts, write_position

__all__ = [
    "SCHEMA_VERSION",
    "SchemaError",
    "append",
    "read",
    "read_blocks",
    "read_outline",
    "read_positions",
    "read_steps",
    "read_vdids",
    "write",
    "write_parts",
    "write_position",
]
