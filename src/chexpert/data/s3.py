"""S3 as this house needs it. fsspec finds it by its entry point wherever a URI begins with s3://; nobody imports it.

s3fs keeps what it once listed: in a process that stays, an object which another one wrote would never be seen. And it
lets botocore's errors through, which are no OSError, so that a store that is away would end a loop that waits for it.
"""

from typing import Any, Final

from botocore.exceptions import BotoCoreError
from s3fs import S3FileSystem

from chexpert.domain.errors import RetryableError

__all__ = ["HouseS3", "StoreUnavailable"]

_CONFIG: Final = {
    # A refused connection is given up after three tries within two seconds: what waits for the store decides how long.
    "retries": {"mode": "standard", "total_max_attempts": 3},
    # The site answers with 40 threads.
    "max_pool_connections": 40,
}


class StoreUnavailable(RetryableError, ConnectionError):
    """The object store did not answer."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the object store did not answer for {address}: {reason}")
        self.address = address


class HouseS3(S3FileSystem):  # type: ignore[misc]
    """Lists anew each time; a store that does not answer is a StoreUnavailable, which is an OSError."""

    retries = 3
    """Of a request whose connection was lost half-way. Each waits at most `read_timeout`, 15 s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As S3FileSystem."""
        kwargs = {"use_listings_cache": False, "config_kwargs": _CONFIG, **kwargs}
        super().__init__(*args, **kwargs)

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        try:
            return await super()._call_s3(method, *akwarglist, **kwargs)
        except BotoCoreError as error:
            address = "/".join(str(kwargs[name]) for name in ("Bucket", "Key") if name in kwargs)
            raise StoreUnavailable(address, str(error)) from error

    async def _cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._cat_file(path, *args, **kwargs)
        except BotoCoreError as error:  # while the body was read
            raise StoreUnavailable(path, str(error)) from error

    async def _get_file(self, rpath: str, lpath: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._get_file(rpath, lpath, *args, **kwargs)
        except BotoCoreError as error:  # while the body was read
            raise StoreUnavailable(rpath, str(error)) from error
