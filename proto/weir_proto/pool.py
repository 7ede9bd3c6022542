"""The descriptor pool that the generated modules of this package register in.

Protobuf lets a name stand once per pool, and the names here are not ours alone: every project that
speaks go-plugin's wire has its own ``plugin.Empty``. A pool of our own lets such modules share a process
with these, in either order of import.

Its price: ``google.protobuf`` classes seen through these messages are the pool's own. Set a ``Timestamp``
field to a timezone-aware ``datetime`` (``request.expire_at = when``) or fill it in place; copying a
``timestamp_pb2.Timestamp`` into it raises ``TypeError``.
"""

from typing import Final

from google.protobuf import empty_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool

POOL: Final = DescriptorPool()
for _well_known in (empty_pb2, timestamp_pb2):
    POOL.AddSerializedFile(_well_known.DESCRIPTOR.serialized_pb)
