"""Objects of S3, Google Cloud Storage and Azure: their addresses, and local copies of them."""

from recsys.objects.address import ObjectAddress, object_address, shown, use_cache
from recsys.objects.bucket import Bucket, Facts, TakenError
from recsys.objects.copies import local_copy
from recsys.objects.transfer import Wanted, fetched, upload

__all__ = [
    "Bucket",
    "Facts",
    "ObjectAddress",
    "TakenError",
    "Wanted",
    "fetched",
    "local_copy",
    "object_address",
    "shown",
    "upload",
    "use_cache",
]
